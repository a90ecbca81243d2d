//! Nodes, and where the API server is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    objects,
    resource::Resource,
    table::{ObjectKey, Put, Table},
};
use crate::enrich::facts::{AgentFact, Change, Fact, NodeFact, Provider};

/// The key of the API server's addresses, be they a node's or not. No node is called this: a name has
/// no slash.
const API_SERVER_KEY: &str = "apiserver/";
/// What they are called.
const API_SERVER_NAME: &str = "kube-apiserver";

#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: Table<Node>,
    cilium: Table<Node>,
    /// By the slice that told them.
    api_servers: BTreeMap<ObjectKey, BTreeSet<IpAddr>>,
    dirty: BTreeSet<ObjectKey>,
    is_api_server_dirty: bool,
}

#[derive(Debug, Eq, PartialEq)]
struct Node {
    ips: Vec<IpAddr>,
    /// Those that relays may use, the best first.
    agent_ips: Vec<IpAddr>,
    /// `key=value`.
    labels: Vec<String>,
}

impl Node {
    fn new<'a>(
        metadata: &objects::Metadata,
        told: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let parsed = |(kind, ip): (&'a str, &str)| Some((kind, ip.parse().ok()?));
        let told: Vec<(&str, IpAddr)> = told.filter_map(parsed).collect();
        let labels = metadata.labels.iter();
        Self {
            ips: told.iter().map(|&(_, ip)| ip).collect(),
            agent_ips: agent_ips(told),
            labels: labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect(),
        }
    }
}

/// The addresses at which a relay finds a node's agent: as in Hubble, its internal ones before its
/// external ones, and never those that Cilium gives itself.
fn agent_ips(told: Vec<(&str, IpAddr)>) -> Vec<IpAddr> {
    let rank = |kind: &str| match kind {
        "InternalIP" => Some(0),
        "ExternalIP" => Some(1),
        "CiliumInternalIP" => None,
        _ => Some(2),
    };
    let mut ranked: Vec<(u8, IpAddr)> = told
        .into_iter()
        .filter_map(|(kind, ip)| Some((rank(kind)?, ip)))
        .collect();
    ranked.sort_by_key(|&(rank, _)| rank);
    ranked.into_iter().map(|(_, ip)| ip).collect()
}

impl Nodes {
    pub(super) fn put_node(&mut self, key: &ObjectKey, node: &objects::Node) {
        let told = node.status.addresses.iter();
        let told = told.map(|it| (it.kind.as_str(), it.address.as_str()));
        let put = self.nodes.put(key, Node::new(&node.metadata, told));
        self.changed(key, put);
    }

    pub(super) fn put_cilium_node(&mut self, key: &ObjectKey, node: &objects::CiliumNode) {
        let told = node.spec.addresses.iter();
        let told = told.map(|it| (it.kind.as_str(), it.ip.as_str()));
        let put = self.cilium.put(key, Node::new(&node.metadata, told));
        self.changed(key, put);
    }

    fn changed(&mut self, key: &ObjectKey, put: Put<Node>) {
        if put != Put::Same {
            self.dirty.insert(key.clone());
        }
    }

    /// A slice says where the API server is; nowhere, if there is none left in it.
    pub(super) fn set_api_servers(&mut self, slice: &ObjectKey, ips: BTreeSet<IpAddr>) {
        let changed = if ips.is_empty() {
            self.api_servers.remove(slice).is_some()
        } else {
            self.api_servers.get(slice) != Some(&ips)
        };
        if changed {
            if !ips.is_empty() {
                self.api_servers.insert(slice.clone(), ips);
            }
            self.is_api_server_dirty = true;
        }
    }

    pub(super) fn remove(&mut self, resource: Resource, key: &str) {
        let gone = match resource {
            Resource::Nodes => self.nodes.remove(key),
            Resource::CiliumNodes => self.cilium.remove(key),
            _ => None,
        };
        if gone.is_some() {
            self.dirty.insert(key.into());
        }
    }

    pub(super) fn begin(&mut self, resource: Resource) {
        match resource {
            Resource::Nodes => self.nodes.begin(),
            Resource::CiliumNodes => self.cilium.begin(),
            _ => {}
        }
    }

    pub(super) fn end(&mut self, resource: Resource) {
        let gone = match resource {
            Resource::Nodes => self.nodes.end(),
            Resource::CiliumNodes => self.cilium.end(),
            _ => Vec::new(),
        };
        self.dirty.extend(gone.into_iter().map(|(key, _)| key));
    }

    pub(super) fn len(&self, resource: Resource) -> usize {
        match resource {
            Resource::Nodes => self.nodes.len(),
            Resource::CiliumNodes => self.cilium.len(),
            _ => 0,
        }
    }

