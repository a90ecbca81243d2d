//! How the text of a flag becomes a value: switches, numbers, durations, lists.
//!
//! Accepts what Hubble's command line accepts and refuses it with the same words, since those
//! words are what scripts and people know.

use flow_filter::quoted;

/// Why a value was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ValueError(String);

impl ValueError {
    /// An error with this text.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Reads a switch's value.
///
/// # Errors
/// Anything but the usual spellings of true and false.
pub(crate) fn switch(text: &str) -> Result<bool, ValueError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ValueError(format!(
            "strconv.ParseBool: parsing {}: invalid syntax",
            quoted(text)
        ))),
    }
}

/// The bases that [`unsigned`] reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Base {
    /// Decimal digits only.
    Ten,
    /// A leading `0x`, `0o`, `0b` or `0` says so, ten without; underscores may part digits.
    Prefix,
}

/// Reads a number without sign of at most `bits` bits.
///
/// # Errors
/// Something that is no number, or too large.
pub(crate) fn unsigned(text: &str, base: Base, bits: u32) -> Result<u64, ValueError> {
    let refuse = |why: &str| {
        Err(ValueError(format!(
            "strconv.ParseUint: parsing {}: {why}",
            quoted(text)
        )))
    };
    let (digits, radix) = match base {
        Base::Ten => (text.to_owned(), 10),
        Base::Prefix => match split_prefix(text) {
            Some(parts) => parts,
            None => return refuse("invalid syntax"),
        },
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return refuse("invalid syntax");
    }
    match u64::from_str_radix(&digits, radix) {
        Ok(number) if bits >= u64::BITS || number >> bits == 0 => Ok(number),
        _ => refuse("value out of range"),
    }
}

/// The digits and the base of a number with an optional prefix; `None` for underscores that do not
/// part digits.
fn split_prefix(text: &str) -> Option<(String, u32)> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, *radix)))
        .or_else(|| Some((lower.strip_prefix('0').filter(|rest| !rest.is_empty())?, 8)))
        .unwrap_or((lower.as_str(), 10));
    let after_prefix = radix != 10;
    let misplaced = digits.ends_with('_')
        || digits.contains("__")
        || (digits.starts_with('_') && !after_prefix);
    (!misplaced).then(|| (digits.replace('_', ""), radix))
}

/// Reads a duration such as `1h30m`, `1.5s` or `-2m`, in nanoseconds.
///
/// # Errors
/// A number without unit, a unit that does not exist, or more than about 292 years.
pub(crate) fn duration_ns(text: &str) -> Result<i64, ValueError> {
    let invalid = || ValueError(format!("time: invalid duration {}", quoted(text)));
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(after_point) => split_digits(after_point),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_length = after_number
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after_number.len());
        let (unit, after_unit) = after_number.split_at(unit_length);
        if unit.is_empty() {
            return Err(ValueError(format!(
                "time: missing unit in duration {}",
                quoted(text)
            )));
        }
        let scale = unit_ns(unit).ok_or_else(|| {
            ValueError(format!(
                "time: unknown unit {} in duration {}",
                quoted(unit),
                quoted(text)
            ))
        })?;
        let part = part_ns(whole, fraction, scale).ok_or_else(invalid)?;
        total = total
            .checked_add(part)
            .filter(|total| *total <= 1 << 63)
            .ok_or_else(invalid)?;
        rest = after_unit;
    }
    if negative {
        return Ok(0_i64.wrapping_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| invalid())
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

fn unit_ns(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter look the same and are both typed.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// `whole.fraction` times `scale`; `None` if that is out of range.
fn part_ns(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok().filter(|whole| *whole <= 1 << 63)?
    };
    let mut numerator: u128 = 0;
    let mut denominator: u128 = 1;
    // Digits past the eighteenth are below a nanosecond for every unit.
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    let fraction_ns = u64::try_from(numerator * u128::from(scale) / denominator).ok()?;
    whole
        .checked_mul(scale)?
        .checked_add(fraction_ns)
        .filter(|part| *part <= 1 << 63)
}

/// Splits a list at commas; double quotes keep a comma in an element, and two of them inside
/// quotes stand for one. An empty text is an empty list.
///
/// # Errors
/// A quote in the middle of a bare element, or one that is never closed.
pub(crate) fn list(text: &str) -> Result<Vec<String>, ValueError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut elements = Vec::new();
    let mut rest = text;
    // `after` is the end of the text from the byte on that is wrong.
    let wrong = |after: &str, why: &str| {
        let column = text.len() - after.len() + 1;
        ValueError(format!("parse error on line 1, column {column}: {why}"))
    };
    loop {
        let (element, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_element(quoted)
                .map_err(|after| wrong(after, "extraneous or missing \" in quoted-field"))?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (element, after) = rest.split_at(end);
                if let Some(quote) = element.find('"') {
                    return Err(wrong(&rest[quote..], "bare \" in non-quoted-field"));
                }
                (element.to_owned(), after)
            }
        };
        elements.push(element);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(elements),
        }
    }
}

