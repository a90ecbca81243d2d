//! Quoting of one-line texts in YAML.

use std::fmt::Write as _;

/// Appends `text` in single quotes, or in double quotes if it has characters that need escapes.
pub(super) fn quote_into(out: &mut String, text: &str) {
    if text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if is_printable(c) => out.push(c),
            _ => {
                let code = u32::from(c);
                let written = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
                debug_assert!(written.is_ok(), "writing to a string cannot fail");
            }
        }
    }
    out.push('"');
}

/// What YAML writers put down as it is: no control characters, no byte order mark, and nothing
/// beyond the first plane, which old readers do not know.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_only_where_they_are_needed() {
        let quoted = |text| {
            let mut out = String::new();
            quote_into(&mut out, text);
            out
        };
        assert_eq!(quoted("it's ü"), "'it''s ü'");
        assert_eq!(quoted("a\"\u{7f}"), "\"a\\\"\\x7F\"");
        assert_eq!(quoted("\u{1f950}"), "\"\\U0001F950\"");
    }
}
