//! YAML text -> inventory, or the line of the first mistake.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Endpoint, Inventory, MAX_BYTES, Names, Node, Prefix, Service, check};
use crate::yaml::Mistake;

/// More elements than fit a file of `MAX_BYTES`: that bound is the one that counts. Aliases, by
/// which little text becomes much, have the library's own bounds.
const MAX_ELEMENTS: usize = MAX_BYTES as usize;

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
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Mistake::of(&error))?;
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
