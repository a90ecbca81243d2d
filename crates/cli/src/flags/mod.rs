//! The command line's grammar: what flags there are and what was typed.
//!
//! In: the words after a command's name. Out: [`Given`] flags and words, in the order in which they
//! were typed. Each command applies them one by one, and stops at the first that is wrong. The
//! order is part of the language (`--not` turns the next filter around), and scripts rely on the
//! messages, so this is a small parser of its own with the conventions of Hubble's command line:
//! `--name value`, `--name=value`, `-n value`, `-nvalue`, clusters such as `-fs`, switches that
//! take a value only after `=`, and `--` to end the flags.
//!
//! The same [`Flag`]s make the help text.

pub(crate) mod help;
pub(crate) mod origin;
mod scan;
pub(crate) mod value;

use flow_filter::{quoted, quoted_char};

pub(crate) use scan::{Given, Scanner, words};
pub(crate) use value::ValueError;

/// One flag: how it is spelled, what it takes, what it is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    /// The name after `--`.
    pub(crate) long: &'static str,
    /// The letter after `-`.
    pub(crate) short: Option<char>,
    /// Whether a value follows.
    pub(crate) takes: Takes,
    /// What it does, for the help text.
    pub(crate) help: &'static str,
}

/// What may follow a flag.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Takes {
    /// A value must follow, after `=` or as the next word; the text names it in the help.
    Value(&'static str),
    /// A value may follow after `=` only; without one it is this.
    Optional(&'static str),
}

/// A switch: `--name`, or `--name=false`.
pub(crate) const SWITCH: Takes = Takes::Optional("true");

impl Flag {
    /// A flag that needs a value.
    pub(crate) const fn value(
        long: &'static str,
        value_name: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            long,
            short: None,
            takes: Takes::Value(value_name),
            help,
        }
    }

    /// A flag that is true when it is there.
    pub(crate) const fn switch(long: &'static str, help: &'static str) -> Self {
        Self {
            long,
            short: None,
            takes: SWITCH,
            help,
        }
    }

    /// The same flag with a one letter form.
    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// The name as messages give it: `-t, --type` or `--pod`.
    fn spelling(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }
}

/// Flags that belong together, under one heading in the help text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// The heading. Empty for flags that are taken, but that the help does not tell of.
    pub(crate) heading: &'static str,
    /// The flags under it.
    pub(crate) flags: &'static [Flag],
}

/// What was typed for one [`Section`], or for several. Applying a flag does no I/O.
pub(crate) trait Accept {
    /// Applies a flag. `Ok(false)` if it is not one of this section's.
    ///
    /// # Errors
    /// The value means nothing here.
    fn accept(&mut self, flag: &'static Flag, value: &str) -> Result<bool, ValueError>;
}

/// Why a command line was refused. The text is what Hubble's command line says.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UsageError {
    /// `--` followed by something that cannot be a name.
    #[error("bad flag syntax: {0}")]
    BadSyntax(String),
    /// A value was refused.
    #[error("invalid argument {} for {} flag: {reason}", quoted(.given), quoted(.flag))]
    InvalidValue {
        /// The value as typed.
        given: String,
        /// The flag as the help spells it.
        flag: String,
        /// Why.
        reason: ValueError,
    },
    /// A long flag at the end of the line that wants a value.
    #[error("flag needs an argument: --{0}")]
    MissingValue(String),
    /// The same for a letter.
    #[error("flag needs an argument: {} in -{cluster}", quoted_char(*.letter))]
    MissingValueShort {
        /// The letter.
        letter: char,
        /// The letters from this one on.
        cluster: String,
    },
    /// No such command.
    #[error(
        "unknown command {} for \"{}\"{suggestion}",
        quoted(.given),
        crate::program::name()
    )]
    UnknownCommand {
        /// What was typed.
        given: String,
        /// Names that are spelled alike, ready to print, or nothing.
        suggestion: String,
    },
    /// No such flag.
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    /// No such letter.
    #[error("unknown shorthand flag: {} in -{cluster}", quoted_char(*.letter))]
    UnknownShorthand {
        /// The letter.
        letter: char,
        /// The letters from this one on.
        cluster: String,
    },
}

/// Applies a whole command line to `target`, in order. Words that are no flags are returned.
///
/// # Errors
/// The first thing on the line that is wrong.
pub(crate) fn apply<T: Accept>(
    target: &mut T,
    arguments: &[String],
    sections: &[Section],
) -> Result<Vec<String>, UsageError> {
    let mut rest = Vec::new();
    for given in Scanner::new(arguments, sections) {
        match given? {
            Given::Word(word) => rest.push(word.to_owned()),
            Given::Flag { flag, value } => {
                let invalid = |reason| UsageError::InvalidValue {
                    given: value.to_owned(),
                    flag: flag.spelling(),
                    reason,
                };
                if !target.accept(flag, value).map_err(invalid)? {
                    // A section without a reader: the tables of this crate do not agree.
                    debug_assert!(false, "--{} is in no section that was read", flag.long);
                    return Err(UsageError::UnknownFlag(flag.long.to_owned()));
                }
            }
        }
    }
    Ok(rest)
}
