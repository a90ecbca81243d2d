//! Numbers and quoted text. In: a text that may begin with one. Out: its value and its length.

use super::syntax::Literal;
use super::token::Unreadable;

type Read = Result<(Literal, usize), Unreadable>;

/// The number at the start of a text, without a sign.
pub(super) fn number(text: &str) -> Option<Read> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let fraction_starts = |at: usize| bytes.get(at) == Some(&b'.') && digits(at + 1) > 0;
    let whole = digits(0);
    if whole == 0 && !fraction_starts(0) {
        return None;
    }
    if bytes[0] == b'0' && matches!(bytes.get(1), Some(b'x')) {
        let rest = bytes.iter().skip(2);
        let length = rest.take_while(|byte| byte.is_ascii_hexdigit()).count();
        if length > 0 {
            return Some(integer(text, 2, 2 + length, 16));
        }
    }
    let mut end = whole;
    if fraction_starts(end) {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    if end == whole {
        return Some(integer(text, 0, end, 10));
    }
    Some(match text[..end].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Literal::Double(number), end)),
        _ => Err(Unreadable {
            length: end,
            problem: "invalid double literal".to_owned(),
        }),
    })
}

fn integer(text: &str, start: usize, end: usize, radix: u32) -> Read {
    let digits = &text[start..end];
    let (literal, length, problem) = if text[end..].starts_with(['u', 'U']) {
        let number = u64::from_str_radix(digits, radix);
        (
            number.map(Literal::Uint).ok(),
            end + 1,
            "invalid uint literal",
        )
    } else {
        // One more than the largest, for the sign that may stand before it.
        let number = u64::from_str_radix(digits, radix).ok();
        let number = number.filter(|number| *number <= i64::MIN.unsigned_abs());
        (
            number.map(|number| Literal::Int(number.cast_signed())),
            end,
            "invalid int literal",
        )
    };
    literal
        .map(|literal| (literal, length))
        .ok_or_else(|| Unreadable {
            length,
            problem: problem.to_owned(),
        })
}

/// The string or the bytes at the start of a text.
pub(super) fn quoted(text: &str) -> Option<Read> {
    let is_bytes = text.starts_with(['b', 'B']);
    let after_bytes = &text[usize::from(is_bytes)..];
    let is_raw = after_bytes.starts_with(['r', 'R']);
    let after_prefix = &after_bytes[usize::from(is_raw)..];
    let quote = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| after_prefix.starts_with(*quote))?;
    let start = text.len() - after_prefix.len() + quote.len();
    let Some(end) = closing(&text[start..], quote, is_raw).map(|length| start + length) else {
        let line = text.find('\n').unwrap_or(text.len());
        return Some(Err(Unreadable::unknown(text, line)));
    };
    let length = end + quote.len();
    let inside = text[start..end].replace("\r\n", "\n").replace('\r', "\n");
    let bytes = if is_raw {
        Some(inside.into_bytes())
    } else {
        unescape(&inside, is_bytes)
    };
    let literal = bytes.and_then(|bytes| {
        if is_bytes {
            Some(Literal::Bytes(bytes))
        } else {
            String::from_utf8(bytes).ok().map(Literal::String)
        }
    });
    Some(
        literal
            .map(|literal| (literal, length))
            .ok_or_else(|| Unreadable::unknown(text, length)),
    )
}

/// Where the closing quote stands. Only three quotes hold the end of a line.
fn closing(text: &str, quote: &str, is_raw: bool) -> Option<usize> {
    let mut escaped = false;
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if !is_raw => escaped = true,
            '\n' | '\r' if quote.len() == 1 => return None,
            _ if text[place..].starts_with(quote) => return Some(place),
            _ => {}
        }
    }
    None
}

/// The text with its escapes resolved; nothing if one of them means nothing. An escaped number
/// stands for a character in a string, and for a byte in bytes.
fn unescape(text: &str, is_bytes: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..place]);
        let escape = &rest[place + 1..];
        let letter = escape.chars().next()?;
        let (digits, radix, start) = match letter {
            'x' | 'X' => (2, 16, 1),
            'u' if !is_bytes => (4, 16, 1),
            'U' if !is_bytes => (8, 16, 1),
            '0'..='3' => (3, 8, 0),
            _ => {
                out.push(match letter {
                    'a' => 0x07,
                    'b' => 0x08,
                    'f' => 0x0c,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 0x0b,
                    '\\' | '\'' | '"' | '`' | '?' => u8::try_from(letter).ok()?,
                    _ => return None,
                });
                rest = &escape[1..];
                continue;
            }
        };
        let number = escape.get(start..start + digits)?;
        if !number.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let number = u32::from_str_radix(number, radix).ok()?;
        if is_bytes {
            out.push(u8::try_from(number).ok()?);
        } else {
            let character = char::from_u32(number)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        rest = &escape[start + digits..];
    }
    out.extend_from_slice(rest.as_bytes());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Literal {
        Literal::String(text.to_owned())
    }

    #[test]
    fn numbers_are_read() {
        for (text, expected, length) in [
            ("0", Literal::Int(0), 1),
            ("12.", Literal::Int(12), 2),
            ("0xfF)", Literal::Int(255), 4),
            ("7u", Literal::Uint(7), 2),
            ("0x10U", Literal::Uint(16), 5),
            ("18446744073709551615u", Literal::Uint(u64::MAX), 21),
            ("1.5", Literal::Double(1.5), 3),
            (".5", Literal::Double(0.5), 2),
            ("1e3", Literal::Double(1000.0), 3),
            ("1.5E-1x", Literal::Double(0.15), 6),
            ("1e", Literal::Int(1), 1),
        ] {
            let read = number(text).and_then(Result::ok);
            assert_eq!(read, Some((expected, length)), "{text}");
        }
        for text in ["", "a1", ".", "-1"] {
            assert!(number(text).is_none(), "{text}");
        }
        for text in ["9223372036854775809", "18446744073709551616u", "1e999"] {
            assert!(number(text).is_some_and(|read| read.is_err()), "{text}");
        }
    }

    #[test]
    fn quoted_text_is_read() {
        for (text, expected) in [
            ("''", string("")),
            (r#""a'b""#, string("a'b")),
            (r#"'a"b'"#, string("a\"b")),
            (
                r"'\a\b\f\n\r\t\v\\\'\?\`'",
                string("\u{7}\u{8}\u{c}\n\r\t\u{b}\\'?`"),
            ),
            (r"'\x41\u00e9\U0001F600\101'", string("Aé😀A")),
            (r"'\xff'", string("ÿ")),
            (r"r'\n'", string(r"\n")),
            ("'''a'b\r\n''c'''", string("a'b\n''c")),
            ("\"\"\"\"\"\"", string("")),
            (
                r"b'\xff\101é'",
                Literal::Bytes(vec![0xff, b'A', 0xc3, 0xa9]),
            ),
            (r"bR'\n'", Literal::Bytes(br"\n".to_vec())),
        ] {
            let read = quoted(text).and_then(Result::ok);
            assert_eq!(read, Some((expected, text.len())), "{text}");
        }
        for text in ["", "r", "b", "x'", "rb'a'"] {
            assert!(quoted(text).is_none(), "{text}");
        }
        for text in [
            "'",
            "'''a''",
            "'a\nb'",
            r"'\q'",
            r"'\x4'",
            r"'\x4é'",
            r"'\ud800'",
            r"'\400'",
            r"'\089'",
            r"b'\u0041'",
            r"'\",
        ] {
            assert!(quoted(text).is_some_and(|read| read.is_err()), "{text}");
        }
    }
}
