//! What an inventory says, as any provider would.

use std::collections::BTreeMap;

use super::{Endpoint, Inventory, Names, Node, Prefix, Service};
use crate::{
    enrich::{
        facts::{AgentFact, EndpointFact, Fact, Key, NamesFact, NodeFact, PrefixFact, ServiceFact},
        standing::Counts,
    },
    record,
};

/// The source of the labels of workloads, unless a label names another.
const OF_ENDPOINTS: &str = "k8s";
/// The same of ranges: where Cilium has them from groups of ranges, it calls them so.
const OF_PREFIXES: &str = "cidrgroup";

impl Inventory {
    /// How much of what it holds.
    pub(in crate::enrich) fn counts(&self) -> Counts<5> {
        [
            ("nodes", self.nodes.len()),
            ("endpoints", self.endpoints.len()),
            ("prefixes", self.prefixes.len()),
            ("services", self.services.len()),
            ("names", self.names.len()),
        ]
    }

    /// Its facts. An element without a name of its own has its place in the file as key.
    pub(in crate::enrich) fn into_facts(self) -> Vec<(Key, Fact)> {
        let nodes = self.nodes.into_iter().map(node);
        let endpoints = (0..).zip(self.endpoints).map(endpoint);
        let prefixes = self.prefixes.into_iter().map(prefix);
        let services = self.services.into_iter().map(service);
        let names = (0..).zip(self.names).map(names);
        nodes
            .chain(endpoints)
            .chain(prefixes)
            .chain(services)
            .chain(names)
            .collect()
    }
}

fn node(node: Node) -> (Key, Fact) {
    let key = format!("node/{}", node.name).into();
    let agent = AgentFact {
        address: node.address,
        ips: node.ips.clone(),
    };
    let fact = NodeFact {
        name: node.name,
        cluster: node.cluster,
        ips: node.ips,
        labels: node
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        agent: Some(agent),
        is_api_server: node.api_server,
    };
    (key, Fact::Node(fact))
}

fn endpoint((index, endpoint): (u32, Endpoint)) -> (Key, Fact) {
    let key = format!("endpoint/{index:09}").into();
    let fact = EndpointFact {
        ips: endpoint.ips,
        cluster: endpoint.cluster,
        namespace: endpoint.namespace,
        pod: endpoint.pod,
        labels: labels(OF_ENDPOINTS, &endpoint.labels).collect(),
        node: endpoint.node,
        workload: endpoint.workload.map(|workload| record::Workload {
            kind: workload.kind,
            name: workload.name,
        }),
        id: endpoint.id,
        identity: endpoint.identity,
    };
    (key, Fact::Endpoint(fact))
}

fn prefix(prefix: Prefix) -> (Key, Fact) {
    let key = format!("prefix/{}", prefix.cidr).into();
    let name = (!prefix.name.is_empty()).then(|| format!("{OF_PREFIXES}:name={}", prefix.name));
    let fact = PrefixFact {
        address: prefix.cidr.address,
        len: prefix.cidr.len,
        labels: name
            .into_iter()
            .chain(labels(OF_PREFIXES, &prefix.labels))
            .collect(),
    };
    (key, Fact::Prefix(fact))
}

fn service(service: Service) -> (Key, Fact) {
    let key = format!("service/{}/{}", service.namespace, service.name).into();
    let fact = ServiceFact {
        namespace: service.namespace,
        name: service.name,
        frontends: service.frontends,
        backends: service.backends,
        ..ServiceFact::default()
    };
    (key, Fact::Service(fact))
}

fn names((index, names): (u32, Names)) -> (Key, Fact) {
    let key = format!("names/{index:09}").into();
    let fact = NamesFact {
        ips: names.ips,
        names: names.names,
    };
    (key, Fact::Names(fact))
}

/// `source:key=value`. A key that names its source keeps it.
fn labels(source: &'static str, labels: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    labels.iter().map(move |(key, value)| {
        if key.contains(':') {
            format!("{key}={value}")
        } else {
            format!("{source}:{key}={value}")
        }
    })
}