/// An element after its opening quote, and what follows its closing one.
///
/// # Errors
/// The end of the text, from the quote on that should not be there; empty if one is missing.
fn quoted_element(text: &str) -> Result<(String, &str), &str> {
    let mut element = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"').ok_or("")?;
        element.push_str(part);
        match after.strip_prefix('"') {
            Some(next) => {
                element.push('"');
                rest = next;
            }
            None if after.is_empty() || after.starts_with(',') => return Ok((element, after)),
            None => return Err(&rest[part.len()..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_and_know_their_limits() {
        assert_eq!(duration_ns("1h43m"), Ok(6_180_000_000_000));
        assert_eq!(duration_ns("-1.5s"), Ok(-1_500_000_000));
        assert_eq!(duration_ns(".5s"), Ok(500_000_000));
        assert_eq!(duration_ns("5\u{3bc}s"), Ok(5_000));
        assert_eq!(duration_ns("0"), Ok(0));
        assert_eq!(duration_ns("2562047h47m16.854775807s"), Ok(i64::MAX));
        for wrong in ["", "h", "1d", "5", "2562048h", "--1h", "1e3s", "1h "] {
            assert!(duration_ns(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_number_without_unit_is_told_so() {
        assert_eq!(
            duration_ns("5").unwrap_err().to_string(),
            "time: missing unit in duration \"5\""
        );
    }

    #[test]
    fn numbers_are_bounded_by_their_bits() {
        assert_eq!(unsigned("65535", Base::Ten, 16), Ok(65535));
        let message = unsigned("65536", Base::Ten, 16).unwrap_err().to_string();
        assert!(message.ends_with("value out of range"), "{message}");
        assert_eq!(unsigned("0x1f", Base::Prefix, 32), Ok(31));
        assert_eq!(unsigned("017", Base::Prefix, 32), Ok(15));
        assert!(unsigned("-1", Base::Prefix, 32).is_err());
        assert_eq!(unsigned("1_0", Base::Prefix, 32), Ok(10));
        assert!(unsigned("_1", Base::Prefix, 32).is_err());
    }

    #[test]
    fn lists_split_at_commas_outside_quotes() {
        assert_eq!(list("a,,b").unwrap(), ["a", "", "b"]);
        assert_eq!(list(r#""a,b","c""d""#).unwrap(), ["a,b", "c\"d"]);
        assert!(list("").unwrap().is_empty());
        for (text, column) in [(r#""a"#, 3), (r#""a"b"#, 3), (r#"x,yy""#, 5), ("\"", 2)] {
            let message = list(text).unwrap_err().to_string();
            let place = format!("parse error on line 1, column {column}: ");
            assert!(message.starts_with(&place), "{text}: {message}");
        }
    }
}
