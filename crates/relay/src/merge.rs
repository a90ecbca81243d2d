//! The merge: events of many peers in, one stream in the order of time out.
//!
//! Each peer has a *lane*, a queue of its events by time. While every lane that still runs has an
//! event waiting, the oldest of their heads is the next event: no peer can bring an older one,
//! since each peer's stream is in order. A lane that runs but has nothing waiting is *silent*, and
//! whether the others wait for it is the one difference between the two kinds of query:
//!
//! - a finite query waits, so its result is exactly ordered. Nothing here looks at a clock; a peer
//!   that hangs is ended by its reader, and then its lane is [closed](Merge::close);
//! - a following query waits at most the *hold* after an event has come. Then this event goes, and
//!   whatever is older goes before it. An event that comes later than that is handed on at once:
//!   late, but never dropped. It does not wait for lanes that have [passed](Merge::passed) the time
//!   of the event: peers of ours say how far they are when they have nothing to send.
//!
//! There is no I/O and no clock in here: the caller says when something came and what time it is.
//! What is queued is bounded by the caller too, who hands out credit for it (see `reader`).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::wire::Time;

/// One peer's place in the merge; also its rank among events of the same time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LaneId {
    place: u32,
    /// How many had this place before. Whatever is said of one of them goes nowhere.
    before: u32,
}

/// The order of the stream: by time, then by lane. Within a lane, by arrival.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    time: Time,
    lane: LaneId,
}

/// One query's events on their way through; see the [module](self).
#[derive(Debug)]
pub(crate) struct Merge<T> {
    lanes: Vec<Lane<T>>,
    /// Places of lanes that were removed and have handed out what they had.
    free: Vec<u32>,
    /// The key of each lane's first event, and some that are so no longer: an event that was first
    /// until an older one came, or one that was released out of turn. They are recognised when
    /// they come up, so there are never more of them than events that were queued.
    heads: BinaryHeap<Reverse<Key>>,
    /// Lanes that are open and have nothing waiting, by the time that they have passed.
    silent: BTreeSet<(Option<Time>, LaneId)>,
    /// Everything up to here is released at once: the stream is already that far.
    floor: Option<Key>,
    /// When what came, oldest arrival first; one entry for a batch, with its newest key. Only what
    /// may be held is noted here, so nothing of a finite query.
    arrivals: VecDeque<Arrival>,
    /// The lane that releases events out of turn, and up to which time.
    overdue: Option<Key>,
}

#[derive(Debug)]
struct Lane<T> {
    id: LaneId,
    open: bool,
    /// Its place is free once its queue is empty.
    removed: bool,
    /// In order of time; arrival breaks ties.
    queue: VecDeque<(Time, T)>,
    /// What is still to come is later than this, if anything is known.
    passed: Option<Time>,
}

#[derive(Debug)]
struct Arrival {
    at: Instant,
    newest: Key,
    /// The newest time lies in the future: the peer's clock is wrong.
    ahead: bool,
}

/// When a batch came, for a query that holds events back for a bounded time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    /// The time from which the hold counts.
    pub(crate) at: Instant,
    /// The newest time that an event can have by now. Events that are newer come from a clock that
    /// is wrong; when their hold has passed they are released by themselves, so that one wrong clock
    /// does not flush the others' events out of order.
    pub(crate) newest_credible: Time,
}

impl<T> Merge<T> {
    /// A merge without lanes.
    pub(crate) fn new() -> Self {
        Self {
            lanes: Vec::new(),
            free: Vec::new(),
            heads: BinaryHeap::new(),
            silent: BTreeSet::new(),
            floor: None,
            arrivals: VecDeque::new(),
            overdue: None,
        }
    }

    /// A new lane, closed at first. Lanes that are added earlier go first among equal times, so the
    /// caller adds them in the order of the peers' names. Who comes later takes a place that was left.
    pub(crate) fn add_lane(&mut self) -> LaneId {
        let freed = self
            .free
            .pop()
            .and_then(|place| self.lanes.get_mut(place as usize));
        if let Some(lane) = freed {
            let before = lane.id.before.wrapping_add(1);
            *lane = Lane::new(LaneId { before, ..lane.id });
            return lane.id;
        }
        let place = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        let id = LaneId { place, before: 0 };
        self.lanes.push(Lane::new(id));
        id
    }

    /// This lane is [closed](Self::close) for good. What is queued is still handed out.
    pub(crate) fn remove(&mut self, id: LaneId) {
        self.close(id);
        if let Some(lane) = lane_of(&mut self.lanes, id)
            && !lane.removed
        {
            lane.removed = true;
            if lane.queue.is_empty() {
                self.free.push(id.place);
            }
        }
    }

    /// From now on the others wait for this lane.
    pub(crate) fn open(&mut self, id: LaneId) {
        if let Some(lane) = lane_of(&mut self.lanes, id)
            && !lane.open
            && !lane.removed
        {
            lane.open = true;
            if lane.queue.is_empty() {
                self.silent.insert((lane.passed, id));
            }
        }
    }

    /// Nothing more is expected from this lane, so nobody waits for it. What is queued stays.
    pub(crate) fn close(&mut self, id: LaneId) {
        if let Some(lane) = lane_of(&mut self.lanes, id)
            && lane.open
        {
            lane.open = false;
            self.silent.remove(&(lane.passed, id));
            // What was sent may not have come, and is asked for again when the peer is back.
            lane.passed = None;
        }
    }

