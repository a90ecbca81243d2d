//! Why a text was not read, and where.

use std::fmt;

/// Why a text is not a message. Each says where in the message, and where in the text.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The same field stands twice in one object, perhaps in two spellings.
    #[error("{at}: field is given twice")]
    DuplicateField {
        /// The second one.
        at: Place,
    },
    /// A value that the field cannot have: another type, out of range, no such enum name.
    #[error("{at}: {mismatch}")]
    InvalidValue {
        /// The field.
        at: Place,
        /// What came and what was expected.
        mismatch: String,
    },
    /// Two members of a oneof; usually two events in one line.
    #[error("{at}: {oneof} is already set by another field")]
    OneofSetTwice {
        /// The second member.
        at: Place,
        /// The name of the oneof in the `.proto`.
        oneof: &'static str,
    },
    /// Not JSON, or more than one value, or nested too deeply; usually a damaged line.
    #[error("{at}: {problem}")]
    Syntax {
        /// Where the parser stopped.
        at: Place,
        /// What it says.
        problem: String,
    },
    /// A field that this contract does not have; usually a message of a newer release, or one of
    /// another kind. [`ReadOptions::ignore_unknown`](super::ReadOptions::ignore_unknown) skips it.
    #[error("{at}: unknown field {name:?}")]
    UnknownField {
        /// The message that has no such field.
        at: Place,
        /// The name that came.
        name: String,
    },
}

impl JsonError {
    /// Where the trouble is.
    pub fn place(&self) -> &Place {
        match self {
            Self::DuplicateField { at }
            | Self::InvalidValue { at, .. }
            | Self::OneofSetTwice { at, .. }
            | Self::Syntax { at, .. }
            | Self::UnknownField { at, .. } => at,
        }
    }

    pub(super) fn new(error: &serde_json::Error, path: &[Step], problem: Option<Problem>) -> Self {
        let at = Place::new(path, error);
        match problem {
            Some(Problem::DuplicateField) => Self::DuplicateField { at },
            Some(Problem::OneofSetTwice { oneof }) => Self::OneofSetTwice { at, oneof },
            Some(Problem::UnknownField { name }) => Self::UnknownField {
                at,
                name: shortened(&name),
            },
            None => {
                let text = error.to_string();
                let position = format!(" at line {} column {}", error.line(), error.column());
                let text = shortened(text.strip_suffix(&position).unwrap_or(&text));
                if error.is_data() {
                    Self::InvalidValue { at, mismatch: text }
                } else {
                    Self::Syntax { at, problem: text }
                }
            }
        }
    }
}

/// Texts from the input are shown up to this length, since a line may be megabytes long.
const MAX_SHOWN_BYTES: usize = 200;

fn shortened(text: &str) -> String {
    if text.len() <= MAX_SHOWN_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_SHOWN_BYTES)])
}

/// A place in a message and in its text, as in `flow.labels[2] (line 1, column 20)`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Place {
    /// Field names as in the `.proto`, joined by dots; empty for the message itself.
    pub path: String,
    /// From 1; 0 when the text as a whole is meant.
    pub line: usize,
    /// In bytes, from 1; the end of what was read when the trouble was seen.
    pub column: usize,
}

impl Place {
    fn new(path: &[Step], error: &serde_json::Error) -> Self {
        let mut text = String::new();
        for step in path {
            match step {
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        Self {
            path: text,
            line: error.line(),
            column: error.column(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column } = self;
        match (path.is_empty(), line) {
            (true, 0) => f.write_str("message"),
            (false, 0) => f.write_str(path),
            (true, _) => write!(f, "line {line}, column {column}"),
            (false, _) => write!(f, "{path} (line {line}, column {column})"),
        }
    }
}

/// One step from a message to a value in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Field(&'static str),
    Index(usize),
}

/// What our own rules refuse, beyond mismatches of types.
#[derive(Debug)]
pub(super) enum Problem {
    DuplicateField,
    OneofSetTwice { oneof: &'static str },
    UnknownField { name: String },
}
