//! What is known of the nodes behind a server, and of what they lost.

use std::collections::BTreeMap;

use flow_api::{
    flow::LostEvent,
    observer::{GetFlowsResponse, ServerStatusResponse},
    relay::{NodeState, NodeStatusEvent},
};

/// Nodes whose state is kept. The largest clusters have fewer; of others the numbers are still right,
/// since the server counts them.
const MOST_NODES: usize = 20_000;

/// The states of nodes, and losses.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    states: BTreeMap<String, NodeState>,
    lost: BTreeMap<String, u64>,
    lost_total: u64,
    status: Option<ServerStatusResponse>,
}

impl Nodes {
    /// The state of some of them changed.
    pub(super) fn change(&mut self, status: &NodeStatusEvent) {
        let state = status.state_change();
        for name in &status.node_names {
            if state == NodeState::NodeGone {
                self.states.remove(name);
            } else if self.states.len() < MOST_NODES || self.states.contains_key(name) {
                self.states.insert(name.clone(), state);
            }
        }
    }

    /// Events were lost.
    pub(super) fn lose(&mut self, response: &GetFlowsResponse, lost: &LostEvent) {
        let count = lost.num_events_lost;
        self.lost_total = self.lost_total.saturating_add(count);
        let name = &response.node_name;
        if let Some(of_node) = self.lost.get_mut(name) {
            *of_node = of_node.saturating_add(count);
        } else if self.lost.len() < MOST_NODES {
            self.lost.insert(name.clone(), count);
        }
    }

    /// The server told how it is.
    pub(super) fn tell(&mut self, status: ServerStatusResponse) {
        self.status = Some(status);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost_total
    }

    pub(super) fn lost_of(&self, node: &str) -> u64 {
        self.lost.get(node).copied().unwrap_or(0)
    }

    pub(super) fn forget_losses(&mut self) {
        self.lost.clear();
        self.lost_total = 0;
    }

    /// Nodes that the server told of, and that sent nothing: they have rows, too.
    pub(super) fn known(&self) -> impl Iterator<Item = &str> {
        self.states.keys().map(String::as_str)
    }

    /// The state in a word; nothing where no relay said anything.
    pub(super) fn state_of(&self, node: &str) -> &'static str {
        match self.states.get(node) {
            Some(NodeState::NodeConnected) => "connected",
            Some(NodeState::NodeUnavailable) => "unavailable",
            Some(NodeState::NodeError) => "error",
            Some(NodeState::NodeGone | NodeState::UnknownNodeState) | None => "",
        }
    }

    /// Connected ones of all, and a word on those that are not; nothing where the server has no nodes
    /// behind it.
    pub(super) fn summary(&self) -> Option<(String, bool)> {
        let status = self.status.as_ref();
        let of_status = status.and_then(|status| {
            let away = status.num_unavailable_nodes.unwrap_or(0);
            Some((status.num_connected_nodes?, away))
        });
        let (connected, away) = match of_status {
            Some(counts) => counts,
            None if self.states.is_empty() => return None,
            None => {
                let is_there = |state: &&NodeState| **state == NodeState::NodeConnected;
                let connected = self.states.values().filter(is_there).count();
                let away = self.states.len() - connected;
                let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
                (count(connected), count(away))
            }
        };
        let all = u64::from(connected) + u64::from(away);
        let mut text = format!("{connected}/{all} nodes");
        let name = status.and_then(|status| status.unavailable_nodes.first());
        let name = name.map(String::as_str).or_else(|| {
            let mut states = self.states.iter();
            let away = states.find(|(_, state)| **state != NodeState::NodeConnected);
            away.map(|(name, _)| name.as_str())
        });
        if let (Some(name), 1..) = (name, away) {
            text.push_str(&format!(", {name}"));
            if away > 1 {
                text.push_str(&format!(" and {} more", away - 1));
            }
            text.push_str(" unavailable");
        }
        Some((text, away > 0))
    }
}
