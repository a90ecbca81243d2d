//! How far a server's clock is from ours.
//!
//! Three witnesses, the best first: an agent of ours tells its time to the nanosecond with what an
//! answer covers, servers on HTTP/2 may put the second into each answer, and a flow that arrives as
//! it happens is hardly older than a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use serde::Serialize;

use crate::civil::{Date, MONTHS, SECONDS_PER_DAY};

/// A clock that is further off than this makes flows of several nodes come in the wrong order.
const MAX_OFFSET_MS: i64 = 1_000;

/// The server's time less ours, and how wrong that may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Clock {
    pub(super) offset_ms: i64,
    pub(super) within_ms: i64,
    /// Known from a flow only, which may also be late.
    pub(super) by_flows: bool,
}

impl Clock {
    /// Of a time that the server told somewhere between two moments of ours.
    pub(super) fn between(told_ns: i64, asked_ns: i64, answered_ns: i64) -> Self {
        let round = answered_ns.saturating_sub(asked_ns).max(0);
        Self {
            offset_ms: told_ns.saturating_sub(asked_ns + round / 2) / 1_000_000,
            // A millisecond for what the division leaves out.
            within_ms: round / 2_000_000 + 1,
            by_flows: false,
        }
    }

    /// Of a whole second, as the head of an answer has it.
    pub(super) fn of_second(second: i64, asked_ns: i64, answered_ns: i64) -> Self {
        let middle_ns = second
            .saturating_mul(1_000_000_000)
            .saturating_add(500_000_000);
        let clock = Self::between(middle_ns, asked_ns, answered_ns);
        Self {
            within_ms: clock.within_ms + 500,
            ..clock
        }
    }

    /// Of a flow that just arrived: it takes up to a second from the packet to us.
    pub(super) fn of_flow(flow_ns: i64, arrived_ns: i64) -> Self {
        Self {
            offset_ms: flow_ns.saturating_sub(arrived_ns) / 1_000_000 + 500,
            within_ms: 500,
            by_flows: true,
        }
    }

    /// What is wrong with it, if that is certain.
    pub(super) fn warning(&self) -> Option<String> {
        let certain = self
            .offset_ms
            .saturating_abs()
            .saturating_sub(self.within_ms);
        (certain > MAX_OFFSET_MS).then(|| {
            let what = match self.offset_ms {
                1.. => "its clock is more than 1 s ahead of ours",
                _ if self.by_flows => {
                    "its clock is more than 1 s behind ours, or its flows are late"
                }
                _ => "its clock is more than 1 s behind ours",
            };
            format!("{what}: look after NTP on both sides")
        })
    }

    pub(super) fn words(&self) -> String {
        match (self.offset_ms, self.within_ms) {
            (offset, within) if within < 100 => format!("clock {offset:+} ms"),
            (offset, within) if offset.abs() <= MAX_OFFSET_MS + within => {
                "clock within 1 s".to_owned()
            }
            (offset, _) => format!("clock {:+} s", offset / 1_000),
        }
    }
}

/// Our time, in nanoseconds since 1970.
pub(super) fn now_ns() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A time of the wire in nanoseconds since 1970.
pub(super) fn nanoseconds(time: &Timestamp) -> i64 {
    time.seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(time.nanos.into())
}

/// Seconds since 1970 of a date as HTTP has it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = words.next()?.parse().ok().filter(|year| *year < 10_000)?;
    let date = Date::new(year, u32::try_from(month).ok()? + 1, day)?;
    let mut time = words
        .next()?
        .split(':')
        .map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let known = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..61).contains(&second);
    known.then_some(date.days_since_epoch() * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second)
}

/// The day of a moment, as in `2027-01-01`.
pub(super) fn day(second: i64) -> String {
    let date = Date::from_days(second.div_euclid(SECONDS_PER_DAY));
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_no_journey_explains() {
        let clock = Clock::between(5_000_000_000, 1_000_000_000, 1_010_000_000);
        assert_eq!((clock.offset_ms, clock.within_ms), (3_995, 6));
        assert_eq!(clock.words(), "clock +3995 ms");
        assert!(clock.warning().unwrap().contains("ahead"));
        let near = Clock::of_second(10, 9_000_000_000, 9_000_000_000);
        assert_eq!((near.offset_ms, near.warning()), (1_500, None));
        assert_eq!(near.words(), "clock within 1 s");
        let late = Clock::of_flow(0, 60_000_000_000);
        assert!(
            late.warning()
                .unwrap()
                .contains("behind ours, or its flows are late")
        );
        assert_eq!(late.words(), "clock -59 s");
    }

    #[test]
    fn dates_of_http_are_read_and_days_are_written() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(day(784_111_777), "1994-11-06");
        assert_eq!(http_date("yesterday"), None);
        assert_eq!(http_date("Sun, 99 Nov 1994 08:49:37 GMT"), None);
    }
}
