//! The `http_status_code` and `http_path` fields.

use std::ops::RangeInclusive;

use crate::error::FilterError;
use crate::regexp_set::RegexpSet;
use crate::url;

/// The codes that an entry such as `404`, `40+` or `4+` stands for.
pub(crate) fn parse_status_codes(entry: &str) -> Result<RangeInclusive<u32>, FilterError> {
    let invalid = || FilterError::InvalidHttpStatusCode {
        entry: entry.to_owned(),
    };
    let (digits, is_prefix) = match entry.strip_suffix('+') {
        Some(digits) => (digits, true),
        None => (entry, false),
    };
    let span = match (digits.len(), is_prefix) {
        (3, false) => 1,
        (2, true) => 10,
        (1, true) => 100,
        _ => return Err(invalid()),
    };
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number || !digits.starts_with(['1', '2', '3', '4', '5']) {
        return Err(invalid());
    }
    let first = digits.parse::<u32>().map_err(|_| invalid())? * span;
    Ok(first..=first + span - 1)
}

/// Whether an expression finds something in the path of the URL.
pub(crate) fn path_matches(patterns: &RegexpSet, url: &str) -> bool {
    url::path(url).is_some_and(|path| patterns.finds(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_code_entry_is_a_code_or_its_first_digits() {
        for (entry, expected) in [
            ("200", 200..=200),
            ("599", 599..=599),
            ("4+", 400..=499),
            ("40+", 400..=409),
        ] {
            assert_eq!(parse_status_codes(entry), Ok(expected), "{entry}");
        }
        for entry in [
            "", "+", "4", "40", "20x", "600", "099", "200+", "4++", "+4", "2000", "é+",
        ] {
            let error = parse_status_codes(entry).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("invalid http status code filter: invalid status code prefix: \"{entry}\"")
            );
        }
    }
}