    /// Whatever this lane still brings is later than `time`.
    pub(crate) fn passed(&mut self, id: LaneId, time: Time) {
        if let Some(lane) = lane_of(&mut self.lanes, id)
            && lane.open
            && lane.passed < Some(time)
        {
            if self.silent.remove(&(lane.passed, id)) {
                self.silent.insert((Some(time), id));
            }
            lane.passed = Some(time);
        }
    }

    /// What all open lanes have passed: whatever the stream still brings is later, but for what is
    /// late. `None` when that is not known of some lane, when no lane is open, or when [`Merge::pop`] has
    /// more to give.
    pub(crate) fn all_passed(&self) -> Option<Time> {
        self.silent.first().and_then(|(passed, _)| *passed)
    }

    /// How far the stream is: what is older comes late.
    pub(crate) fn reached(&self) -> Option<Time> {
        self.floor.map(|floor| floor.time)
    }

    /// Queues what one read of a peer's stream has brought. With `arrived`, the events are held for
    /// a bounded time (see [`Merge::expire`]), without it as long as it takes.
    pub(crate) fn push(
        &mut self,
        id: LaneId,
        events: impl IntoIterator<Item = (Time, T)>,
        arrived: Option<Arrived>,
    ) {
        let Some(lane) = lane_of(&mut self.lanes, id).filter(|lane| !lane.removed) else {
            return;
        };
        let mut newest = None;
        for (time, item) in events {
            // Nearly always the end. A peer whose events are slightly out of order is put in order
            // as far as they are still here.
            let at = match lane.queue.back() {
                Some((last, _)) if *last > time => {
                    lane.queue.partition_point(|(queued, _)| *queued <= time)
                }
                _ => lane.queue.len(),
            };
            if at == 0 {
                self.heads.push(Reverse(Key { time, lane: id }));
            }
            lane.queue.insert(at, (time, item));
            newest = newest.max(Some(time));
        }
        let Some(newest) = newest else { return };
        self.silent.remove(&(lane.passed, id));
        if let Some(Arrived {
            at,
            newest_credible,
        }) = arrived
        {
            let ahead = newest > newest_credible;
            self.arrivals.push_back(Arrival {
                at,
                newest: Key {
                    time: newest,
                    lane: id,
                },
                ahead,
            });
        }
    }

    /// The next event of the stream and the lane that it came from. `None` when there is none, or
    /// when it is too early to tell which one is next.
    pub(crate) fn pop(&mut self) -> Option<(LaneId, T)> {
        if let Some(limit) = self.overdue {
            match self.first_of(limit.lane) {
                Some(time) if time <= limit.time => return self.take(limit.lane),
                _ => self.overdue = None,
            }
        }
        let head = self.head()?;
        let is_waited_for = self.silent.first().is_some_and(|it| it.0 < Some(head.time));
        if is_waited_for && self.floor.is_none_or(|floor| head > floor) {
            return None;
        }
        self.heads.pop();
        self.floor = self.floor.max(Some(head));
        self.take(head.lane)
    }

    /// Releases what has been held for `hold`, so that [`Merge::pop`] gives it. Returns the time at
    /// which to call again if nothing else happens before; `None` when nothing is held.
    pub(crate) fn expire(&mut self, now: Instant, hold: Duration) -> Option<Instant> {
        while let Some(arrival) = self.arrivals.front() {
            let gone = self.floor.is_some_and(|floor| arrival.newest <= floor);
            if !gone {
                let due = arrival.at + hold;
                if due > now {
                    return Some(due);
                }
                if arrival.ahead {
                    // One at a time: the caller empties this lane first and then asks again.
                    self.overdue = Some(arrival.newest);
                    self.arrivals.pop_front();
                    return Some(now);
                }
                self.floor = Some(arrival.newest);
            }
            self.arrivals.pop_front();
        }
        None
    }

    /// Whether nothing is queued.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.head().is_none()
    }

    /// The first key of all lanes, after removing those that are no longer first.
    fn head(&mut self) -> Option<Key> {
        while let Some(&Reverse(key)) = self.heads.peek() {
            if self.first_of(key.lane) == Some(key.time) {
                return Some(key);
            }
            self.heads.pop();
        }
        None
    }

    fn first_of(&self, id: LaneId) -> Option<Time> {
        let lane = self.lanes.get(id.place as usize)?;
        let (time, _) = lane.queue.front().filter(|_| lane.id == id)?;
        Some(*time)
    }

    /// Takes the first event of a lane.
    fn take(&mut self, id: LaneId) -> Option<(LaneId, T)> {
        let lane = lane_of(&mut self.lanes, id)?;
        let (_, item) = lane.queue.pop_front()?;
        match lane.queue.front() {
            Some((time, _)) => self.heads.push(Reverse(Key {
                time: *time,
                lane: id,
            })),
            None if lane.open => {
                self.silent.insert((lane.passed, id));
            }
            None if lane.removed => self.free.push(id.place),
            None => {}
        }
        Some((id, item))
    }
}

impl<T> Lane<T> {
    fn new(id: LaneId) -> Self {
        Self {
            id,
            open: false,
            removed: false,
            queue: VecDeque::new(),
            passed: None,
        }
    }
}

/// The lane, unless another one has its place.
fn lane_of<T>(lanes: &mut [Lane<T>], id: LaneId) -> Option<&mut Lane<T>> {
    let lane = lanes.get_mut(id.place as usize)?;
    (lane.id == id).then_some(lane)
}

#[cfg(test)]
mod tests;
