//! How far a peer's stream has come, and how the peer is asked for the rest when the stream broke.
//!
//! Servers of ours are told the last flow that came, and go on behind it ([`flow_api::resume`]), also
//! where their clock was set back in between. Others are asked for what is not older than the newest flow,
//! of which those that came already are left out. Either way, gaps come again that were told behind the
//! last flow, and they are left out, too.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use flow_api::resume::After;

use crate::defaults::CLOCK_WARNING;
use crate::wire::Time;

/// Flows that are out of order are not so far behind others: a clock was set back.
const SET_BACK: Duration = Duration::from_secs(1);

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// What has been handed over of a peer's stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    newest: Option<Time>,
    /// The last one in the order of the stream, and how many of its time came one after the other.
    last: Option<(Time, u32)>,
    /// When the last one came that has no time, by our clock.
    came: Option<Time>,
}

/// Flows of one time that come again and are left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    time: Time,
    left: u32,
}

impl Reached {
    /// A flow came.
    pub(crate) fn flow(&mut self, time: Time) {
        let count = match self.last {
            Some((last, count)) if last == time => count.saturating_add(1),
            _ => 1,
        };
        self.last = Some((time, count));
        self.newest = self.newest.max(Some(time));
    }

    /// A flow came whose time was not asked for.
    pub(crate) fn timeless_flow(&mut self, now: Time) {
        self.came = Some(now);
    }

    /// By our clock, from when on flows are missing, where they have no times.
    pub(crate) fn came(&self) -> Option<Time> {
        self.came
    }

    /// The time of the newest flow.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.newest
    }

    /// For a server that can go on behind a flow.
    pub(crate) fn after(&self) -> Option<After> {
        let (time, count) = self.last?;
        let time = time.into();
        Some(After { time, count })
    }

    /// For one that cannot: from when on, and what of that is known.
    pub(crate) fn since(&self) -> Option<(Time, Again)> {
        let (newest, (last, count)) = (self.newest?, self.last?);
        let (since, left) = if last == newest {
            (last, count)
        } else if last.later(SET_BACK) < newest {
            // Its clock was set back before the last flow came. Hubble begins behind the newest one
            // that is older than what is asked for, and this is it.
            (last.next_nanosecond(), 0)
        } else {
            (newest.next_nanosecond(), 0)
        };
        Some((since, Again { time: last, left }))
    }

    /// Whether flows may be missing, from a server that is asked by time: should its clock, which is
    /// ahead of ours, have been set right, it is asked for what is newer than all that it has.
    pub(crate) fn is_ahead(&self, now: Time) -> bool {
        self.newest
            .is_some_and(|newest| newest > now.later(CLOCK_WARNING))
    }
}

impl Again {
    /// Whether a flow is one of those that came already.
    pub(crate) fn is_one(&mut self, time: Option<Time>) -> bool {
        let is_one = self.left > 0 && time == Some(self.time);
        self.left -= u32::from(is_one);
        is_one
    }
}

/// How many gaps are known when they come again; agents tell one a second at most.
const MOST_TOLD: usize = 256;

/// What came of a peer that is no flow, such as gaps. It is known by its bytes: it has the time at which it
/// was told, and a clock that was set back makes a new one older than those that came.
#[derive(Debug, Default)]
pub(crate) struct Told {
    hasher: RandomState,
    latest: VecDeque<u64>,
    /// Those that may come again since the peer was asked again.
    again: Vec<u64>,
}

impl Told {
    /// What a message is known by.
    pub(crate) fn key(&self, message: &[u8]) -> u64 {
        self.hasher.hash_one(message)
    }

    /// Whether a message is one of those that came before the peer was asked again.
    pub(crate) fn is_again(&mut self, key: u64) -> bool {
        let found = self.again.iter().position(|it| *it == key);
        found.map(|index| self.again.swap_remove(index)).is_some()
    }

