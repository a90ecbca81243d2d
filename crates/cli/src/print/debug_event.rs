//! A debug record of the data path, in a line.

use std::borrow::Cow;

use flow_api::flow::{DebugEvent, DebugEventType, Endpoint};

use super::{Style, append, enum_name};

/// The record's name on the wire.
pub(super) fn kind(event: &DebugEvent) -> Cow<'static, str> {
    enum_name::<DebugEventType>(event.r#type, DebugEventType::as_str_name)
}

/// The packet's mark.
pub(super) fn mark(event: &DebugEvent) -> String {
    event
        .hash
        .map_or_else(|| "N/A".to_owned(), |hash| format!("{hash:#x}"))
}

/// The CPU, in two digits at least.
pub(super) fn cpu(event: &DebugEvent) -> String {
    event
        .cpu
        .map_or_else(|| "N/A".to_owned(), |cpu| format!("{cpu:02}"))
}

impl Style {
    /// Appends which endpoint a record is about, by pod or by a reserved label where it has one.
    pub(super) fn endpoint(&self, out: &mut Vec<u8>, endpoint: Option<&Endpoint>) {
        let Some(endpoint) = endpoint else {
            append!(out, "N/A");
            return;
        };
        let id = endpoint.id;
        if !endpoint.namespace.is_empty() && !endpoint.pod_name.is_empty() {
            self.escape.write(out, &endpoint.namespace);
            append!(out, "/");
            self.escape.write(out, &endpoint.pod_name);
            append!(out, " (ID: {id})");
            return;
        }
        match endpoint.labels.as_slice() {
            [label] if label.starts_with("reserved:") => {
                self.escape.write(out, label);
                append!(out, " (ID: {id})");
            }
            _ => append!(out, "ID: {id}"),
        }
    }
}
