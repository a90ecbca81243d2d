//! A counted gap in the stream.

use flow_api::{
    flow::{LostEvent, LostEventSource},
    observer::GetFlowsResponse,
};

use super::{Style, append, enum_name};

/// Appends which queue was full.
pub(super) fn source(out: &mut Vec<u8>, lost: &LostEvent) {
    let source = enum_name::<LostEventSource>(lost.source, LostEventSource::as_str_name);
    append!(out, "{source}");
}

/// The node that lost them, for formats with a place for it.
pub(super) fn node(response: &GetFlowsResponse) -> &str {
    match response.node_name.as_str() {
        "" => "-",
        name => name,
    }
}

impl Style {
    /// Appends a line about it.
    pub(super) fn lost_line(
        &self,
        out: &mut Vec<u8>,
        response: &GetFlowsResponse,
        lost: &LostEvent,
    ) {
        self.time.write(out, response.time.as_ref());
        append!(out, " EVENTS LOST: ");
        source(out, lost);
        append!(out, " ");
        self.lost(out, lost, " ");
        append!(out, "\n");
    }

    /// Appends on which CPU how many were lost, and between which times where that is known.
    pub(super) fn lost(&self, out: &mut Vec<u8>, lost: &LostEvent, separator: &str) {
        let cpu = lost.cpu.unwrap_or(0);
        append!(out, "CPU({cpu}){separator}{}", lost.num_events_lost);
        if lost.first.is_none() || lost.last.is_none() {
            return;
        }
        append!(out, " (first: ");
        self.time.write(out, lost.first.as_ref());
        append!(out, ", last: ");
        self.time.write(out, lost.last.as_ref());
        append!(out, ")");
    }
}
