//! Splits a command line into flags and words, by the conventions that the module above states.

use super::{Flag, Section, Takes, UsageError};

/// One thing that was typed.
#[derive(Debug)]
pub(crate) enum Given<'a> {
    /// A flag with its value; of a switch without one, the value that it stands for.
    Flag {
        /// Which.
        flag: &'static Flag,
        /// Its value.
        value: &'a str,
    },
    /// Anything else.
    Word(&'a str),
}

/// Walks over a command line. Ends after the first error.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    arguments: std::slice::Iter<'a, String>,
    sections: &'a [Section],
    /// The rest of a cluster of letters, as in `fs` of `-fs`.
    cluster: &'a str,
    /// After `--`, or after an error.
    only_words: bool,
}

impl<'a> Scanner<'a> {
    /// A walk over `arguments` that knows the flags of `sections`.
    pub(crate) fn new(arguments: &'a [String], sections: &'a [Section]) -> Self {
        Self {
            arguments: arguments.iter(),
            sections,
            cluster: "",
            only_words: false,
        }
    }

    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.sections.iter().flat_map(|section| section.flags)
    }

    fn long(&mut self, text: &'a str) -> Result<Given<'a>, UsageError> {
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(UsageError::BadSyntax(format!("--{text}")));
        }
        let flag = self
            .flags()
            .find(|flag| flag.long == name)
            .ok_or_else(|| UsageError::UnknownFlag(name.to_owned()))?;
        let value = match (inline, flag.takes) {
            (Some(value), _) => value,
            (None, Takes::Optional(stands_for)) => stands_for,
            (None, Takes::Value(_)) => self
                .arguments
                .next()
                .ok_or_else(|| UsageError::MissingValue(name.to_owned()))?,
        };
        Ok(Given::Flag { flag, value })
    }

    /// Takes the first letter off the cluster. The caller knows that there is one.
    fn letter(&mut self, letter: char) -> Result<Given<'a>, UsageError> {
        let cluster = std::mem::take(&mut self.cluster);
        let rest = &cluster[letter.len_utf8()..];
        let flag = self
            .flags()
            .find(|flag| flag.short == Some(letter))
            .ok_or_else(|| UsageError::UnknownShorthand {
                letter,
                cluster: cluster.to_owned(),
            })?;
        let value = match (rest.strip_prefix('='), flag.takes) {
            (Some(value), _) if !value.is_empty() => value,
            (_, Takes::Optional(stands_for)) => {
                self.cluster = rest;
                stands_for
            }
            (_, Takes::Value(_)) if !rest.is_empty() => rest,
            (_, Takes::Value(_)) => {
                self.arguments
                    .next()
                    .ok_or_else(|| UsageError::MissingValueShort {
                        letter,
                        cluster: cluster.to_owned(),
                    })?
            }
        };
        Ok(Given::Flag { flag, value })
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Given<'a>, UsageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let given = if let Some(letter) = self.cluster.chars().next() {
            self.letter(letter)
        } else {
            let word = self.arguments.next()?;
            if self.only_words || word == "-" || !word.starts_with('-') {
                return Some(Ok(Given::Word(word)));
            }
            if word == "--" {
                self.only_words = true;
                return self.next();
            }
            match word.strip_prefix("--") {
                Some(text) => self.long(text),
                None => {
                    self.cluster = &word[1..];
                    return self.next();
                }
            }
        };
        if given.is_err() {
            self.arguments = [].iter();
            self.cluster = "";
        }
        Some(given)
    }
}

/// The positions of the words that are neither flags nor values of flags: what may name a command.
/// Takes any flag that it does not know for one with a value, since the error comes later.
pub(crate) fn words(arguments: &[String], sections: &[Section]) -> Vec<usize> {
    let takes_value =
        |known: Option<&Flag>| known.is_none_or(|flag| matches!(flag.takes, Takes::Value(_)));
    let flags = || sections.iter().flat_map(|section| section.flags);
    let mut positions = Vec::new();
    let mut index = 0;
    while let Some(word) = arguments.get(index) {
        if word == "--" {
            break;
        }
        let value_follows = if word.contains('=') {
            false
        } else if let Some(name) = word.strip_prefix("--") {
            takes_value(flags().find(|flag| flag.long == name))
        } else if let Some(letters) = word.strip_prefix('-') {
            let mut letters = letters.chars();
            match (letters.next(), letters.next()) {
                (Some(letter), None) => {
                    takes_value(flags().find(|flag| flag.short == Some(letter)))
                }
                _ => false,
            }
        } else {
            false
        };
        if !word.is_empty() && !word.starts_with('-') {
            positions.push(index);
        }
        index += if value_follows { 2 } else { 1 };
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTIONS: &[Section] = &[Section {
        heading: "Test",
        flags: &[
            Flag::switch("follow", "").short('f'),
            Flag::switch("silent", "").short('s'),
            Flag::value("pod", "NAME", "").short('p'),
        ],
    }];

    fn scan(line: &str) -> Result<String, UsageError> {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut seen = Vec::new();
        for given in Scanner::new(&arguments, SECTIONS) {
            seen.push(match given? {
                Given::Flag { flag, value } => format!("{}={value}", flag.long),
                Given::Word(word) => word.to_owned(),
            });
        }
        Ok(seen.join(" "))
    }

    #[test]
    fn all_spellings_of_a_value_are_the_same() {
        for line in ["--pod a", "--pod=a", "-p a", "-pa", "-p=a"] {
            assert_eq!(scan(line).as_deref(), Ok("pod=a"), "{line}");
        }
    }

    #[test]
    fn letters_cluster_until_one_takes_a_value() {
        assert_eq!(
            scan("-fsp a b").as_deref(),
            Ok("follow=true silent=true pod=a b")
        );
        assert_eq!(scan("-f=false").as_deref(), Ok("follow=false"));
    }

    #[test]
    fn a_value_may_look_like_a_flag() {
        assert_eq!(scan("--pod --follow").as_deref(), Ok("pod=--follow"));
    }

    #[test]
    fn two_hyphens_end_the_flags_and_one_is_a_word() {
        assert_eq!(scan("- -f -- -s").as_deref(), Ok("- follow=true -s"));
    }

    #[test]
    fn errors_name_what_was_typed() {
        let message = |line| scan(line).unwrap_err().to_string();
        assert_eq!(message("--nope=1"), "unknown flag: --nope");
        assert_eq!(message("-fx"), "unknown shorthand flag: 'x' in -x");
        assert_eq!(message("--pod"), "flag needs an argument: --pod");
        assert_eq!(message("-fp"), "flag needs an argument: 'p' in -p");
        assert_eq!(message("--=x"), "bad flag syntax: --=x");
    }

    #[test]
    fn values_of_flags_name_no_command() {
        let line: Vec<String> = ["--pod", "x", "-f", "flows", "-p=1", "more"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(words(&line, SECTIONS), [3, 5]);
    }
}
