//! Errors in plain words, for messages that a person reads.

use std::error::Error;

/// The innermost error's text. The layers around it say only that something failed, which the message
/// that it becomes part of says already.
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    plain(&innermost.to_string())
}

/// `Permission denied (os error 13)` is `permission denied` to a reader.
#[must_use]
pub fn plain(text: &str) -> String {
    let text = text.split(" (os error ").next().unwrap_or(text);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // Not a name in capitals, such as DNS.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_cause_is_the_innermost_one_in_plain_words() {
        let denied = io::Error::from_raw_os_error(13);
        let wrapped = io::Error::other(io::Error::other(denied));
        assert_eq!(root_cause(&wrapped), "permission denied");
    }

    #[test]
    fn names_in_capitals_keep_them() {
        assert_eq!(plain("DNS says no"), "DNS says no");
        assert_eq!(
            plain("Connection refused (os error 111)"),
            "connection refused"
        );
    }
}
