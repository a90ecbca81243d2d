//! Turns: a relay that does nothing but follow looks at all its peers together, some hundred times a
//! second.
//!
//! Each flow of a follow comes by itself. To wake up for it, look at one socket and write one message
//! costs several times as much as the same for many at once. So while there are only follows the thread
//! rests before it waits for events, and finds more of them. A flow is later by that much at most, which
//! is a part of what it waits for other peers' flows in any case. Finite calls are over sooner without
//! rest, and while one is open there is none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a turn takes at least: short beside the time of peers' reports of their progress.
const TURN: Duration = Duration::from_millis(2);

/// Which calls a relay serves, for the thread that it runs on.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    follows: AtomicUsize,
    others: AtomicUsize,
    rested: Mutex<Option<Instant>>,
}

impl Pace {
    /// Rests if the last rest is less than a turn ago and only follows are open. To be called when the
    /// runtime, of one thread, has nothing to do: by `on_thread_park` of its builder.
    pub fn rest(&self) {
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
        let mut rested = calls.rested.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = rested.map_or(TURN, |rested| now.saturating_duration_since(rested));
        let rest = TURN.saturating_sub(turn);
        *rested = Some(now + rest);
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

/// An open call.
#[derive(Debug)]
pub(crate) struct Open {
    calls: Arc<Calls>,
    follow: bool,
}

impl Open {
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
}
