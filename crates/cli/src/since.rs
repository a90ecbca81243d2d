//! Points in time as users give them, to `--since` and `--until`.
//!
//! Either a duration back from now (`5m`, `1h30m`), or a date: `2026-01-31`, with an hour, minutes
//! or seconds and a zone (`2026-01-31T09:30Z`, `…T09:30:15.5+02:00`), or as mail headers have it
//! (`Sat, 31 Jan 2026 09:30:00 +0200`).

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use crate::civil::{self, Date};
use crate::flags::value;

const NS_PER_SECOND: i128 = 1_000_000_000;

/// The beginning of the year 1: no earlier time can be sent.
pub(crate) const FIRST_SECOND: i64 = -62_135_596_800;

/// A text that is neither a duration nor a date.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("failed to convert {0} to time")]
pub(crate) struct NotATime(String);

/// Reads a point in time.
///
/// # Errors
/// The text is in none of the forms above.
pub(crate) fn parse(text: &str) -> Result<Timestamp, NotATime> {
    if let Ok(ago_ns) = value::duration_ns(text) {
        let now_ns = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since_epoch) => i128::try_from(since_epoch.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        return from_ns(now_ns - i128::from(ago_ns)).ok_or_else(|| NotATime(text.to_owned()));
    }
    let mut cursor = Cursor(text);
    let iso = cursor.iso().filter(|_| cursor.0.is_empty());
    let parsed = iso.or_else(|| {
        cursor = Cursor(text);
        cursor.mail().filter(|_| cursor.0.is_empty())
    });
    parsed.ok_or_else(|| NotATime(text.to_owned()))
}

fn from_ns(ns: i128) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: i64::try_from(ns.div_euclid(NS_PER_SECOND)).ok()?,
        nanos: i32::try_from(ns.rem_euclid(NS_PER_SECOND)).ok()?,
    })
}

/// The part of the text that is not yet read. Every step takes what it wants, or gives `None`.
struct Cursor<'a>(&'a str);

impl Cursor<'_> {
    /// `2006-01-02`, and what may follow: an hour, minutes, seconds, each with a zone at the end.
    fn iso(&mut self) -> Option<Timestamp> {
        let year = self.digits(4, 4)?;
        self.literal("-")?;
        let month = self.digits(2, 2)?;
        self.literal("-")?;
        let day = self.digits(2, 2)?;
        let date = Date::new(i64::from(year), month, day)?;
        if self.0.is_empty() {
            return moment(date, [0; 3], 0, 0);
        }
        self.literal("T")?;
        let hour = self.digits(1, 2)?;
        let mut clock = [hour, 0, 0];
        let mut nanos = 0;
        if self.literal(":").is_some() {
            clock[1] = self.digits(2, 2)?;
            if self.literal(":").is_some() {
                clock[2] = self.digits(2, 2)?;
                nanos = self.fraction()?;
            }
        }
        let offset = match self.literal("Z") {
            Some(()) => 0,
            None => self.offset(":")?,
        };
        moment(date, clock, nanos, offset)
    }

    /// `Mon, 02 Jan 2006 15:04:05 -0700`. Whether it was that day of the week is not checked.
    fn mail(&mut self) -> Option<Timestamp> {
        self.name(&civil::DAYS)?;
        self.literal(", ")?;
        let day = self.digits(2, 2)?;
        self.literal(" ")?;
        let month = self.name(&civil::MONTHS)? + 1;
        self.literal(" ")?;
        let year = self.digits(4, 4)?;
        let date = Date::new(i64::from(year), month, day)?;
        self.literal(" ")?;
        let hour = self.digits(1, 2)?;
        self.literal(":")?;
        let minute = self.digits(2, 2)?;
        self.literal(":")?;
        let second = self.digits(2, 2)?;
        let nanos = self.fraction()?;
        self.literal(" ")?;
        let offset = self.offset("")?;
        moment(date, [hour, minute, second], nanos, offset)
    }

    fn literal(&mut self, expected: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// A number of `least` to `most` ASCII digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self
            .0
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        if length < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        digits.parse().ok()
    }

    /// Nanoseconds after a point or comma; 0 if there is none. What is below a nanosecond is cut.
    fn fraction(&mut self) -> Option<u32> {
        let Some(rest) = self.0.strip_prefix(['.', ',']) else {
            return Some(0);
        };
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        let (digits, rest) = rest.split_at(length);
        self.0 = rest;
        let kept = &digits[..length.min(9)];
        let scale = 10_u32.pow(u32::try_from(9 - kept.len()).ok()?);
        Some(kept.parse::<u32>().ok()? * scale)
    }

    /// Seconds east of Greenwich, as in `+02:00` with a colon or `+0200` without.
    fn offset(&mut self, separator: &str) -> Option<i64> {
        let sign = match (self.literal("+"), self.literal("-")) {
            (Some(()), _) => 1,
            (None, Some(())) => -1,
            (None, None) => return None,
        };
        let hours = self.digits(2, 2).filter(|hours| *hours <= 24)?;
        self.literal(separator)?;
        let minutes = self.digits(2, 2).filter(|minutes| *minutes < 60)?;
        Some(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60))
    }

    /// The index of the three letter name that comes next, in upper or lower case.
    fn name(&mut self, names: &[&str]) -> Option<u32> {
        let head = self.0.get(..3)?;
        let index = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(head))?;
        self.0 = &self.0[3..];
        u32::try_from(index).ok()
    }
}

