//! Who is behind each address, at one moment.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    directory::Facts,
    facts::{EndpointFact, Fact, NodeFact, Port, Provider, ServiceFact},
    identity,
};
use crate::record::{Endpoint, Names, Service};

/// The cluster of everything, as long as there is only one.
const CLUSTER: &str = "default";

/// Everything that is known about addresses; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Asked twice per event, so hashed fast: what is in it does not come from packets.
    by_address: HashMap<IpAddr, Arc<Endpoint>>,
    frontends: HashMap<Port, Arc<Service>>,
    /// Services by what is behind them; only where there is no more than one.
    backends: HashMap<Port, Option<Arc<Service>>>,
    names: HashMap<IpAddr, Arc<Names>>,
    own_addresses: Vec<IpAddr>,
    own_labels: Arc<[String]>,
    world: Arc<Endpoint>,
    unknown: Arc<Endpoint>,
}

impl Snapshot {
    /// Puts together what the providers know.
    pub(super) fn new(node_name: &str, facts: &Facts) -> Self {
        let mut snapshot = Self {
            by_address: HashMap::default(),
            frontends: HashMap::default(),
            backends: HashMap::default(),
            names: HashMap::default(),
            own_addresses: facts.own_addresses.clone(),
            own_labels: Arc::default(),
            world: identity::reserved(identity::WORLD),
            unknown: Arc::new(Endpoint::default()),
        };
        let ids = local_ids(node_name, facts);
        let remote_node = identity::reserved(identity::REMOTE_NODE);
        let host = identity::reserved(identity::HOST);
        let mut own = Vec::new();
        for (provider, facts) in &facts.by_provider {
            for (key, fact) in facts {
                match fact {
                    Fact::Endpoint(fact) => {
                        let id = ids.get(&(*provider, &**key)).copied().unwrap_or(0);
                        let described = Arc::new(describe(fact, id));
                        for &ip in &fact.ips {
                            snapshot.by_address.insert(ip, Arc::clone(&described));
                        }
                    }
                    Fact::Node(fact) if fact.name == node_name => {
                        own.extend_from_slice(&fact.ips);
                        snapshot.own_labels = fact.labels.clone().into();
                    }
                    Fact::Node(NodeFact { ips, .. }) => {
                        let remote = ips.iter().map(|&ip| (ip, Arc::clone(&remote_node)));
                        snapshot.by_address.extend(remote);
                    }
                    Fact::Service(fact) => snapshot.add_service(fact),
                    Fact::Prefix(_) | Fact::Names(_) => {}
                }
            }
        }
        // Own addresses last: nobody knows better.
        for &ip in facts.own_addresses.iter().chain(&own) {
            snapshot.by_address.insert(ip, Arc::clone(&host));
        }
        snapshot
    }

    fn add_service(&mut self, fact: &ServiceFact) {
        let service = Arc::new(Service {
            namespace: fact.namespace.as_str().into(),
            name: fact.name.as_str().into(),
        });
        for &port in &fact.frontends {
            self.frontends.insert(port, Arc::clone(&service));
        }
        for &port in &fact.backends {
            self.backends
                .entry(port)
                .and_modify(|it| *it = None)
                .or_insert_with(|| Some(Arc::clone(&service)));
        }
    }

    /// Who has this address; the world has those that nobody else has.
    #[must_use]
    pub fn endpoint(&self, address: IpAddr) -> &Arc<Endpoint> {
        self.by_address.get(&address).unwrap_or(&self.world)
    }

    /// The service whose clients use this port.
    #[must_use]
    pub fn frontend(&self, port: Port) -> Option<&Arc<Service>> {
        self.frontends.get(&port)
    }

    /// The service behind which this port is, where there is only one.
    #[must_use]
    pub fn backend(&self, port: Port) -> Option<&Arc<Service>> {
        self.backends.get(&port)?.as_ref()
    }

    /// What an address is always called.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> Option<&Arc<Names>> {
        self.names.get(&address)
    }

    /// For packets without addresses.
    #[must_use]
    pub fn unknown(&self) -> &Arc<Endpoint> {
        &self.unknown
    }

    /// This host's own addresses.
    pub(super) fn own_addresses(&self) -> &[IpAddr] {
        &self.own_addresses
    }

    /// Labels of this node: `key=value`.
    #[must_use]
    pub fn own_labels(&self) -> &Arc<[String]> {
        &self.own_labels
    }
}

