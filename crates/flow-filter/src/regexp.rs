//! Regular expressions of the `dns_query`, `http_path` and `http_url` fields. In: RE2 syntax, as
//! clients of Hubble write it. Out: a compiled expression that finds a match anywhere in a text.

use regex::bytes::{Regex, RegexBuilder};

use crate::error::RegexpError;
use crate::re2;

/// What one compiled expression may take, in bytes. Expressions come from clients, and `\pL{1000}`
/// is quickly written. `[^/]{1,1000}` fits.
pub(crate) const COMPILED_SIZE_LIMIT: usize = 2 << 20;

/// What one compiled expression may remember of the texts that it has seen, in bytes. Each thread
/// that looks for it at the same time remembers as much.
pub(crate) const STATES_LIMIT: usize = 128 << 10;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Regexp(Regex);

impl Regexp {
    /// Compiles to no more than [`COMPILED_SIZE_LIMIT`].
    pub(crate) fn compile(pattern: &str) -> Result<Self, RegexpError> {
        Self::compile_within(pattern, COMPILED_SIZE_LIMIT)
    }

    /// Compiles to no more than so many bytes.
    pub(crate) fn compile_within(pattern: &str, size_limit: usize) -> Result<Self, RegexpError> {
        let translated = re2::translate(pattern)?;
        match RegexBuilder::new(&translated)
            .size_limit(size_limit)
            .dfa_size_limit(STATES_LIMIT)
            .build()
        {
            Ok(regex) => Ok(Self(regex)),
            Err(regex::Error::CompiledTooBig(limit)) => Err(RegexpError::TooBig { limit }),
            Err(error) => {
                // The report draws the (rewritten) pattern; its last line says what is wrong.
                let report = error.to_string();
                let problem = report.rsplit("error: ").next().unwrap_or_default();
                Err(re2::syntax(problem.trim()))
            }
        }
    }

    pub(crate) fn finds(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_mean_what_re2_says() {
        for (pattern, text, expected) in [
            ("", "anything", true),
            ("b", "abc", true),
            ("^b", "abc", false),
            ("^/v[0-9]+/", "/v12/x", true),
            (r"\d", "٣", false),
            (r"\w", "é", false),
            (r"^\W$", "é", true),
            (r"^\s$", "\u{0b}", false),
            (r"^\s$", "\u{a0}", false),
            (r"\bcaf\b", "café", true),
            (r"caf\B", "café", false),
            (r"^[\d-]+$", "1-2", true),
            (r"^[^\D]$", "4", true),
            (r"^\Qa.b*\E$", "a.b*", true),
            (r"\Qa.b", "axb", false),
            (r"^\x41\x{42}\103\0$", "ABC\0", true),
            (r"^[a[b]$", "[", true),
            (r"^[a&&b]$", "&", true),
            (r"^[a~~b]$", "~", true),
            (r"^[]a]$", "]", true),
            (r"^[^]a]$", "]", false),
            (r"^[a-]$", "-", true),
            (r"^[+--]$", ",", true),
            (r"^[[:alpha:][:^ascii:]]$", "é", true),
            (r"^\pL\p{Greek}\P{Greek}\p{^Greek}$", "aωaa", true),
            (r"^a{2}$", "aa", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^a{$", "a{", true),
            (r"^{}$", "{}", true),
            (r"^x{01}$", "x{01}", true),
            (r"(?i)GET", "get", true),
            (r"(?i:G)ET", "get", false),
            (r"(?s)a.b", "a\nb", true),
            (r"a.b", "a\nb", false),
            (r"(?m)^b$", "a\nb\nc", true),
            (r"^b$", "a\nb\nc", false),
            (r"^(?P<n>a)(?<m>b)(c)(?:d)(?)$", "abcd", true),
            (r"\<a\>", "<a>", true),
            (r"^.$", "é", true),
            (r"^\C\C$", "é", true),
            (r"a#b c", "a#b c", true),
        ] {
            let regexp =
                Regexp::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(
                regexp.finds(text.as_bytes()),
                expected,
                "{pattern} in {text:?}"
            );
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        let refused = [
            r"( ) * a** a+* a*?? a{2}{3} a{1001} a{2,1} (?x)a (?u)a (?R)a (?i (?<n>x (?P<n>x",
            r"(?P<1-2>x) (?P<n>a)(?P<n>b) (?=a) (?!a) (?P=n) [ [] [a [b-a] [[:word",
            r"[[:nope:]] \1 \8 \Z \y \x4 \x{110000} \x{+1} \p{Nope} \p \p{Script=Greek} [\b]",
            r"[a-\d] \ a|* (*a) \xé",
        ];
        for pattern in refused.iter().flat_map(|line| line.split(' ')) {
            assert!(Regexp::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn the_longest_repetition_of_any_character_fits() {
        for pattern in [".{1000}", "[^/]{1,1000}", r"(?i)[^/]{1000}", r"\w{1000}"] {
            assert!(Regexp::compile(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn errors_are_one_line_and_say_what_is_wrong() {
        for (pattern, expected) in [
            ("(", "error parsing regexp: unclosed group"),
            (
                "a**",
                "error parsing regexp: invalid nested repetition operator",
            ),
        ] {
            assert_eq!(Regexp::compile(pattern).unwrap_err().to_string(), expected);
        }
        let error = Regexp::compile(r"\pL{1000}").unwrap_err();
        assert_eq!(
            error,
            RegexpError::TooBig {
                limit: COMPILED_SIZE_LIMIT
            }
        );
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in r"[ab0-9\\\[\]{}()?*+|^$.,:<>PQEpxdwsbiéω&~#-]{0,16}") {
            if let Ok(regexp) = Regexp::compile(&pattern) {
                regexp.finds(b"ab0");
            }
        }

        #[test]
        fn quoted_text_finds_itself(text in r"[^\\]{0,16}") {
            let regexp = Regexp::compile(&format!(r"^\Q{text}\E$")).unwrap();
            prop_assert!(regexp.finds(text.as_bytes()));
        }
    }
}
