//! YAML text -> inventory, or the line of the first mistake.

use flow_api::near::nearest;
use serde::Deserialize;
use serde_saphyr::{DefaultMessageFormatter, Error, MessageFormatter as _, Spanned};

use super::{Endpoint, Inventory, MAX_BYTES, Names, Node, Prefix, Service, check};

/// More elements than fit a file of `MAX_BYTES`: that bound is the one that counts. Aliases, by
/// which little text becomes much, have the library's own bounds.
const MAX_ELEMENTS: usize = MAX_BYTES as usize;

/// What is wrong with the text.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Mistake {
    /// The line that it is about, from 1 on.
    pub(super) line: u64,
    /// What is wrong.
    pub(super) message: String,
}

/// The file as it is written: each element with its line.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    pub(super) nodes: Vec<Spanned<Node>>,
    #[serde(default)]
    pub(super) endpoints: Vec<Spanned<Endpoint>>,
    #[serde(default)]
    pub(super) prefixes: Vec<Spanned<Prefix>>,
    #[serde(default)]
    pub(super) services: Vec<Spanned<Service>>,
    #[serde(default)]
    pub(super) names: Vec<Spanned<Names>>,
}

/// Reads an inventory. A file without anything in it is an empty one.
pub(super) fn inventory(text: &str) -> Result<Inventory, Mistake> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_events: MAX_ELEMENTS,
            max_nodes: MAX_ELEMENTS,
            max_total_scalar_bytes: MAX_ELEMENTS,
        },
    };
    let written: Option<Written> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| mistake(&error))?;
    let written = written.unwrap_or_default();
    check::all(&written)?;
    Ok(Inventory {
        nodes: values(written.nodes),
        endpoints: values(written.endpoints),
        prefixes: values(written.prefixes),
        services: values(written.services),
        names: values(written.names),
    })
}

fn values<T>(written: Vec<Spanned<T>>) -> Vec<T> {
    written.into_iter().map(|element| element.value).collect()
}

fn mistake(error: &Error) -> Mistake {
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
    Mistake {
        line: error.location().map_or(1, |location| location.line()),
        message,
    }
}
