//! Text that can be the name of a host.

use std::fmt;

/// The longest name in text, without the final dot (RFC 1035, 2.3.4).
const MAX_LEN: usize = 253;
const MAX_LABEL_LEN: usize = 63;

/// The name of a host: in lower case, without the final dot, and no IP address. Kept in place, as
/// most names that are heard are known already.
#[derive(Clone, Copy)]
pub(crate) struct HostName {
    bytes: [u8; MAX_LEN],
    len: u8,
}

impl HostName {
    /// From its labels. `None` where they name no host: too long, or with other characters than
    /// letters, digits, `-` and `_`, which no standard allows and many use.
    pub(crate) fn of_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut name = Self {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        let mut last: &[u8] = &[];
        for label in labels {
            if !last.is_empty() {
                name.push(b".")?;
            }
            let is_good = (1..=MAX_LABEL_LEN).contains(&label.len())
                && label
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !is_good {
                return None;
            }
            name.push(label)?;
            last = label;
        }
        // An IPv4 address ends in a number, and no name does (RFC 1123, 2.1).
        if last.iter().all(u8::is_ascii_digit) {
            return None;
        }
        name.bytes.make_ascii_lowercase();
        Some(name)
    }

    /// From text, with or without the final dot.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::of_labels(text.as_bytes().split(|&byte| byte == b'.'))
    }

    /// From the host of a URL or of a `Host` header, with or without a port.
    pub(crate) fn of_host(host: &str) -> Option<Self> {
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::of_text(name)
            }
            _ => Self::of_text(host),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII gets in, so there is always a text.
        self.bytes
            .get(..self.len.into())
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) -> Option<()> {
        let start = usize::from(self.len);
        let end = start + bytes.len();
        self.bytes.get_mut(start..end)?.copy_from_slice(bytes);
        self.len = u8::try_from(end).ok()?;
        Some(())
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_loses_its_case_its_final_dot_and_its_port() {
        let name = |text| HostName::of_text(text).map(|name| name.as_str().to_owned());
        assert_eq!(name("API.GitHub.com.").unwrap(), "api.github.com");
        assert_eq!(name("db").unwrap(), "db");
        assert_eq!(name("_ldap._tcp.corp").unwrap(), "_ldap._tcp.corp");
        let host = |text| HostName::of_host(text).map(|name| name.as_str().to_owned());
        assert_eq!(host("shop.test:8080").unwrap(), "shop.test");
        assert_eq!(host("shop.test").unwrap(), "shop.test");
    }

    #[test]
    fn what_no_host_is_called_is_no_name() {
        let long_label = "a".repeat(64);
        let long = ["a"; 128].join(".");
        let bad = [
            "",
            ".",
            "a..b",
            ".a",
            "10.0.0.1",
            "1",
            "[::1]",
            "::1",
            "fe80::1",
            "*.test",
            "a b",
            "a/b",
            "ü.test",
            "a\0.test",
            &long_label,
            &long,
        ];
        for text in bad {
            assert!(HostName::of_text(text).is_none(), "{text:?}");
            assert!(HostName::of_host(text).is_none(), "{text:?}");
        }
        for text in ["10.0.0.1:80", "[::1]:80", ":80"] {
            assert!(HostName::of_host(text).is_none(), "{text:?}");
        }
        let longest = ["a"; 127].join(".");
        assert_eq!(HostName::of_text(&longest).unwrap().as_str(), longest);
    }
}
