//! Flows from JSON and back.

use flow_api::{flow::Flow, json};

pub(crate) fn read(text: &str) -> Flow {
    json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What the writer makes of a text.
pub(crate) fn canonical(text: &str) -> String {
    json::to_string(&read(text))
}

/// Why a text is not read.
pub(crate) fn refusal(text: &str) -> String {
    match json::from_str::<Flow>(text) {
        Ok(flow) => panic!("{text} was read as {flow:?}"),
        Err(error) => error.to_string(),
    }
}
