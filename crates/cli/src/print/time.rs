//! How points in time look. Always in UTC.

use prost_types::Timestamp;

use super::append;
use crate::civil::{DAYS, Date, MONTHS, SECONDS_PER_DAY};

/// The layouts that `--time-format` knows by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TimeFormat {
    /// `Mon, 02 Jan 2006 15:04:05 +0000`
    Rfc1123Z,
    /// `2006-01-02T15:04:05Z`
    Rfc3339,
    /// The same with up to six digits of a second.
    Rfc3339Micro,
    /// The same with up to three.
    Rfc3339Milli,
    /// The same with up to nine.
    Rfc3339Nano,
    /// `Jan  2 15:04:05.000`
    StampMilli,
    /// `2006-01-02`
    YearMonthDay,
    /// `2006-01-02T15Z`
    YearMonthDayHour,
    /// `2006-01-02T15:04Z`
    YearMonthDayHourMinute,
}

/// The first moment of the year 1 and the last of 9999: what protobuf calls a valid time.
const VALID_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl TimeFormat {
    /// The layout of this name, in upper or lower case; [`StampMilli`](Self::StampMilli) for any
    /// other text.
    pub(crate) fn from_name(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "rfc1123z" => Self::Rfc1123Z,
            "rfc3339" => Self::Rfc3339,
            "rfc3339micro" => Self::Rfc3339Micro,
            "rfc3339milli" => Self::Rfc3339Milli,
            "rfc3339nano" => Self::Rfc3339Nano,
            "yearmonthday" => Self::YearMonthDay,
            "yearmonthdayhour" => Self::YearMonthDayHour,
            "yearmonthdayhourminute" => Self::YearMonthDayHourMinute,
            _ => Self::StampMilli,
        }
    }

    /// Appends a time; `N/A` for none, and for one outside the calendar.
    pub(crate) fn write(self, out: &mut Vec<u8>, time: Option<&Timestamp>) {
        let Some((seconds, nanos)) = time.and_then(valid) else {
            out.extend_from_slice(b"N/A");
            return;
        };
        let date = Date::from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let Date { year, month, day } = date;
        let month_name = MONTHS[(month as usize - 1) % MONTHS.len()];
        match self {
            Self::Rfc1123Z => {
                let weekday = DAYS[date.weekday()];
                append!(
                    out,
                    "{weekday}, {day:02} {month_name} {year:04} {hour:02}:{minute:02}:{second:02} +0000"
                );
                return;
            }
            Self::StampMilli => {
                let millis = nanos / 1_000_000;
                append!(
                    out,
                    "{month_name} {day:>2} {hour:02}:{minute:02}:{second:02}.{millis:03}"
                );
                return;
            }
            _ => append!(out, "{year:04}-{month:02}-{day:02}"),
        }
        match self {
            Self::YearMonthDay => return,
            Self::YearMonthDayHour => append!(out, "T{hour:02}"),
            Self::YearMonthDayHourMinute => append!(out, "T{hour:02}:{minute:02}"),
            _ => append!(out, "T{hour:02}:{minute:02}:{second:02}"),
        }
        match self {
            Self::Rfc3339Milli => fraction(out, nanos, 3),
            Self::Rfc3339Micro => fraction(out, nanos, 6),
            Self::Rfc3339Nano => fraction(out, nanos, 9),
            _ => {}
        }
        out.push(b'Z');
    }
}

fn valid(time: &Timestamp) -> Option<(i64, u32)> {
    let nanos = u32::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    VALID_SECONDS
        .contains(&time.seconds)
        .then_some((time.seconds, nanos))
}

/// The first `digits` digits of a second, without zeros at the end, and no point without digits.
fn fraction(out: &mut Vec<u8>, nanos: u32, digits: usize) {
    let all = format!("{nanos:09}");
    let kept = all[..digits].trim_end_matches('0');
    if !kept.is_empty() {
        append!(out, ".{kept}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, seconds: i64, nanos: i32) -> String {
        let mut out = Vec::new();
        TimeFormat::from_name(name).write(&mut out, Some(&Timestamp { seconds, nanos }));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_layout_is_known_by_name() {
        let shown = |name| shown(name, 1_717_225_445, 120_400_000);
        assert_eq!(shown("StampMilli"), "Jun  1 07:04:05.120");
        assert_eq!(shown("anything else"), "Jun  1 07:04:05.120");
        assert_eq!(shown("YearMonthDay"), "2024-06-01");
        assert_eq!(shown("YearMonthDayHour"), "2024-06-01T07Z");
        assert_eq!(shown("YearMonthDayHourMinute"), "2024-06-01T07:04Z");
        assert_eq!(shown("RFC3339"), "2024-06-01T07:04:05Z");
        assert_eq!(shown("rfc3339milli"), "2024-06-01T07:04:05.12Z");
        assert_eq!(shown("RFC3339MICRO"), "2024-06-01T07:04:05.1204Z");
        assert_eq!(shown("RFC3339Nano"), "2024-06-01T07:04:05.1204Z");
        assert_eq!(shown("RFC1123Z"), "Sat, 01 Jun 2024 07:04:05 +0000");
    }

    #[test]
    fn whole_seconds_have_no_point() {
        assert_eq!(shown("RFC3339Nano", 0, 0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn times_outside_the_calendar_are_not_available() {
        assert_eq!(shown("RFC3339", 253_402_300_800, 0), "N/A");
        assert_eq!(shown("RFC3339", 0, -1), "N/A");
        let mut out = Vec::new();
        TimeFormat::StampMilli.write(&mut out, None);
        assert_eq!(out, b"N/A");
    }
}
