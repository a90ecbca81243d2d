//! RE2's regular expressions rewritten in the language of the `regex` crate.
//!
//! The two differ in details: in RE2 `\d`, `\w`, `\s` and `\b` are ASCII, `\Q..\E`, `\C` and octal
//! escapes exist, brackets do not nest, and a brace that starts no repetition is a letter. What RE2
//! refuses (repeated repetition, more than 1000 of it, unknown flags) is refused here too. What both
//! refuse, such as a group that does not end, is left to the crate.

use crate::error::RegexpError;

/// The largest number in a repetition that RE2 takes.
const MAX_REPETITION: u32 = 1000;

/// How many bytes of an expression are read. Before its compiled size is known, each `\pL` of it
/// takes some kilobytes.
const MOST_BYTES: usize = 16_384;

/// The pattern in the other language.
pub(crate) fn translate(pattern: &str) -> Result<String, RegexpError> {
    if pattern.len() > MOST_BYTES {
        return Err(RegexpError::TooLong {
            size: pattern.len(),
            limit: MOST_BYTES,
        });
    }
    let mut translation = Translation {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
        group_names: Vec::new(),
    };
    let mut after_repetition = false;
    while let Some(next) = translation.next() {
        let repeats = match next {
            '*' | '+' | '?' => {
                translation.out.push(next);
                true
            }
            '{' => translation.counted_repetition()?,
            _ => {
                translation.item(next)?;
                false
            }
        };
        if repeats {
            if after_repetition {
                return Err(syntax("invalid nested repetition operator"));
            }
            if translation.eat("?") {
                translation.out.push('?');
            }
        }
        after_repetition = repeats;
    }
    Ok(translation.out)
}

/// An error of RE2, in a few words.
pub(crate) fn syntax(problem: impl Into<String>) -> RegexpError {
    RegexpError::Syntax {
        problem: problem.into(),
    }
}

/// A pattern on its way from one language to the other.
struct Translation<'p> {
    rest: &'p str,
    out: String,
    group_names: Vec<&'p str>,
}