    /// What is to be told since the last call.
    pub(super) fn take_changes(&mut self) -> (Provider, Vec<Change>) {
        let mut changes: Vec<_> = std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|key| match self.fact(&key) {
                Some(fact) => Change::Put(Box::from(&*key), Fact::Node(fact)),
                None => Change::Remove(Box::from(&*key)),
            })
            .collect();
        if std::mem::take(&mut self.is_api_server_dirty) {
            changes.push(self.api_server_change());
        }
        (Provider::Nodes, changes)
    }

    /// A node, with the addresses that Cilium gives it.
    fn fact(&self, name: &str) -> Option<NodeFact> {
        let known = [self.nodes.get(name), self.cilium.get(name)];
        let labels = known.iter().flatten().next()?.labels.clone();
        let mut ips: Vec<IpAddr> = Vec::new();
        for &ip in known.into_iter().flatten().flat_map(|it| &it.ips) {
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        let agent_ips = known.into_iter().flatten().map(|it| &it.agent_ips);
        let agent = AgentFact {
            address: String::new(),
            ips: agent_ips
                .into_iter()
                .find(|ips| !ips.is_empty())
                .cloned()
                .unwrap_or_default(),
        };
        Some(NodeFact {
            name: name.to_owned(),
            ips,
            labels,
            agent: Some(agent),
            ..NodeFact::default()
        })
    }

    /// As in Cilium, a node that it runs on is the API server at these addresses, and a node at its
    /// others. That of a hosted cluster runs on no node.
    fn api_server_change(&self) -> Change {
        let ips: BTreeSet<IpAddr> = self.api_servers.values().flatten().copied().collect();
        if ips.is_empty() {
            return Change::Remove(API_SERVER_KEY.into());
        }
        let fact = NodeFact {
            name: API_SERVER_NAME.to_owned(),
            ips: ips.into_iter().collect(),
            is_api_server: true,
            ..NodeFact::default()
        };
        Change::Put(API_SERVER_KEY.into(), Fact::Node(fact))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(ip: &str) -> objects::Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"zone": "a"}},
            "status": {"addresses": [
                {"type": "InternalIP", "address": ip},
                {"type": "Hostname", "address": "n1"},
            ]},
        }))
        .unwrap()
    }

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn told(nodes: &mut Nodes) -> BTreeMap<Box<str>, Option<NodeFact>> {
        let (_, changes) = nodes.take_changes();
        let fact = |change| match change {
            Change::Put(key, Fact::Node(fact)) => (key, Some(fact)),
            Change::Put(..) => panic!("no node"),
            Change::Remove(key) => (key, None),
        };
        changes.into_iter().map(fact).collect()
    }

    #[test]
    fn a_node_has_its_addresses_and_labels_and_those_that_cilium_gives_it() {
        let mut nodes = Nodes::default();
        nodes.put_node(&"n1".into(), &node("192.0.2.1"));
        let cilium = serde_json::from_value(json!({
            "metadata": {"name": "n1"},
            "spec": {"addresses": [
                {"type": "InternalIP", "ip": "192.0.2.1"},
                {"type": "CiliumInternalIP", "ip": "10.0.1.254"},
            ]},
        }))
        .unwrap();
        nodes.put_cilium_node(&"n1".into(), &cilium);
        let fact = told(&mut nodes)["n1"].clone().unwrap();
        assert_eq!(fact.labels, ["zone=a"]);
        assert_eq!(
            fact.ips,
            ["192.0.2.1", "10.0.1.254"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        nodes.remove(Resource::Nodes, "n1");
        assert!(told(&mut nodes)["n1"].is_some(), "Cilium still knows it");
        nodes.remove(Resource::CiliumNodes, "n1");
        assert_eq!(told(&mut nodes)["n1"], None);
    }

    #[test]
    fn the_api_server_is_where_its_slices_say() {
        let mut nodes = Nodes::default();
        let slice = "default/kubernetes".into();
        nodes.set_api_servers(&slice, ips(&["192.0.2.1", "203.0.113.5"]));
        let first = told(&mut nodes)[API_SERVER_KEY].clone().unwrap();
        assert!(first.is_api_server);
        assert_eq!(first.ips.len(), 2);
        nodes.put_node(&"n1".into(), &node("192.0.2.1"));
        let node = told(&mut nodes)["n1"].clone().unwrap();
        assert!(!node.is_api_server, "not at all its addresses");
        nodes.set_api_servers(&slice, ips(&["192.0.2.1"]));
        let fewer = told(&mut nodes)[API_SERVER_KEY].clone().unwrap();
        assert_eq!(fewer.ips, node.ips);
        nodes.set_api_servers(&slice, ips(&[]));
        assert_eq!(told(&mut nodes)[API_SERVER_KEY], None);
    }
}
