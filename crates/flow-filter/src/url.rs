//! The path of a URL, for the `http_path` field.
//!
//! What counts as a URL is what Go's `url.ParseRequestURI` takes, since a flow whose URL it refuses
//! must not match: an absolute URI or an absolute path, never with a fragment.

use std::borrow::Cow;

/// The path with its percent escapes decoded, or nothing where the text is not a URL. Borrowed
/// unless there are escapes.
pub(crate) fn path(url: &str) -> Option<Cow<'_, [u8]>> {
    if url.is_empty() || url.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    if url == "*" {
        return Some(Cow::Borrowed(b"*"));
    }
    let (scheme, rest) = split_scheme(url)?;
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        // `mailto:x` is a URL without a path.
        return (!scheme.is_empty()).then_some(Cow::Borrowed(b""));
    }
    let path = match rest.strip_prefix("//") {
        Some(rest) if !scheme.is_empty() => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !is_authority(authority) {
                return None;
            }
            path
        }
        _ => rest,
    };
    decode(path.as_bytes())
}

/// The scheme and what follows its colon. No scheme is fine, an empty one is not.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let is_scheme =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.');
    match url.find(|character| !is_scheme(character)) {
        Some(0) if url.starts_with(':') => None,
        Some(end)
            if url[end..].starts_with(':')
                && url.starts_with(|c: char| c.is_ascii_alphabetic()) =>
        {
            Some((&url[..end], &url[end + 1..]))
        }
        _ => Some(("", url)),
    }
}

/// `user@host:port`, where only the host must be there, and may be empty.
fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let is_user = user
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte));
    let (name, port) = match host.strip_prefix('[') {
        Some(host) => match host.rsplit_once(']') {
            Some((name, port)) => (name, port),
            None => return false,
        },
        None => host.split_at(host.rfind(':').unwrap_or(host.len())),
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|digit| digit.is_ascii_digit()),
        None => port.is_empty(),
    };
    is_user && decode(user.as_bytes()).is_some() && is_port && is_host(name)
}

fn is_host(name: &str) -> bool {
    let allowed = |byte: u8| {
        !byte.is_ascii()
            || byte.is_ascii_alphanumeric()
            || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&byte)
    };
    // Of ASCII characters only the percent sign itself, which begins a zone, may be escaped.
    let escapes_allowed = name
        .split('%')
        .skip(1)
        .all(|escape| escape.starts_with("25") || escape.starts_with(|digit| digit >= '8'));
    name.bytes().all(allowed) && escapes_allowed && decode(name.as_bytes()).is_some()
}

/// Nothing where a percent sign is not followed by two hexadecimal digits.
fn decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(Cow::Owned(decoded))
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_the_query_and_is_decoded() {
        for (url, expected) in [
            ("/", "/"),
            ("/a/b?c=/d", "/a/b"),
            ("/a%20b%2Fc", "/a b/c"),
            ("/a+b", "/a+b"),
            ("/a#b", "/a#b"),
            ("//host/a", "//host/a"),
            ("*", "*"),
            ("http://host/a", "/a"),
            ("http://host", ""),
            ("http://host?a=/b", ""),
            ("http://user:pw@host:80/a", "/a"),
            ("http://[::1]:80/a", "/a"),
            ("http://host:/a", "/a"),
            ("http:/a", "/a"),
            ("mailto:x@y", ""),
            ("HTTPS://host/ä", "/ä"),
        ] {
            let found = path(url).map(|path| String::from_utf8(path.into_owned()).unwrap());
            assert_eq!(found.as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_has_no_path() {
        for url in [
            "",
            "a/b",
            "example.com/a",
            ":80/a",
            "1http://host/",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a\n",
            "/\u{7f}",
            "http://host:x/",
            "http://[::1/a",
            "http://ho st/a",
            "http://a%41/",
            "?a",
            "http://us er@host/",
        ] {
            assert_eq!(path(url), None, "{url:?}");
        }
    }
}
