//! YAML that people write: what is wrong with it, and where.

use flow_api::near::nearest;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter as _};

/// What is wrong in a text.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Mistake {
    /// The line that it is about, from 1 on.
    pub(crate) line: u64,
    /// What is wrong.
    pub(crate) message: String,
}

impl Mistake {
    /// Of what could not be read, without the text around it: who is told has the line.
    pub(crate) fn of(error: &Error) -> Self {
        let mut original = error;
        while let Error::AliasError { error, .. } | Error::WithSnippet { error, .. } = original {
            original = error;
        }
        let message = match original {
            Error::SerdeUnknownField {
                field, expected, ..
            } => match nearest(field, expected.iter().copied()) {
                Some(known) => format!("unknown field {field:?}, did you mean {known:?}?"),
                None => format!("unknown field {field:?}, expected {}", expected.join(", ")),
            },
            Error::SerdeMissingField { field, .. } => format!("field {field:?} is missing"),
            other => DefaultMessageFormatter.format_message(other).into_owned(),
        };
        Self {
            line: error.location().map_or(1, |location| location.line()),
            message,
        }
    }
}
