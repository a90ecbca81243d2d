//! Patterns with `*` and `?` for a language that has none.

use crate::cel::syntax::Expr;

/// The question whether a text looks like a pattern: `*` stands for any letters, `?` for one.
pub(super) fn question(place: usize, text: Expr, pattern: &str) -> Expr {
    let is_plain = |part: &str| !part.contains(['*', '?']);
    let test =
        |text, function, part: &str| Expr::method(place, text, function, Expr::text(place, part));
    if is_plain(pattern) {
        return Expr::call(place, "_==_", [text, Expr::text(place, pattern)]);
    }
    if let Some(prefix) = pattern.strip_suffix('*').filter(|part| is_plain(part)) {
        return test(text, "startsWith", prefix);
    }
    if let Some(suffix) = pattern.strip_prefix('*') {
        if is_plain(suffix) {
            return test(text, "endsWith", suffix);
        }
        if let Some(part) = suffix.strip_suffix('*').filter(|part| is_plain(part)) {
            return test(text, "contains", part);
        }
    }
    test(text, "matches", &regexp(pattern))
}

fn regexp(pattern: &str) -> String {
    let mut regexp = String::from("^(?s:");
    for character in pattern.chars() {
        match character {
            '*' => regexp.push_str(".*"),
            '?' => regexp.push('.'),
            '.' | '+' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' | '\\' => {
                regexp.push('[');
                if matches!(character, '^' | '\\' | '[' | ']') {
                    regexp.push('\\');
                }
                regexp.push(character);
                regexp.push(']');
            }
            _ => regexp.push(character),
        }
    }
    regexp.push_str(")$");
    regexp
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cel::spell::spelled;
    use crate::cel::syntax::ExprKind;
    use crate::regexp::Regexp;

    fn asked(pattern: &str) -> String {
        let name = Expr::new(0, ExprKind::Ident("x".to_owned()));
        spelled(&question(0, name, pattern))
    }

    #[test]
    fn simple_patterns_need_no_regular_expression() {
        for (pattern, expected) in [
            ("web", "x == \"web\""),
            ("web-*", "x.startsWith(\"web-\")"),
            ("*-db", "x.endsWith(\"-db\")"),
            ("*b*", "x.contains(\"b\")"),
            ("*", "x.startsWith(\"\")"),
            ("a*b.c", "x.matches(\"^(?s:a.*b[.]c)$\")"),
        ] {
            assert_eq!(asked(pattern), expected);
        }
    }

    /// Whether a text looks like a pattern, letter by letter.
    fn looks_like(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                looks_like(rest, text) || (!text.is_empty() && looks_like(pattern, &text[1..]))
            }
            (['?', rest @ ..], [_, behind @ ..]) => looks_like(rest, behind),
            ([one, rest @ ..], [other, behind @ ..]) => one == other && looks_like(rest, behind),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_expression_finds_what_looks_like_the_pattern(
            pattern in r"[ab.*?^\[\]\\ü\n-]{0,6}", text in r"[ab.^\[\]\\ü\n-]{0,6}"
        ) {
            let found = Regexp::compile(&regexp(&pattern)).unwrap().finds(text.as_bytes());
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(found, looks_like(&letters(&pattern), &letters(&text)));
        }
    }
}
