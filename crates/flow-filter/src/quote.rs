//! Text in quotes as Hubble's messages have it: Go's `%q`.

use std::sync::LazyLock;

use regex::Regex;

/// The text in double quotes, with everything unprintable escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    enclose(text, '"')
}

/// One character in single quotes, escaped alike.
#[must_use]
pub fn quoted_char(character: char) -> String {
    enclose(character.encode_utf8(&mut [0; 4]), '\'')
}

fn enclose(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for character in text.chars() {
        escape_into(&mut quoted, character, quote);
    }
    quoted.push(quote);
    quoted
}

fn escape_into(quoted: &mut String, character: char, quote: char) {
    let short = match character {
        '\u{07}' => 'a',
        '\u{08}' => 'b',
        '\u{0c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{0b}' => 'v',
        '\\' => '\\',
        _ if character == quote => quote,
        _ if is_printable(character) => return quoted.push(character),
        _ => {
            let code = u32::from(character);
            quoted.push_str(&match code {
                0..=0x7f => format!("\\x{code:02x}"),
                0x80..=0xffff => format!("\\u{code:04x}"),
                _ => format!("\\U{code:08x}"),
            });
            return;
        }
    };
    quoted.extend(['\\', short]);
}

/// Letters, marks, numbers, punctuation, symbols, and of all spaces the ASCII one.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // Many processes quote nothing but ASCII.
    static CLASS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\pL\pM\pN\pP\pS]").ok());
    let class = CLASS.as_ref();
    class.is_some_and(|class| class.is_match(character.encode_utf8(&mut [0; 4])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stands_as_it_is_and_the_rest_is_escaped() {
        for (text, expected) in [
            ("", r#""""#),
            ("arp", r#""arp""#),
            ("a\"b\\c'", r#""a\"b\\c'""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\u{7f}", r#""\x00\x7f""#),
            ("ünï \u{a0}\u{200b}", r#""ünï \u00a0\u200b""#),
            ("\u{e0001}", r#""\U000e0001""#),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(quoted_char('ü'), "'ü'");
        assert_eq!(quoted_char('\''), r"'\''");
        assert_eq!(quoted_char('"'), "'\"'");
    }
}
