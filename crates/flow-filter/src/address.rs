//! IP addresses as filters name them. In: text. Out: a number to compare, or what is wrong with the
//! text in the words of Go's `netip.ParseAddr`, which is what clients of Hubble see.

use std::net::{IpAddr, Ipv6Addr};

use crate::quote::quoted;

/// Why a text is not an IP address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("ParseAddr({}): {problem}{}", quoted(.text), place(.at.as_deref()))]
pub struct AddressError {
    text: String,
    problem: &'static str,
    at: Option<String>,
}

fn place(at: Option<&str>) -> String {
    at.map_or_else(String::new, |at| format!(" (at {})", quoted(at)))
}

/// An address and whether it carried a zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    pub(crate) ip: IpAddr,
    pub(crate) has_zone: bool,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        let zoned = text.split_once('%').filter(|(_, zone)| !zone.is_empty());
        let parsed = match zoned {
            Some((address, _)) => address.parse::<Ipv6Addr>().map(IpAddr::V6),
            None => text.parse::<IpAddr>(),
        };
        match parsed {
            Ok(ip) => Ok(Self {
                ip,
                has_zone: zoned.is_some(),
            }),
            Err(_) => {
                let Problem { problem, at } = address_problem(text);
                Err(AddressError {
                    text: text.to_owned(),
                    problem,
                    at: at.map(str::to_owned),
                })
            }
        }
    }
}

/// What is wrong with an address, and from where on.
struct Problem<'a> {
    problem: &'static str,
    at: Option<&'a str>,
}

fn whole(problem: &'static str) -> Problem<'static> {
    Problem { problem, at: None }
}

fn from<'a>(problem: &'static str, at: &'a str) -> Problem<'a> {
    Problem {
        problem,
        at: Some(at),
    }
}

/// Names what is wrong with a text that is known to be no address. The first of `.`, `:` and `%`
/// tells what the text was meant to be.
fn address_problem(text: &str) -> Problem<'_> {
    match text
        .chars()
        .find(|character| matches!(character, '.' | ':' | '%'))
    {
        Some('.') => v4_problem(text).unwrap_or_else(|| whole("unable to parse IP")),
        Some(':') => v6_problem(text),
        Some(_) => whole("missing IPv6 address"),
        None => whole("unable to parse IP"),
    }
}

fn v4_problem(text: &str) -> Option<Problem<'_>> {
    let mut value = 0;
    let mut digits = 0;
    let mut dots = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Some(whole("IPv4 field has octet with leading zero"));
                }
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return Some(whole("IPv4 field has value >255"));
                }
            }
            b'.' => {
                if digits == 0 || index + 1 == text.len() {
                    let problem = "IPv4 field must have at least one digit";
                    return Some(from(problem, &text[index..]));
                }
                if dots == 3 {
                    return Some(whole("IPv4 address too long"));
                }
                (value, digits, dots) = (0, 0, dots + 1);
            }
            _ => {
                // Everything before was ASCII, so this is a character's first byte.
                return Some(from("unexpected character", &text[index..]));
            }
        }
    }
    (dots < 3).then(|| whole("IPv4 address too short"))
}

fn v6_problem(text: &str) -> Problem<'_> {
    let mut rest = match text.split_once('%') {
        Some((_, "")) => return whole("zone must be a non-empty string"),
        Some((address, _)) => address,
        None => text,
    };
    let mut groups = 0;
    let mut has_gap = false;
    if let Some(after) = rest.strip_prefix("::") {
        has_gap = true;
        rest = after;
    }
    while groups < 8 {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let after = &rest[digits..];
        match digits {
            0 => {
                return from(
                    "each colon-separated field must have at least one digit",
                    rest,
                );
            }
            1..=4 => {}
            _ => return from("each group must have 4 or less digits", rest),
        }
        if after.starts_with('.') {
            if !has_gap && groups != 6 {
                let problem =
                    "embedded IPv4 address must replace the final 2 fields of the address";
                return from(problem, rest);
            }
            if groups > 6 {
                let problem =
                    "too many hex fields to fit an embedded IPv4 at the end of the address";
                return from(problem, rest);
            }
            if let Some(problem) = v4_problem(rest) {
                return problem;
            }
            rest = "";
            break;
        }
        groups += 1;
        rest = after;
        match after.strip_prefix(':') {
            None if after.is_empty() => break,
            None => return from("unexpected character, want colon", after),
            Some("") => return from("colon must be followed by more characters", after),
            Some(next) => rest = next,
        }
        if let Some(next) = rest.strip_prefix(':') {
            if has_gap {
                return from("multiple :: in address", rest);
            }
            has_gap = true;
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        from("trailing garbage after address", rest)
    } else if has_gap {
        whole("the :: must expand to at least one field of zeros")
    } else {
        whole("address string too short")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_explained() {
        for (text, expected) in [
            ("", "unable to parse IP"),
            ("nope", "unable to parse IP"),
            ("%eth0", "missing IPv6 address"),
            ("10.0.0.256", "IPv4 field has value >255"),
            ("010.1.1.1", "IPv4 field has octet with leading zero"),
            ("1.2.3", "IPv4 address too short"),
            ("1.2.3.4.5", "IPv4 address too long"),
            (
                "1..2.3",
                r#"IPv4 field must have at least one digit (at ".2.3")"#,
            ),
            (
                "1.2.3.",
                r#"IPv4 field must have at least one digit (at ".")"#,
            ),
            ("1.2.3.4%e", r#"unexpected character (at "%e")"#),
            ("fe80::1%", "zone must be a non-empty string"),
            (
                "12345::",
                r#"each group must have 4 or less digits (at "12345::")"#,
            ),
            (
                ":1",
                r#"each colon-separated field must have at least one digit (at ":1")"#,
            ),
            ("1:2", "address string too short"),
            ("1::2::3", r#"multiple :: in address (at ":3")"#),
            (
                "1:",
                r#"colon must be followed by more characters (at ":")"#,
            ),
            (
                "1:g",
                r#"each colon-separated field must have at least one digit (at "g")"#,
            ),
            ("1g::", r#"unexpected character, want colon (at "g::")"#),
            (
                "1:2:3:4:5:6:7:8:9",
                r#"trailing garbage after address (at "9")"#,
            ),
            (
                "1:2:3:4::5:6:7:8",
                "the :: must expand to at least one field of zeros",
            ),
            ("::1.2.3", "IPv4 address too short"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("ParseAddr({}): {expected}", quoted(text)));
        }
    }
}
