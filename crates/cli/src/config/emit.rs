//! Writes values as YAML, in the form that Hubble's client writes: names in order, four blanks a
//! level, and quotes only where a text would otherwise be read as something else.

use std::fmt::Write as _;

use super::value::Value;

/// A value as a YAML document, with a line end.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::List(list) if !list.is_empty() => block(&mut out, value, 0),
        Value::Map(map) if !map.is_empty() => block(&mut out, value, 0),
        scalar => {
            inline(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

/// The lines of a list or a map, `depth` levels in.
fn block(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::List(list) => {
            for element in list {
                indent(out, depth);
                out.push('-');
                nested(out, element, depth);
            }
        }
        Value::Map(map) => {
            for (name, value) in map {
                indent(out, depth);
                text(out, name, depth);
                out.push(':');
                nested(out, value, depth);
            }
        }
        scalar => inline(out, scalar, depth),
    }
}

/// What follows a name or a hyphen: more lines, or a value on the same one.
fn nested(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::List(list) => !list.is_empty(),
        Value::Map(map) => !map.is_empty(),
        _ => false,
    };
    if is_block {
        out.push('\n');
        block(out, value, depth + 1);
    } else {
        out.push(' ');
        inline(out, value, depth);
        out.push('\n');
    }
}

fn inline(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Switch(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Whole(value) => append(out, format_args!("{value}")),
        Value::Fraction(value) => fraction(out, *value),
        Value::Text(value) => text(out, value, depth),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

fn fraction(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str(".nan");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { ".inf" } else { "-.inf" });
    } else if value == 0.0 || (1e-4..1e21).contains(&value.abs()) {
        append(out, format_args!("{value}"));
    } else {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        append(out, format_args!("{digits}e{sign}{exponent:0>2}"));
    }
}

/// A text, in the plainest style that reads back as this text.
fn text(out: &mut String, text: &str, depth: usize) {
    if reads_as_another_type(text) || !text.chars().all(|c| c == '\n' || is_printable(c)) {
        double_quoted(out, text);
    } else if text.contains('\n') {
        lines(out, text, depth);
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

/// A text of several lines, one level further in.
fn lines(out: &mut String, text: &str, depth: usize) {
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('4');
    }
    let kept = text.strip_suffix('\n');
    match kept {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => out.push('+'),
        Some(_) => {}
    }
    for line in kept.unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth + 1);
            out.push_str(line);
        }
    }
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        let named = match c {
            '\0' => "\\0",
            '\x07' => "\\a",
            '\x08' => "\\b",
            '\t' => "\\t",
            '\n' => "\\n",
            '\x0b' => "\\v",
            '\x0c' => "\\f",
            '\r' => "\\r",
            '\x1b' => "\\e",
            '"' => "\\\"",
            '\\' => "\\\\",
            '\u{85}' => "\\N",
            '\u{a0}' => "\\_",
            '\u{2028}' => "\\L",
            '\u{2029}' => "\\P",
            _ if is_printable(c) => {
                out.push(c);
                continue;
            }
            _ => {
                let code = u32::from(c);
                match code {
                    0..=0xff => append(out, format_args!("\\x{code:02X}")),
                    0x100..=0xffff => append(out, format_args!("\\u{code:04X}")),
                    _ => append(out, format_args!("\\U{code:08X}")),
                }
                continue;
            }
        };
        out.push_str(named);
    }
    out.push('"');
}

/// Whether a text without quotes would be something else: a number, a date, a switch, nothing.
fn reads_as_another_type(text: &str) -> bool {
    const WORDS: [&str; 41] = [
        "", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE",
        // What older readers take for switches.
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
        "OFF", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
        "-.Inf", "-.INF", "+.nan", "-.nan",
    ];
    WORDS.contains(&text) || is_number(text) || is_date(text) || is_base_60(text)
}

fn is_number(text: &str) -> bool {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return false;
    }
    let digits = text.replace('_', "");
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let lower = unsigned.to_ascii_lowercase();
    let in_base = |prefix: &str, radix: u32| {
        lower.strip_prefix(prefix).is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix))
        })
    };
    in_base("0x", 16) || in_base("0o", 8) || in_base("0b", 2) || is_decimal(unsigned)
}

/// Digits with an optional fraction and exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_one = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    let mantissa_is_one = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    exponent_is_one && mantissa_is_one
}

/// `2026-01-31`, alone or with a time behind it.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    let parts: Vec<&str> = date.split('-').collect();
    parts.len() == 3
        && parts[1..]
            .iter()
            .all(|part| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit()))
        && (time.is_empty()
            || (time.contains(':') && time.starts_with(|c: char| c.is_ascii_digit())))
}

/// Numbers with colons, such as `12:30`, that older readers count by sixties.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let whole = unsigned.split('.').next().unwrap_or_default();
    let fraction_is_one = unsigned[whole.len()..]
        .chars()
        .skip(1)
        .all(|c| c.is_ascii_digit() || c == '_');
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    fraction_is_one
        && !rest.is_empty()
        && first.starts_with(|c: char| c.is_ascii_digit())
        && first.chars().all(|c| c.is_ascii_digit() || c == '_')
        && rest.iter().all(|part| match part.as_bytes() {
            [one] => one.is_ascii_digit(),
            [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
            _ => false,
        })
}

