//! YAML text -> inventory, or the line of the first mistake.

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
        } => match nearest(field, expected) {
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

/// The known name that is no more than two slips of the finger away.
fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Longer than any field: not worth comparing.
    const MAX_TYPED: usize = 32;
    if typed.len() > MAX_TYPED {
        return None;
    }
    known
        .iter()
        .map(|&name| (slips(typed.as_bytes(), name.as_bytes()), name))
        .filter(|&(slips, name)| slips <= 2 && slips < name.len())
        .min()
        .map(|(_, name)| name)
}

/// How many letters were added, left out, mistaken, or swapped with the next.
fn slips(typed: &[u8], meant: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=meant.len()).collect();
    for (row, &letter) in typed.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, &wanted) in meant.iter().enumerate() {
            let mistaken = last[column] + usize::from(letter != wanted);
            let mut least = mistaken.min(last[column + 1] + 1).min(this[column] + 1);
            let swapped =
                row > 0 && column > 0 && letter == meant[column - 1] && typed[row - 1] == wanted;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last[meant.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_told_from_another_word() {
        let known = ["name", "ips", "labels"];
        assert_eq!(nearest("nmae", &known), Some("name"));
        assert_eq!(nearest("label", &known), Some("labels"));
        assert_eq!(nearest("ip", &known), Some("ips"));
        assert_eq!(nearest("zone", &known), None);
        assert_eq!(nearest(&"x".repeat(10_000), &known), None);
    }
}
