//! What a relay says about its nodes. Goes to standard error, so that standard output holds events
//! only.

use flow_api::{
    observer::GetFlowsResponse,
    relay::{NodeState, NodeStatusEvent},
};
use flow_filter::quoted;

use super::{Style, append, enum_name};

/// Names are listed up to this many bytes; the rest is counted.
const NAMES_BYTES: usize = 50;

impl Style {
    /// Whether to say it: trouble always, else only when asked to.
    pub(super) fn shows(&self, status: &NodeStatusEvent) -> bool {
        let trouble = matches!(
            NodeState::try_from(status.state_change),
            Ok(NodeState::NodeError | NodeState::NodeUnavailable)
        );
        trouble || self.all_node_states
    }

    /// Appends a line about it, if it is to be shown.
    pub(super) fn node_status_line(
        &self,
        err: &mut Vec<u8>,
        response: &GetFlowsResponse,
        status: &NodeStatusEvent,
    ) {
        if !self.shows(status) {
            return;
        }
        let count = status.node_names.len();
        let names = shortened(&status.node_names);
        self.time.write(err, response.time.as_ref());
        let text = match NodeState::try_from(status.state_change) {
            Ok(NodeState::NodeConnected) => format!("Receiving flows from {count} nodes: {names}"),
            Ok(NodeState::NodeUnavailable) => format!("{count} nodes are unavailable: {names}"),
            Ok(NodeState::NodeGone) => format!("{count} nodes removed from cluster: {names}"),
            Ok(NodeState::NodeError) => {
                format!(
                    "Error {} on {count} nodes: {names}",
                    quoted(&status.message)
                )
            }
            Ok(NodeState::UnknownNodeState) | Err(_) => {
                format!("unknown node status event: {}", dump(status))
            }
        };
        append!(err, " [");
        self.escape.write(err, &response.node_name);
        append!(err, "]: ");
        self.escape.write(err, &text);
        append!(err, "\n");
    }
}

/// The fields of an event with their names, not escaped.
pub(super) fn fields(status: &NodeStatusEvent) -> [(&'static str, String); 3] {
    let state = enum_name::<NodeState>(status.state_change, NodeState::as_str_name);
    let message = match status.message.as_str() {
        "" => "N/A".to_owned(),
        message => quoted(message),
    };
    [
        ("STATE", state.into_owned()),
        ("NODES", shortened(&status.node_names)),
        ("MESSAGE", message),
    ]
}

/// The names with commas, at least one, and how many more there are.
fn shortened(names: &[String]) -> String {
    let mut bytes = 0;
    let shown = names
        .iter()
        .enumerate()
        .take_while(|(index, name)| {
            bytes += name.len() + ", ".len();
            *index == 0 || bytes <= NAMES_BYTES
        })
        .count();
    let list = names[..shown].join(", ");
    match names.len() - shown {
        0 => list,
        more => format!("{list} (and {more} more)"),
    }
}

/// The fields of an event that this build does not know, in protobuf's text form.
fn dump(status: &NodeStatusEvent) -> String {
    let mut fields = Vec::new();
    if status.state_change != 0 {
        fields.push(format!("state_change:{}", status.state_change));
    }
    fields.extend(
        status
            .node_names
            .iter()
            .map(|name| format!("node_names:{}", text_form(name))),
    );
    if !status.message.is_empty() {
        fields.push(format!("message:{}", text_form(&status.message)));
    }
    fields.join(" ")
}

fn text_form(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '"' | '\\' => out.extend(['\\', c]),
            '\0'..='\x1f' | '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