/// Whether a text may stand without quotes: no mark of YAML where it would count as one.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else {
        return false;
    };
    let second = chars.next();
    if text.starts_with("---") || text.starts_with("...") {
        return false;
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.ends_with(':') {
        return false;
    }
    let starts_a_mark = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%'
        | '@' | '`' => true,
        '-' | '?' => second.is_none_or(|c| c == ' '),
        ':' => second.is_none_or(|c| c == ' '),
        _ => false,
    };
    !starts_a_mark && !text.contains(": ") && !text.contains(" #")
}

/// What needs no escape: no control characters, no byte order mark, and nothing beyond the first
/// plane, which old readers do not know.
fn is_printable(c: char) -> bool {
    matches!(c,
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
        && !matches!(c, '\u{2028}' | '\u{2029}')
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("    ", depth));
}

fn append(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn emitted(text: &str) -> String {
        let map = BTreeMap::from([("key".to_owned(), Value::Text(text.to_owned()))]);
        let yaml = yaml(&Value::Map(map));
        yaml.strip_prefix("key: ").unwrap().to_owned()
    }

    #[test]
    fn texts_have_quotes_only_where_they_need_them() {
        for plain in [
            "a:b",
            "-a",
            "?a",
            ":a",
            "a,b",
            "a#b",
            "a# b",
            "a  b",
            "~a",
            "a]",
            "_1",
            "0x",
            "1e",
            "inf",
            "NaN",
            "=",
            "<<",
            "1.2.3",
            "x'y",
            "a\\b",
            "tls://relay:443",
            "\u{e9}",
        ] {
            assert_eq!(emitted(plain), format!("{plain}\n"));
        }
        for single in [
            "a: b", "a #b", "#a", "- a", "-", "? a", "a:", "!x", "&x", "*x", "@x", "%x", "|", ">",
            "\"q\"", "{a}", "[a]", " a", "a ", "---", "...", "--- a", "...a", "`x", "a : b",
        ] {
            assert_eq!(emitted(single), format!("'{single}'\n"));
        }
        for double in [
            "",
            "1",
            "null",
            "~",
            "yes",
            "on",
            "true",
            "0x1f",
            "0o17",
            "017",
            "1_000",
            "1e3",
            ".5",
            "+1",
            "-1",
            ".inf",
            ".nan",
            "2024-01-02",
            "12:30",
            "1:2:3",
            "y",
            "N",
            "off",
            "1_",
            "0b11",
            "1.",
            "2024-01-02T03:04:05Z",
        ] {
            assert_eq!(emitted(double), format!("\"{double}\"\n"));
        }
        assert_eq!(emitted("'q'"), "'''q'''\n");
        assert_eq!(emitted("a\tb"), "\"a\\tb\"\n");
        assert_eq!(emitted("\u{1f600}"), "\"\\U0001F600\"\n");
    }

    #[test]
    fn texts_of_several_lines_keep_them() {
        assert_eq!(emitted("a\nb"), "|-\n    a\n    b\n");
        assert_eq!(emitted("a\n"), "|\n    a\n");
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        for text in [
            "",
            "1",
            "a: b",
            "a\nb",
            "a\n",
            "a\nb\n",
            "\n",
            " a\nb",
            "'",
            "\u{7}",
            "\u{1f600}",
            "2024-01-02",
            "12:30",
            "- a",
            "x\n\ny\n\n",
            "\u{85}",
            "0b11",
            "1e3",
        ] {
            let map = BTreeMap::from([
                ("key".to_owned(), Value::Text(text.to_owned())),
                (
                    "list".to_owned(),
                    Value::List(vec![Value::Text(text.to_owned()), Value::Whole(3)]),
                ),
            ]);
            let yaml = yaml(&Value::Map(map.clone()));
            let read: Value = serde_saphyr::from_str(&yaml).unwrap();
            assert_eq!(read, Value::Map(map), "{yaml}");
        }
    }

    #[test]
    fn lists_and_maps_are_indented_by_four() {
        let inner = BTreeMap::from([("b".to_owned(), Value::Whole(1))]);
        let map = BTreeMap::from([
            ("empty".to_owned(), Value::List(Vec::new())),
            ("list".to_owned(), Value::List(vec![Value::Fraction(2.5)])),
            ("map".to_owned(), Value::Map(inner)),
        ]);
        assert_eq!(
            yaml(&Value::Map(map)),
            "empty: []\nlist:\n    - 2.5\nmap:\n    b: 1\n"
        );
        assert_eq!(
            yaml(&Value::List(vec![Value::Text("a".to_owned())])),
            "- a\n"
        );
        assert_eq!(yaml(&Value::Fraction(1e21)), "1e+21\n");
        assert_eq!(yaml(&Value::Fraction(1000.0)), "1000\n");
    }
}
