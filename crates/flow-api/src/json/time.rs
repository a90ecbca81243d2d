//! Times (RFC 3339) and durations (seconds with an `s`).

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};
use prost_types::{Duration, Timestamp};

use super::{
    canonical::Walker,
    read::{Found, ReadOptions},
    scalar::Scalar,
    write::{ToJson, Writer},
};

/// Protobuf's limits: the years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Protobuf's limits: about 10,000 years either way.
const DURATION_SECONDS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

const NANOS_PER_SECOND: i32 = 1_000_000_000;

impl ToJson for Timestamp {
    fn is_default(&self) -> bool {
        false
    }

    fn has_json(&self) -> bool {
        TIMESTAMP_SECONDS.contains(&self.seconds) && (0..NANOS_PER_SECOND).contains(&self.nanos)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let time = DateTime::from_timestamp(self.seconds, 0).unwrap_or_default();
        // "0000-00-00T00:00:00", each field from its position.
        let mut text = *b"0000-00-00T00:00:00";
        let year = time.year_ce().1;
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], time.month());
        digits(&mut text[8..10], time.day());
        digits(&mut text[11..13], time.hour());
        digits(&mut text[14..16], time.minute());
        digits(&mut text[17..19], time.second());
        writer.out.push(b'"');
        writer.out.extend_from_slice(&text);
        fraction(self.nanos.unsigned_abs(), writer);
        writer.out.extend_from_slice(b"Z\"");
    }
}

impl Scalar for Timestamp {
    const EXPECTED: &'static str = "a time such as 2024-05-06T07:08:09.5Z";

    fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
        parse_timestamp(text.as_bytes()).map(Found::Value)
    }

    fn from_canonical(walker: &mut Walker<'_>) -> Option<Self> {
        walker.time()
    }
}

impl ToJson for Duration {
    fn is_default(&self) -> bool {
        false
    }

    fn has_json(&self) -> bool {
        let same_sign = self.seconds.signum() * i64::from(self.nanos.signum()) >= 0;
        DURATION_SECONDS.contains(&self.seconds)
            && self.nanos.unsigned_abs() < NANOS_PER_SECOND.unsigned_abs()
            && same_sign
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let sign = if self.seconds < 0 || self.nanos < 0 {
            "-"
        } else {
            ""
        };
        writer.raw("\"");
        writer.raw(sign);
        writer.raw(itoa::Buffer::new().format(self.seconds.unsigned_abs()));
        fraction(self.nanos.unsigned_abs(), writer);
        writer.raw("s\"");
    }
}

impl Scalar for Duration {
    const EXPECTED: &'static str = "a duration such as 3.5s";

    fn from_text(text: &str, _: ReadOptions) -> Option<Found<Self>> {
        parse_duration(text).map(Found::Value)
    }
}

/// Fills `text` with a number, zeros first.
fn digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Writes no digits, 3, 6 or 9: as few as say it all.
fn fraction(nanos: u32, writer: &mut Writer<'_>) {
    let mut text = *b".000000000";
    digits(&mut text[1..], nanos);
    let length = match nanos {
        0 => 0,
        _ if nanos.is_multiple_of(1_000_000) => 4,
        _ if nanos.is_multiple_of(1_000) => 7,
        _ => 10,
    };
    writer.out.extend_from_slice(&text[..length]);
}

/// `2024-05-06T07:08:09`, a fraction of up to nine digits, `Z` or `±hh:mm`.
fn parse_timestamp(text: &[u8]) -> Option<Timestamp> {
    let (date_time, rest) = text.split_at_checked(19)?;
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        mo1,
        mo2,
        b'-',
        d1,
        d2,
        b'T',
        rest_of_time @ ..,
    ] = date_time
    else {
        return None;
    };
    let [h1, h2, b':', mi1, mi2, b':', s1, s2] = rest_of_time else {
        return None;
    };
    let date = NaiveDate::from_ymd_opt(
        number(&[*y1, *y2, *y3, *y4])?.try_into().ok()?,
        number(&[*mo1, *mo2])?,
        number(&[*d1, *d2])?,
    )?;
    let time = NaiveTime::from_hms_opt(
        number(&[*h1, *h2])?,
        number(&[*mi1, *mi2])?,
        number(&[*s1, *s2])?,
    )?;

    let (nanos, zone) = match rest.split_first() {
        Some((b'.', rest)) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = rest.split_at_checked(length)?;
            (parse_fraction(fraction)?, zone)
        }
        _ => (0, rest),
    };
    let offset_minutes = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = i64::from(hours * 60 + minutes);
            if *sign == b'-' { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = NaiveDateTime::new(date, time).and_utc().timestamp() - offset_minutes * 60;
    let time = Timestamp { seconds, nanos };
    time.has_json().then_some(time)
}

/// A time exactly as it is written: in `Z`, with no digits of a second, 3, 6 or 9, as few as say it
/// all.
pub(super) fn parse_canonical_timestamp(text: &[u8]) -> Option<Timestamp> {
    let before_zone = text.strip_suffix(b"Z")?;
    let is_short = match before_zone.len() {
        19 => true,
        23 | 26 | 29 => !before_zone.ends_with(b"000"),
        _ => false,
    };
    is_short.then(|| parse_timestamp(text)).flatten()
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.strip_suffix('s')?;
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text),
    };
    let (seconds, nanos) = match text.split_once('.') {
        Some((seconds, fraction)) => (seconds, parse_fraction(fraction.as_bytes())?),
        None => (text, 0),
    };
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds: i64 = seconds.parse().ok()?;
    let duration = Duration {
        seconds: i64::from(sign) * seconds,
        nanos: sign * nanos,
    };
    duration.has_json().then_some(duration)
}

/// One to nine digits after a point, as nanoseconds.
fn parse_fraction(digits: &[u8]) -> Option<i32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut padded = [b'0'; 9];
    padded[..digits.len()].copy_from_slice(digits);
    number(&padded)?.try_into().ok()
}

/// Digits only, at most nine of them.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    })
}