fn moment(
    date: Date,
    [hour, minute, second]: [u32; 3],
    nanos: u32,
    offset: i64,
) -> Option<Timestamp> {
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day = i64::from(hour * 3600 + minute * 60 + second);
    Some(Timestamp {
        seconds: date.days_since_epoch() * civil::SECONDS_PER_DAY + of_day - offset,
        nanos: i32::try_from(nanos).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<(i64, i32)> {
        parse(text).ok().map(|time| (time.seconds, time.nanos))
    }

    #[test]
    fn dates_may_stop_at_any_precision() {
        assert_eq!(at("2024-03-03"), Some((1_709_424_000, 0)));
        assert_eq!(at("2024-03-03T02+01:00"), Some((1_709_427_600, 0)));
        assert_eq!(at("2024-03-03T00:01Z"), Some((1_709_424_060, 0)));
        assert_eq!(
            at("2024-03-03T00:00:01,5Z"),
            Some((1_709_424_001, 500_000_000))
        );
        assert_eq!(
            at("SUN, 03 mar 2024 01:00:00 +0100"),
            Some((1_709_424_000, 0))
        );
    }

    #[test]
    fn what_is_not_in_the_calendar_is_refused() {
        for text in [
            "2023-02-29",
            "2024-13-01",
            "2024-1-2",
            "24-01-02",
            "10000-01-01",
            "2024-03-03T24Z",
            "2024-03-03T00:00:60Z",
            "2024-03-03T00:00:00",
            "2024-03-03T00:00:00+25:00",
            "2024-03-03T00:00:00.Z",
            "2024-03-03+01:00",
            "2024-03-03 10:00:00",
            "yesterday",
            "Foo, 01 Mar 2024 00:00:00 +0000",
            "Sun, 2 Mar 2024 00:00:00 +0000",
            "5",
            "1d",
            "1h ",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn a_duration_counts_back_from_now() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let hour_ago = parse("1h").unwrap().seconds;
        let passed = i64::try_from(now).unwrap() - hour_ago;
        assert!((3599..=3600).contains(&passed), "{passed}");
        assert!(parse("-1h").unwrap().seconds > hour_ago + 7000);
    }

    #[test]
    fn times_before_the_epoch_keep_their_fraction_positive() {
        assert_eq!(at("1969-12-31T23:59:59.25Z"), Some((-1, 250_000_000)));
    }
}
