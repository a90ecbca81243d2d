//! Durations in answers, as Hubble's command line shows them.

const NS_PER_SECOND: i64 = 1_000_000_000;

/// A duration such as `1h30m5s`, `12.5s`, `69.8ms` or `3ns`.
pub(super) fn words(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let total = ns.unsigned_abs();
    let text = match total {
        0 => return "0s".to_owned(),
        1..1_000 => format!("{total}ns"),
        1_000..1_000_000 => format!("{}\u{b5}s", decimal(total, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(total, 1_000_000)),
        _ => {
            let minutes = total / 60_000_000_000;
            let seconds = decimal(total % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// The same for the wire's number without sign, which may be more than a duration can be.
pub(super) fn wire_words(ns: u64) -> String {
    i64::try_from(ns).map_or_else(|_| format!("{ns}ns"), words)
}

/// Rounded to whole seconds, halves away from zero; the longest duration stays as it is.
pub(super) fn rounded_to_seconds(ns: i64) -> i64 {
    let half = NS_PER_SECOND / 2 * ns.signum();
    match ns.checked_add(half) {
        Some(sum) => sum - sum % NS_PER_SECOND,
        None => ns.signum().saturating_mul(i64::MAX),
    }
}

/// As seconds with a fraction.
pub(super) fn seconds(ns: i64) -> f64 {
    (ns / NS_PER_SECOND) as f64 + (ns % NS_PER_SECOND) as f64 / 1e9
}

/// `number / unit` without zeros at the end; `unit` is a power of ten.
fn decimal(number: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let fraction = format!("{:0digits$}", number % unit);
    let fraction = fraction.trim_end_matches('0');
    match fraction {
        "" => (number / unit).to_string(),
        _ => format!("{}.{fraction}", number / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_fits_the_duration() {
        assert_eq!(words(0), "0s");
        assert_eq!(words(192), "192ns");
        assert_eq!(words(1_500), "1.5\u{b5}s");
        assert_eq!(words(69_814_199), "69.814199ms");
        assert_eq!(words(1_000_000_000), "1s");
        assert_eq!(words(3_600_000_000_000), "1h0m0s");
        assert_eq!(words(951_077_837_429_266), "264h11m17.837429266s");
        assert_eq!(words(-90_000_000_000), "-1m30s");
        assert_eq!(wire_words(u64::MAX), "18446744073709551615ns");
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!(rounded_to_seconds(499_999_999), 0);
        assert_eq!(rounded_to_seconds(500_000_000), NS_PER_SECOND);
        assert_eq!(rounded_to_seconds(i64::MAX), i64::MAX);
    }
}
