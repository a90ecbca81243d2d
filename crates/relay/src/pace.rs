//! Turns: a relay that does nothing but follow looks at all its peers together, some hundred times a
//! second.
//!
//! Each flow of a follow comes by itself. To wake up for it, look at one socket and write one message
//! costs several times as much as the same for many at once. So while there are only follows the thread
//! rests before it waits for events, and finds more of them. A flow is later by that much at most, which
//! is a part of what it waits for other peers' flows in any case. Finite calls are over sooner without
//! rest, and while one is open there is none.
//!
//! Where few flows come they cost little in any case, and turns are short.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

/// How long a turn takes at least while few flows come.
const SHORT_TURN: Duration = Duration::from_millis(2);

/// The same while more come. A flow waits 10 ms or so until all peers have said that they are past it,
/// and then for a turn to end: together it stays within 30 ms. A turn saves nothing unless it is longer
/// than the time between two flows of a peer, which a hundred a second make 10 ms.
const LONG_TURN: Duration = Duration::from_millis(14);

/// So many flows in a second are more than few: nobody reads them one by one.
const MANY: f64 = 100.0;

/// So many sockets are looked at, and tasks run, before the next ones: what is known of a peer is still
/// in the processor's caches when the task that reads its flows follows the one that reads its socket.
const TOGETHER: u32 = 64;

/// How long flows are counted, at least, before the length of turns is decided anew.
const WINDOW: Duration = Duration::from_millis(100);

/// Which calls a relay serves, for the thread that it runs on.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    follows: AtomicUsize,
    others: AtomicUsize,
    /// Flows of follows that have come, ever.
    flows: AtomicU64,
    turns: Mutex<Turns>,
}

/// What the thread goes by.
#[derive(Debug, Default)]
struct Turns {
    /// When the last rest ended.
    rested: Option<Instant>,
    /// When flows are counted from, and how many had come by then.
    counted: Option<(Instant, u64)>,
    /// Many come.
    are_long: bool,
}

impl Pace {
    /// The runtime for a relay that goes by this: of one thread, since passing bytes on keeps no two
    /// processors busy, and what threads say to each other costs more than they win.
    ///
    /// # Errors
    /// When the system has no descriptors left for it.
    pub fn runtime(&self) -> io::Result<Runtime> {
        let pace = self.clone();
        Builder::new_current_thread()
            .on_thread_park(move || pace.rest())
            .event_interval(TOGETHER)
            .max_io_events_per_tick(TOGETHER as usize)
            .enable_all()
            .build()
    }

    /// Rests if the last rest is less than a turn ago and only follows are open. To be called when the
    /// thread has nothing to do.
    fn rest(&self) {
        let rest = self.begin_rest(Instant::now());
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }

    /// How long the rest is that begins now.
    fn begin_rest(&self, now: Instant) -> Duration {
        let calls = &self.0;
        if calls.follows.load(Ordering::Relaxed) == 0 || calls.others.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let flows = calls.flows.load(Ordering::Relaxed);
        let mut turns = calls.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.length(now, flows);
        let begun = turns
            .rested
            .map_or(turn, |rested| now.saturating_duration_since(rested));
        let rest = turn.saturating_sub(begun);
        turns.rested = Some(now + rest);
        rest
    }

    /// A call that is open until what is returned is dropped.
    pub(crate) fn open(&self, follow: bool) -> Open {
        let open = Open {
            calls: Arc::clone(&self.0),
            follow,
        };
        open.count().fetch_add(1, Ordering::Relaxed);
        open
    }
}

impl Turns {
    /// How long a turn is now.
    fn length(&mut self, now: Instant, flows: u64) -> Duration {
        let (since, before) = *self.counted.get_or_insert((now, flows));
        let took = now.saturating_duration_since(since);
        if took >= WINDOW {
            self.are_long = (flows - before) as f64 >= MANY * took.as_secs_f64();
            self.counted = Some((now, flows));
        }
        if self.are_long { LONG_TURN } else { SHORT_TURN }
    }
}

/// An open call.
#[derive(Debug)]
pub(crate) struct Open {
    calls: Arc<Calls>,
    follow: bool,
}

impl Open {
    /// So many events have come for it.
    pub(crate) fn came(&self, events: usize) {
        if self.follow {
            self.calls.flows.fetch_add(events as u64, Ordering::Relaxed);
        }
    }

    fn count(&self) -> &AtomicUsize {
        if self.follow {
            &self.calls.follows
        } else {
            &self.calls.others
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Duration = SHORT_TURN;

    #[test]
    fn a_relay_rests_for_the_rest_of_a_turn_while_there_are_follows_and_nothing_else() {
        let pace = Pace::default();
        let start = Instant::now();
        let part = TURN / 4;
        assert_eq!(pace.begin_rest(start), Duration::ZERO);
        let follow = pace.open(true);
        assert_eq!(pace.begin_rest(start), Duration::ZERO);
        assert_eq!(pace.begin_rest(start + part), TURN - part);
        let finite = pace.open(false);
        assert_eq!(pace.begin_rest(start + TURN + part), Duration::ZERO);
        drop(finite);
        assert_eq!(pace.begin_rest(start + TURN + part), TURN - part);
        assert_eq!(
            pace.begin_rest(start + TURN * 9),
            Duration::ZERO,
            "it was long enough"
        );
        drop(follow);
        assert_eq!(pace.begin_rest(start + TURN * 9), Duration::ZERO);
    }

    #[test]
    fn turns_are_long_while_many_flows_come() {
        let mut turns = Turns::default();
        let start = Instant::now();
        let many = (MANY * WINDOW.as_secs_f64()) as u64;
        assert_eq!(turns.length(start, 0), SHORT_TURN);
        assert_eq!(
            turns.length(start + WINDOW / 2, many),
            SHORT_TURN,
            "not decided yet"
        );
        assert_eq!(turns.length(start + WINDOW, many), LONG_TURN);
        assert_eq!(turns.length(start + WINDOW * 2, many * 2 - 1), SHORT_TURN);
        assert_eq!(turns.length(start + WINDOW * 9, many * 9), LONG_TURN);
        assert_eq!(
            turns.length(start + WINDOW * 99, many * 10),
            SHORT_TURN,
            "after a silence"
        );
    }

    #[test]
    fn only_the_flows_of_follows_count() {
        let pace = Pace::default();
        pace.open(true).came(3);
        pace.open(false).came(1000);
        assert_eq!(pace.0.flows.load(Ordering::Relaxed), 3);
    }
}