    /// Messages were handed over.
    pub(crate) fn note(&mut self, keys: Vec<u64>) {
        self.latest.extend(keys);
        let too_many = self.latest.len().saturating_sub(MOST_TOLD);
        self.latest.drain(..too_many);
    }

    /// The peer is asked again.
    pub(crate) fn begin_again(&mut self) {
        self.again = self.latest.iter().copied().collect();
    }
}

/// What a clock shows that is so far ahead of one that shows `time`.
pub(crate) fn as_seen_by(time: Time, ahead_seconds: f64) -> Time {
    let ahead = (ahead_seconds * NANOS_PER_SECOND as f64) as i128;
    let nanos = i128::from(time.seconds) * NANOS_PER_SECOND + i128::from(time.nanos);
    let nanos = nanos.saturating_add(ahead);
    let (seconds, nanos) = (
        i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)),
        i32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)),
    );
    match (seconds, nanos) {
        (Ok(seconds), Ok(nanos)) => Time { seconds, nanos },
        _ => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: i64) -> Time {
        Time { seconds, nanos: 5 }
    }

    fn reached(seconds: &[i64]) -> Reached {
        let mut reached = Reached::default();
        seconds.iter().for_each(|it| reached.flow(time(*it)));
        reached
    }

    #[test]
    fn the_last_flow_is_named_with_how_many_of_its_time_there_were() {
        assert_eq!(Reached::default().after(), None);
        for (seconds, last, count) in [(&[3, 4][..], 4, 1), (&[4, 4, 4], 4, 3), (&[4, 9, 4], 4, 1)]
        {
            let time = time(last).into();
            assert_eq!(reached(seconds).after(), Some(After { time, count }));
        }
    }

    #[test]
    fn by_time_all_of_the_newest_are_asked_for_and_those_that_came_are_left_out() {
        let (since, mut again) = reached(&[3, 4, 4]).since().unwrap();
        assert_eq!(since, time(4));
        let came = [4, 4, 4, 5].map(|seconds| again.is_one(Some(time(seconds))));
        assert_eq!(came, [true, true, false, false]);
    }

    #[test]
    fn a_flow_out_of_order_is_not_where_the_stream_was_and_a_clock_that_was_set_back_is() {
        let early = Time {
            seconds: 4,
            nanos: 0,
        };
        let mut reached = reached(&[3, 4]);
        reached.flow(early);
        let (since, mut again) = reached.since().unwrap();
        assert_eq!(since, time(4).next_nanosecond());
        assert!(!again.is_one(Some(early)));
        reached.flow(time(2));
        assert_eq!(reached.since().unwrap().0, time(2).next_nanosecond());
    }

    #[test]
    fn a_peer_whose_clock_is_ahead_is_known_by_its_newest_flow() {
        assert!(reached(&[10, 3]).is_ahead(time(9)));
        assert!(!reached(&[10, 3]).is_ahead(time(10)));
        assert!(!Reached::default().is_ahead(time(0)));
    }

    #[test]
    fn gaps_are_known_when_they_come_again_as_often_as_they_came() {
        let mut told = Told::default();
        let keys = [b"a", b"b", b"b"].map(|message| told.key(message));
        assert!(!keys.iter().any(|key| told.is_again(*key)));
        told.note(keys.to_vec());
        assert!(!told.is_again(keys[0]), "nobody was asked again");
        told.begin_again();
        let again = [b"b", b"a", b"c", b"b", b"b"].map(|message| {
            let key = told.key(message);
            told.is_again(key)
        });
        assert_eq!(again, [true, true, false, true, false]);
        told.note((0..1000).collect());
        assert_eq!(told.latest.len(), MOST_TOLD);
    }

    #[test]
    fn a_time_is_translated_to_a_clock_that_is_off() {
        assert_eq!(as_seen_by(time(10), 2.0), time(12));
        let expected = Time {
            seconds: 9,
            nanos: 500_000_005,
        };
        assert_eq!(as_seen_by(time(10), -0.5), expected);
        assert_eq!(as_seen_by(time(10), f64::MAX), time(10));
    }
}
