//! What Kubernetes takes as the key and the value of a label. In: text. Out: what is wrong with it,
//! if anything.

const MAX_NAME: usize = 63;
const MAX_DOMAIN: usize = 253;

/// A label's value: a name or nothing.
pub(crate) fn check_value(value: &str) -> Result<(), &'static str> {
    if value.len() > MAX_NAME {
        return Err("must be no more than 63 characters");
    }
    if !value.is_empty() && !is_name(value) {
        return Err(
            "must be letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        );
    }
    Ok(())
}

/// A label's key: a name, or a DNS domain, a slash and a name.
pub(crate) fn check_qualified_name(text: &str) -> Result<(), &'static str> {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    if name.contains('/') {
        return Err("must have at most one slash");
    }
    if let Some(domain) = domain {
        if domain.len() > MAX_DOMAIN {
            return Err("what precedes the slash must be no more than 253 characters");
        }
        if !domain.split('.').all(is_domain_label) {
            return Err("what precedes the slash must be a lower-case DNS domain");
        }
    }
    if name.is_empty() {
        return Err("name part must not be empty");
    }
    if name.len() > MAX_NAME {
        return Err("name part must be no more than 63 characters");
    }
    if !is_name(name) {
        return Err(
            "name part must be letters, digits, '-', '_' and '.', with a letter or digit at both ends",
        );
    }
    Ok(())
}

fn is_name(text: &str) -> bool {
    is_bounded(text, |byte| byte.is_ascii_alphanumeric(), b"-_.")
}

fn is_domain_label(text: &str) -> bool {
    is_bounded(
        text,
        |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        b"-",
    )
}

/// At least one byte; ordinary ones at both ends, ordinary ones and `inner` between them.
fn is_bounded(text: &str, is_ordinary: impl Fn(u8) -> bool, inner: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().next_back()) else {
        return false;
    };
    is_ordinary(first)
        && is_ordinary(last)
        && text
            .bytes()
            .all(|byte| is_ordinary(byte) || inner.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_name_or_empty() {
        for value in ["", "a", "A_b.c-d", "5", &"a".repeat(63)] {
            assert_eq!(check_value(value), Ok(()), "{value}");
        }
        for value in [
            "-a",
            "a-",
            "a.",
            "_",
            "a b",
            "a:b",
            "a/b",
            "\u{e4}",
            &"a".repeat(64),
        ] {
            assert!(check_value(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_key_may_have_a_domain() {
        let longest = format!("{}/{}", "a".repeat(253), "B".repeat(63));
        for key in ["a", "A_b.c", "example.com/A_b", "e-x.1/a", &longest] {
            assert_eq!(check_qualified_name(key), Ok(()), "{key}");
        }
        let (domain, name) = ("a".repeat(254), "a".repeat(64));
        for key in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "A/b",
            "a_b/c",
            "a..b/c",
            "-a/b",
            "a-",
            &name,
            &format!("{domain}/a"),
        ] {
            assert!(check_qualified_name(key).is_err(), "{key}");
        }
    }
}