fn describe(fact: &EndpointFact, id: u32) -> Endpoint {
    let cluster = match fact.cluster.as_str() {
        "" => CLUSTER,
        told => told,
    };
    let mut labels = fact.labels.clone();
    labels.push(format!("k8s:io.cilium.k8s.policy.cluster={cluster}"));
    if !fact.namespace.is_empty() {
        labels.push(format!(
            "k8s:io.kubernetes.pod.namespace={}",
            fact.namespace
        ));
    }
    labels.sort();
    Endpoint {
        id: fact.id.map_or(id, u32::from),
        identity: fact
            .identity
            .unwrap_or_else(|| identity::of_labels(&labels, 0)),
        cluster_name: cluster.into(),
        namespace: fact.namespace.as_str().into(),
        pod_name: fact.pod.as_str().into(),
        labels: labels.into(),
        // As in Hubble, only the node that runs a workload knows what owns it.
        workloads: fact.workload.iter().filter(|_| id != 0).cloned().collect(),
    }
}

/// Numbers for the endpoints of this node: 16 bits as everywhere in Hubble, computed from the pod's
/// name so that it survives a restart and an edited file.
fn local_ids<'a>(node_name: &str, facts: &'a Facts) -> HashMap<(Provider, &'a str), u32> {
    let mut local = BTreeMap::new();
    for (provider, facts) in &facts.by_provider {
        for (key, fact) in facts {
            if let Fact::Endpoint(fact) = fact
                && fact.node.as_deref().is_none_or(|node| node == node_name)
            {
                local.insert(
                    (&fact.namespace, &fact.pod, *provider, &**key),
                    (*provider, &**key),
                );
            }
        }
    }
    let mut taken = HashSet::new();
    let mut ids = HashMap::default();
    for ((namespace, pod, ..), endpoint) in local {
        let wanted = identity::of_labels(&[namespace, pod], 0);
        // 0 stands for "not local"; a number that is taken moves to the next free one.
        let free = (0..u32::from(u16::MAX))
            .map(|step| (wanted.wrapping_add(step)) % u32::from(u16::MAX) + 1)
            .find(|&id| taken.insert(id));
        ids.extend(free.map(|id| (endpoint, id)));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{Directory, Inventory, inventory};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn snapshot() -> Arc<Snapshot> {
        let endpoint = |ip: &str, pod: &str, node: &str| inventory::Endpoint {
            ips: vec![address(ip)],
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            node: Some(node.to_owned()),
            workload: Some(inventory::Workload {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
            }),
            ..inventory::Endpoint::default()
        };
        let node = |name: &str, ip: &str| inventory::Node {
            name: name.to_owned(),
            ips: vec![address(ip)],
            ..inventory::Node::default()
        };
        let inventory = Inventory {
            nodes: vec![node("n1", "192.0.2.1"), node("n2", "192.0.2.2")],
            endpoints: vec![
                endpoint("10.0.1.1", "web-0", "n1"),
                endpoint("10.0.2.1", "web-1", "n2"),
            ],
            ..Inventory::default()
        };
        let directory = Directory::new("n1", inventory);
        directory.set_own_addresses(&[address("10.0.1.254")]);
        directory.snapshot()
    }

    #[test]
    fn a_local_pod_has_a_number_and_an_owner() {
        let snapshot = snapshot();
        let local = snapshot.endpoint(address("10.0.1.1"));
        assert_eq!((&*local.namespace, &*local.pod_name), ("shop", "web-0"));
        assert!(local.id > 0 && local.id <= u32::from(u16::MAX));
        assert_eq!(local.workloads[0].name, "web");
        assert!(local.labels.is_sorted());
    }

    #[test]
    fn a_remote_pod_has_the_same_identity_but_no_number() {
        let snapshot = snapshot();
        let remote = snapshot.endpoint(address("10.0.2.1"));
        assert_eq!((remote.id, remote.workloads.len()), (0, 0));
        assert_eq!(
            remote.identity,
            snapshot.endpoint(address("10.0.1.1")).identity
        );
    }

    #[test]
    fn nodes_and_everybody_else_are_reserved_identities() {
        let snapshot = snapshot();
        let identity = |ip| snapshot.endpoint(address(ip)).identity;
        assert_eq!(identity("10.0.1.254"), 1);
        assert_eq!(identity("192.0.2.1"), 1);
        assert_eq!(identity("192.0.2.2"), 6);
        assert_eq!(identity("203.0.113.9"), 2);
        assert_eq!(
            *snapshot.endpoint(address("203.0.113.9")).labels,
            ["reserved:world"]
        );
    }
}
