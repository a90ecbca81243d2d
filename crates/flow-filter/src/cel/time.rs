//! Times and durations: how they are written, calculated with and taken apart.

use super::calendar::{civil_from_days, days_from_civil, days_in_month};
use super::error::EvaluationError;
use super::overloads::TimePart;

const NANOS: i128 = 1_000_000_000;
const SECONDS_OF_DAY: i64 = 86_400;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds since 1970.
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// A point in time from the year 1 to 9999.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Timestamp {
    /// Since 1970.
    nanos: i128,
}

/// A span of time, up to about 292 years.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Duration {
    pub(super) nanos: i64,
}

impl Timestamp {
    pub(super) fn new(seconds: i64, nanos: i64) -> Result<Self, EvaluationError> {
        Self::of_nanos(i128::from(seconds) * NANOS + i128::from(nanos))
    }

    fn of_nanos(nanos: i128) -> Result<Self, EvaluationError> {
        let seconds = nanos.div_euclid(NANOS);
        if (i128::from(FIRST_SECOND)..=i128::from(LAST_SECOND)).contains(&seconds) {
            Ok(Self { nanos })
        } else {
            Err(EvaluationError::TimestampOverflow)
        }
    }

    pub(super) fn plus(self, duration: Duration) -> Result<Self, EvaluationError> {
        Self::of_nanos(self.nanos + i128::from(duration.nanos))
    }

    pub(super) fn minus(self, duration: Duration) -> Result<Self, EvaluationError> {
        Self::of_nanos(self.nanos - i128::from(duration.nanos))
    }

    pub(super) fn since(self, earlier: Self) -> Result<Duration, EvaluationError> {
        let nanos = i64::try_from(self.nanos - earlier.nanos);
        let nanos = nanos.map_err(|_| EvaluationError::DurationOverflow)?;
        Ok(Duration { nanos })
    }

    /// Whole seconds since 1970.
    pub(super) fn seconds(self) -> i64 {
        // In the range of the type, so it fits.
        i64::try_from(self.nanos.div_euclid(NANOS)).unwrap_or(LAST_SECOND)
    }

    pub(super) fn subsecond_nanos(self) -> i64 {
        i64::try_from(self.nanos.rem_euclid(NANOS)).unwrap_or(0)
    }

    /// Reads RFC 3339, as in `2026-01-31T09:30:00.5+01:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = (text.get(..10)?, text.get(10..)?);
        let time = rest.strip_prefix('T')?;
        let mut fields = date.split('-').map(digits);
        let (year, month, day) = (fields.next()??, fields.next()??, fields.next()??);
        let shape = |text: &str, places: [usize; 2], separator: u8| {
            let mut bytes = text.bytes().enumerate();
            bytes.all(|(place, byte)| (byte == separator) == places.contains(&place))
        };
        let clock = time.get(..8)?;
        if !shape(date, [4, 7], b'-') || !shape(clock, [2, 5], b':') {
            return None;
        }
        let mut fields = clock.split(':').map(digits);
        let (hour, minute, second) = (fields.next()??, fields.next()??, fields.next()??);
        let (fraction, zone) = fraction(&time[8..])?;
        let offset = match zone {
            "Z" => 0,
            _ => offset_seconds(zone)?,
        };
        let in_month = (1..=days_in_month(year, month)?).contains(&day);
        if !in_month || hour > 23 || minute > 59 || second > 59 || year == 0 {
            return None;
        }
        let seconds =
            days_from_civil(year, month, day) * SECONDS_OF_DAY + hour * 3600 + minute * 60 + second
                - offset;
        Self::new(seconds, fraction).ok()
    }

    /// A part of the date or of the clock, in a zone that is so far ahead of UTC.
    pub(super) fn part(self, part: TimePart, offset_seconds: i64) -> i64 {
        let seconds = self.seconds() + offset_seconds;
        let days = seconds.div_euclid(SECONDS_OF_DAY);
        let clock = seconds.rem_euclid(SECONDS_OF_DAY);
        let (year, month, day) = civil_from_days(days);
        match part {
            TimePart::Date => day,
            TimePart::DayOfMonth => day - 1,
            // 1970-01-01 was a Thursday.
            TimePart::DayOfWeek => (days + 4).rem_euclid(7),
            TimePart::DayOfYear => days - days_from_civil(year, 1, 1),
            TimePart::FullYear => year,
            TimePart::Hours => clock / 3600,
            TimePart::Milliseconds => self.subsecond_nanos() / 1_000_000,
            TimePart::Minutes => clock / 60 % 60,
            TimePart::Month => month - 1,
            TimePart::Seconds => clock % 60,
        }
    }

    /// RFC 3339 in UTC, with as many digits as are needed.
    pub(super) fn text(self) -> String {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_OF_DAY));
        let clock = seconds.rem_euclid(SECONDS_OF_DAY);
        let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
        let fraction = fraction_text(self.subsecond_nanos());
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }
}

