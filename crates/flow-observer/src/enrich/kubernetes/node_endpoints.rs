//! What Cilium itself has at each node: in go its node objects, out come facts about the endpoints
//! that stand for the health of a node and for its ingress.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    objects::{self, AddressPair},
    resource::Resource,
    table::{ObjectKey, Put, Table},
};
use crate::enrich::facts::{Change, EndpointFact, Fact, Provider};

/// The kinds of endpoints, and the label by which each has its identity.
const KINDS: [(&str, &str); 2] = [
    ("health", "reserved:health"),
    ("ingress", "reserved:ingress"),
];

/// By the name of the node.
#[derive(Debug, Default)]
pub(super) struct NodeEndpoints {
    nodes: Table<[Box<[IpAddr]>; KINDS.len()]>,
    dirty: BTreeSet<ObjectKey>,
}

impl NodeEndpoints {
    pub(super) fn put(&mut self, key: &ObjectKey, node: &objects::CiliumNode) {
        let objects::CiliumNodeSpec {
            health, ingress, ..
        } = &node.spec;
        if self.nodes.put(key, [health, ingress].map(ips)) != Put::Same {
            self.dirty.insert(Arc::clone(key));
        }
    }

    pub(super) fn remove(&mut self, resource: Resource, key: &str) {
        if resource == Resource::CiliumNodes && self.nodes.remove(key).is_some() {
            self.dirty.insert(key.into());
        }
    }

    pub(super) fn begin(&mut self, resource: Resource) {
        if resource == Resource::CiliumNodes {
            self.nodes.begin();
        }
    }

    pub(super) fn end(&mut self, resource: Resource) {
        if resource == Resource::CiliumNodes {
            let gone = self.nodes.end();
            self.dirty.extend(gone.into_iter().map(|(key, _)| key));
        }
    }

    /// What is to be told since the last call.
    pub(super) fn take_changes(&mut self) -> (Provider, Vec<Change>) {
        let mut changes = Vec::new();
        for name in std::mem::take(&mut self.dirty) {
            let known = self.nodes.get(&name);
            for (position, (kind, label)) in KINDS.into_iter().enumerate() {
                let key = format!("{kind}/{name}").into();
                let ips = known.map(|it| &it[position]).filter(|it| !it.is_empty());
                changes.push(match ips {
                    Some(ips) => Change::Put(key, Fact::Endpoint(fact(&name, label, ips))),
                    None => Change::Remove(key),
                });
            }
        }
        (Provider::CiliumNodes, changes)
    }
}

fn ips(pair: &AddressPair) -> Box<[IpAddr]> {
    let texts = [&pair.ipv4, &pair.ipv6].into_iter();
    texts.filter_map(|it| it.parse().ok()).collect()
}

fn fact(node: &str, label: &str, ips: &[IpAddr]) -> EndpointFact {
    EndpointFact {
        ips: ips.to_vec(),
        labels: vec![label.to_owned()],
        node: Some(node.to_owned()),
        ..EndpointFact::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(spec: Value) -> objects::CiliumNode {
        serde_json::from_value(json!({"metadata": {"name": "n1"}, "spec": spec})).unwrap()
    }

    fn told(endpoints: &mut NodeEndpoints) -> Vec<(String, usize)> {
        let (_, changes) = endpoints.take_changes();
        let told = |change| match change {
            Change::Put(key, Fact::Endpoint(fact)) => (key.into_string(), fact.ips.len()),
            Change::Put(..) => panic!("no endpoint"),
            Change::Remove(key) => (key.into_string(), 0),
        };
        changes.into_iter().map(told).collect()
    }

    fn both(health: usize, ingress: usize) -> Vec<(String, usize)> {
        vec![
            ("health/n1".to_owned(), health),
            ("ingress/n1".to_owned(), ingress),
        ]
    }

    #[test]
    fn a_node_has_an_endpoint_for_each_kind_that_has_addresses() {
        let mut endpoints = NodeEndpoints::default();
        let key: ObjectKey = "n1".into();
        let first = node(json!({"health": {"ipv4": "10.0.1.5", "ipv6": "fd00::5"}}));
        endpoints.put(&key, &first);
        assert_eq!(told(&mut endpoints), both(2, 0));
        endpoints.put(&key, &first);
        assert_eq!(told(&mut endpoints), [], "nothing changed");
        let ingress = node(json!({"health": {"ipv4": "none"}, "ingress": {"ipv4": "10.0.1.6"}}));
        endpoints.put(&key, &ingress);
        assert_eq!(told(&mut endpoints), both(0, 1));
        endpoints.begin(Resource::CiliumNodes);
        endpoints.end(Resource::CiliumNodes);
        assert_eq!(told(&mut endpoints), both(0, 0));
    }
}
