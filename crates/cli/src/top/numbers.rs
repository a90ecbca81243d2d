//! Numbers as people read them at a glance.

use crate::print::grouped;

/// A rate: `0.3`, `9.9`, `1,204`.
pub(super) fn rate(rate: f64) -> String {
    // What was rounded to 10 needs no digit any more.
    if rate < 9.95 {
        format!("{rate:.1}")
    } else {
        grouped(rate.round() as u64)
    }
}

/// An amount of bytes: `912 B`, `1.2 KiB`, `33 MiB`.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = bytes;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"B");
    while amount >= 1023.5 {
        let Some(larger) = units.next() else { break };
        unit = larger;
        amount /= 1024.0;
    }
    match *unit {
        "B" => format!("{amount:.0} B"),
        unit if amount < 9.95 => format!("{amount:.1} {unit}"),
        unit => format!("{amount:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_digits_say_enough() {
        let rates = [0.0, 0.25, 9.94, 9.96, 1_203.7].map(rate);
        assert_eq!(rates, ["0.0", "0.2", "9.9", "10", "1,204"]);
        let amounts = [0.0, 1023.0, 1023.9, 1024.0 * 33.4, 5e9, 1e19].map(bytes);
        assert_eq!(
            amounts,
            ["0 B", "1023 B", "1.0 KiB", "33 KiB", "4.7 GiB", "8882 PiB"]
        );
    }
}