impl Duration {
    pub(super) fn new(seconds: i64, nanos: i64) -> Result<Self, EvaluationError> {
        let nanos = i128::from(seconds) * NANOS + i128::from(nanos);
        let nanos = i64::try_from(nanos).map_err(|_| EvaluationError::DurationOverflow)?;
        Ok(Self { nanos })
    }

    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_add(other.nanos)?;
        Some(Self { nanos })
    }

    pub(super) fn checked_sub(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_sub(other.nanos)?;
        Some(Self { nanos })
    }

    /// Reads numbers with units, as in `1h2m3.5s`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if unsigned == "0" {
            return Some(Self { nanos: 0 });
        }
        if unsigned.is_empty() {
            return None;
        }
        let mut rest = unsigned;
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (whole, after) = rest.split_at(whole_length);
            let decimals = after.strip_prefix('.').unwrap_or(after);
            let has_point = decimals.len() < after.len();
            let decimal_length = if has_point {
                decimals.bytes().take_while(u8::is_ascii_digit).count()
            } else {
                0
            };
            let (decimals, after) = decimals.split_at(decimal_length);
            if whole.is_empty() && decimals.is_empty() {
                return None;
            }
            let unit_length = after
                .find(|next: char| next == '.' || next.is_ascii_digit())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_length);
            let unit: i128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => NANOS,
                "m" => 60 * NANOS,
                "h" => 3600 * NANOS,
                _ => return None,
            };
            if !whole.is_empty() {
                let whole = i128::from(whole.parse::<i64>().ok()?);
                nanos += whole * unit;
            }
            let mut scale = unit;
            for digit in decimals.bytes() {
                scale /= 10;
                nanos += i128::from(digit - b'0') * scale;
            }
            rest = after;
        }
        if text.starts_with('-') {
            nanos = -nanos;
        }
        let nanos = i64::try_from(nanos).ok()?;
        Some(Self { nanos })
    }

    pub(super) fn part(self, part: TimePart) -> Option<i64> {
        let unit = match part {
            TimePart::Hours => 3_600_000_000_000,
            TimePart::Milliseconds => 1_000_000,
            TimePart::Minutes => 60_000_000_000,
            TimePart::Seconds => 1_000_000_000,
            _ => return None,
        };
        Some(self.nanos / unit)
    }

    /// In seconds, as in `-1.5s`.
    pub(super) fn text(self) -> String {
        let nanos = self.nanos.unsigned_abs();
        let sign = if self.nanos < 0 { "-" } else { "" };
        let fraction = fraction_text((nanos % 1_000_000_000).cast_signed());
        format!("{sign}{}{fraction}s", nanos / 1_000_000_000)
    }
}

/// How far a zone is ahead of UTC, in seconds. Known are UTC and fixed offsets such as `+01:00`.
pub(super) fn zone_offset(zone: &str) -> Result<i64, EvaluationError> {
    if matches!(zone, "" | "UTC" | "Z") {
        return Ok(0);
    }
    let signed = if zone.starts_with(['+', '-']) {
        offset_seconds(zone)
    } else {
        offset_seconds(&format!("+{zone}"))
    };
    signed.ok_or_else(|| EvaluationError::UnknownTimeZone {
        zone: zone.to_owned(),
    })
}

fn offset_seconds(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str) -> Option<i64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok())?
}

/// Nanoseconds after a point, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(decimals) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let length = decimals.bytes().take_while(u8::is_ascii_digit).count();
    let (decimals, rest) = decimals.split_at(length);
    if length == 0 {
        return None;
    }
    let nanos = decimals
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'));
    Some((nanos, rest))
}

fn fraction_text(nanos: i64) -> String {
    if nanos == 0 {
        return String::new();
    }
    let digits = format!(".{nanos:09}");
    digits.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("2024-02-29T23:59:59.5Z", Some("2024-02-29T23:59:59.5Z")),
            ("2024-02-29T00:30:00+01:00", Some("2024-02-28T23:30:00Z")),
            ("0001-01-01T00:00:00Z", Some("0001-01-01T00:00:00Z")),
            (
                "9999-12-31T23:59:59.999999999Z",
                Some("9999-12-31T23:59:59.999999999Z"),
            ),
            ("2023-02-29T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01 00:00:00Z", None),
            ("2023-1-001T00:00:00Z", None),
            ("2023-01-01T00:00:00.Z", None),
            ("0001-01-01T00:00:00+01:00", None),
            ("2023-01-01T00:00:00é", None),
            ("é", None),
        ] {
            let read = Timestamp::parse(text).map(Timestamp::text);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_written() {
        for (text, expected) in [
            ("0", Some("0s")),
            ("1.5s", Some("1.5s")),
            ("-1.5h", Some("-5400s")),
            ("1h2m3s4ms5us6ns", Some("3723.004005006s")),
            ("1µs", Some("0.000001s")),
            (".5s", Some("0.5s")),
            ("1.s", Some("1s")),
            ("", None),
            ("-", None),
            ("1", None),
            (".s", None),
            ("1x", None),
            ("300y", None),
            ("9999999h", None),
        ] {
            let read = Duration::parse(text).map(Duration::text);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_is_taken_apart() {
        let time = Timestamp::parse("2024-03-01T23:30:15.25Z").unwrap();
        for (part, in_utc, ahead) in [
            (TimePart::Date, 1, 2),
            (TimePart::DayOfMonth, 0, 1),
            (TimePart::DayOfWeek, 5, 6),
            (TimePart::DayOfYear, 60, 61),
            (TimePart::FullYear, 2024, 2024),
            (TimePart::Hours, 23, 0),
            (TimePart::Milliseconds, 250, 250),
            (TimePart::Minutes, 30, 30),
            (TimePart::Month, 2, 2),
            (TimePart::Seconds, 15, 15),
        ] {
            let offset = zone_offset("+01:00").unwrap();
            assert_eq!(time.part(part, 0), in_utc, "{part:?}");
            assert_eq!(time.part(part, offset), ahead, "{part:?}");
        }
        assert_eq!(zone_offset("-02:30"), Ok(-9000));
        assert_eq!(zone_offset("02:30"), Ok(9000));
        assert!(zone_offset("Europe/Berlin").is_err());
        assert!(zone_offset("+1").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"[0-9TZhmsnu.:+µ-]{0,24}") {
            if let (Some(time), Some(duration)) = (Timestamp::parse(&text), Duration::parse(&text)) {
                drop(time.plus(duration));
            }
            drop(zone_offset(&text));
        }
    }
}