impl<'p> Translation<'p> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Anything that is not a repetition.
    fn item(&mut self, next: char) -> Result<(), RegexpError> {
        match next {
            '(' => self.group(),
            '[' => self.class(),
            '\\' => self.escape(),
            '.' | '^' | '$' | '|' | ')' => {
                self.out.push(next);
                Ok(())
            }
            _ => {
                self.literal(next);
                Ok(())
            }
        }
    }

    fn literal(&mut self, character: char) {
        self.out
            .push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
    }

    /// What follows an opening brace: `n}`, `n,}` or `n,m}`. Anything else makes the brace a
    /// letter, and the answer false.
    fn counted_repetition(&mut self) -> Result<bool, RegexpError> {
        let Some((range, rest)) = self.rest.split_once('}') else {
            self.literal('{');
            return Ok(false);
        };
        let (least, most) = match range.split_once(',') {
            None => (range, range),
            Some((least, "")) => (least, least),
            Some((least, most)) => (least, most),
        };
        if !is_count(least) || !is_count(most) {
            self.literal('{');
            return Ok(false);
        }
        let count = |digits: &str| digits.parse::<u32>().unwrap_or(u32::MAX);
        if count(least) > count(most) || count(most) > MAX_REPETITION {
            return Err(syntax(format!("invalid repeat count: {{{range}}}")));
        }
        self.out.extend(["{", range, "}"]);
        self.rest = rest;
        Ok(true)
    }

    /// What follows an opening parenthesis. Nothing is ever captured, so names are only checked.
    fn group(&mut self) -> Result<(), RegexpError> {
        if !self.rest.starts_with('?') {
            self.out.push_str("(?:");
            return Ok(());
        }
        if self.eat("?P<") || self.eat("?<") {
            let name = self.rest.split_once('>').map(|(name, _)| name);
            let name = name.filter(|name| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            let Some(name) = name else {
                return Err(syntax("invalid named capture"));
            };
            if self.group_names.contains(&name) {
                return Err(syntax(format!("duplicate capture group name: {name}")));
            }
            self.group_names.push(name);
            self.rest = &self.rest[name.len() + 1..];
            self.out.push_str("(?:");
            return Ok(());
        }
        let end = self.rest.find([':', ')']).unwrap_or(self.rest.len());
        let (flags, rest) = self.rest.split_at(end);
        let known = |flag| matches!(flag, 'i' | 'm' | 's' | 'U' | '-');
        if rest.is_empty() || !flags[1..].chars().all(known) {
            return Err(syntax(format!("invalid or unsupported syntax: ({flags}")));
        }
        // RE2 takes `(?)`, which sets nothing.
        self.out.push_str(if rest.starts_with(')') && flags == "?" {
            "(?:"
        } else {
            "("
        });
        if flags != "?" || rest.starts_with(':') {
            self.out.push_str(flags);
        }
        self.out.push_str(&rest[..1]);
        self.rest = &rest[1..];
        Ok(())
    }

    /// What follows a backslash outside brackets.
    fn escape(&mut self) -> Result<(), RegexpError> {
        if self.eat("Q") {
            let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
            self.out.push_str(&regex::escape(quoted));
            self.rest = rest;
            return Ok(());
        }
        if let Some(class) = self.perl_class() {
            self.out.push_str(class);
            return Ok(());
        }
        if self.unicode_class()? {
            return Ok(());
        }
        for (escape, translated) in [
            ("A", r"\A"),
            ("z", r"\z"),
            ("b", r"(?-u:\b)"),
            ("B", r"(?-u:\B)"),
            ("C", r"(?s-u:.)"),
        ] {
            if self.eat(escape) {
                self.out.push_str(translated);
                return Ok(());
            }
        }
        let character = self.escaped_character()?;
        self.literal(character);
        Ok(())
    }

    /// `d`, `s`, `w` and their opposites after a backslash, as a class of ASCII characters. Unlike
    /// the `regex` crate's, RE2's `\s` has no vertical tab.
    fn perl_class(&mut self) -> Option<&'static str> {
        [
            ("d", "[0-9]"),
            ("D", "[^0-9]"),
            ("s", r"[\t\n\f\r ]"),
            ("S", r"[^\t\n\f\r ]"),
            ("w", "[0-9A-Za-z_]"),
            ("W", "[^0-9A-Za-z_]"),
        ]
        .into_iter()
        .find_map(|(letter, class)| self.eat(letter).then_some(class))
    }

    /// `pN`, `p{Name}`, `p{^Name}` after a backslash, or the same with `P`.
    fn unicode_class(&mut self) -> Result<bool, RegexpError> {
        let mut negated = match self.rest.bytes().next() {
            Some(b'p') => false,
            Some(b'P') => true,
            _ => return Ok(false),
        };
        self.rest = &self.rest[1..];
        let name = if self.eat("{") {
            negated ^= self.eat("^");
            let Some((name, rest)) = self.rest.split_once('}') else {
                return Err(syntax("invalid character class range"));
            };
            self.rest = rest;
            name.to_owned()
        } else {
            self.next().map(String::from).unwrap_or_default()
        };
        // The `regex` crate also knows `name=value`, which RE2 does not.
        if name.is_empty()
            || !name
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        {
            return Err(syntax("invalid character class range"));
        }
        self.out
            .extend([if negated { r"\P{" } else { r"\p{" }, &name, "}"]);
        Ok(true)
    }

    /// What follows a backslash and means one character.
    fn escaped_character(&mut self) -> Result<char, RegexpError> {
        let Some(letter) = self.next() else {
            return Err(syntax("trailing backslash at end of expression"));
        };
        let invalid = || syntax(format!("invalid escape sequence: \\{letter}"));
        let character = match letter {
            'a' => '\u{07}',
            'f' => '\u{0c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{0b}',
            'x' => self.hexadecimal().ok_or_else(invalid)?,
            // `\1` alone would be a reference to a group, which RE2 has none of.
            '1'..='7' if !self.rest.starts_with(is_octal) => return Err(invalid()),
            '0'..='7' => {
                let more = self
                    .rest
                    .chars()
                    .take(2)
                    .take_while(|digit| is_octal(*digit))
                    .count();
                let (digits, rest) = self.rest.split_at(more);
                self.rest = rest;
                let code = digits.chars().fold(letter.to_digit(8), |code, digit| {
                    Some(code? * 8 + digit.to_digit(8)?)
                });
                code.and_then(char::from_u32).ok_or_else(invalid)?
            }
            _ if letter.is_ascii() && !letter.is_ascii_alphanumeric() => letter,
            _ => return Err(invalid()),
        };
        Ok(character)
    }

    /// `41` or `{1F600}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.eat("{") {
            let (digits, rest) = self.rest.split_once('}')?;
            self.rest = rest;
            digits
        } else {
            let (digits, rest) = self.rest.split_at_checked(2)?;
            self.rest = rest;
            digits
        };
        // Reading the number would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    }

    /// What follows an opening bracket. Each character is written out by its number, so that none
    /// means anything to the other language.
    fn class(&mut self) -> Result<(), RegexpError> {
        let negated = self.eat("^");
        self.out.push_str(if negated { "[^" } else { "[" });
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.posix_class()? {
                continue;
            }
            if let Some(escaped) = self.rest.strip_prefix('\\') {
                let before = std::mem::replace(&mut self.rest, escaped);
                if let Some(class) = self.perl_class() {
                    self.out.push_str(class);
                    continue;
                }
                if self.unicode_class()? {
                    continue;
                }
                self.rest = before;
            }
            let low = self.class_character()?;
            let is_range =
                self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1;
            let high = if is_range {
                self.rest = &self.rest[1..];
                self.class_character()?
            } else {
                low
            };
            if high < low {
                return Err(syntax(format!(
                    "invalid character class range: {low}-{high}"
                )));
            }
            let (low, high) = (u32::from(low), u32::from(high));
            self.out.push_str(&format!(r"\x{{{low:x}}}-\x{{{high:x}}}"));
        }
        self.rest = &self.rest[1..];
        self.out.push(']');
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, RegexpError> {
        match self.next() {
            None => Err(syntax("missing closing ]")),
            Some('\\') => self.escaped_character(),
            Some(character) => Ok(character),
        }
    }

    /// `[:name:]` or `[:^name:]`.
    fn posix_class(&mut self) -> Result<bool, RegexpError> {
        let Some((name, rest)) = self
            .rest
            .strip_prefix("[:")
            .and_then(|class| class.split_once(":]"))
        else {
            return Ok(false);
        };
        if !matches!(
            name.strip_prefix('^').unwrap_or(name),
            "alnum"
                | "alpha"
                | "ascii"
                | "blank"
                | "cntrl"
                | "digit"
                | "graph"
                | "lower"
                | "print"
                | "punct"
                | "space"
                | "upper"
                | "word"
                | "xdigit"
        ) {
            return Err(syntax(format!("invalid character class range: [:{name}:]")));
        }
        self.out.extend(["[:", name, ":]"]);
        self.rest = rest;
        Ok(true)
    }
}

/// A number without leading zeros.
fn is_count(digits: &str) -> bool {
    !digits.is_empty()
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
}

fn is_octal(character: char) -> bool {
    matches!(character, '0'..='7')
}
