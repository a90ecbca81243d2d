//! Who is behind each address, at one moment.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    identity,
    inventory::{self, Inventory},
};
use crate::record::{Endpoint, Workload};

/// The cluster of everything, as long as there is only one.
const CLUSTER: &str = "default";

/// Everything that is known about addresses; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Asked twice per event, so hashed fast: what is in it does not come from packets.
    by_address: HashMap<IpAddr, Arc<Endpoint>>,
    world: Arc<Endpoint>,
    unknown: Arc<Endpoint>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new("", &Inventory::default(), &[])
    }
}

impl Snapshot {
    /// Puts together what the providers know: the inventory, and this host's own addresses.
    #[must_use]
    pub fn new(node_name: &str, inventory: &Inventory, own_addresses: &[IpAddr]) -> Self {
        let mut by_address = HashMap::default();
        let remote_node = Arc::new(reserved(identity::REMOTE_NODE, "remote-node"));
        for node in inventory.nodes.iter().filter(|node| node.name != node_name) {
            by_address.extend(node.ips.iter().map(|&ip| (ip, Arc::clone(&remote_node))));
        }
        let ids = local_ids(node_name, inventory);
        for (index, endpoint) in inventory.endpoints.iter().enumerate() {
            let id = ids.get(&index).copied().unwrap_or(0);
            let described = Arc::new(describe(endpoint, id));
            by_address.extend(endpoint.ips.iter().map(|&ip| (ip, Arc::clone(&described))));
        }
        // Own addresses last: nobody knows better.
        let host = Arc::new(reserved(identity::HOST, "host"));
        let own_node = inventory.nodes.iter().filter(|node| node.name == node_name);
        for &ip in own_addresses
            .iter()
            .chain(own_node.flat_map(|node| &node.ips))
        {
            by_address.insert(ip, Arc::clone(&host));
        }
        Self {
            by_address,
            world: Arc::new(reserved(identity::WORLD, "world")),
            unknown: Arc::new(Endpoint::default()),
        }
    }

    /// Who has this address; the world has those that nobody else has.
    #[must_use]
    pub fn endpoint(&self, address: IpAddr) -> &Arc<Endpoint> {
        self.by_address.get(&address).unwrap_or(&self.world)
    }

    /// For packets without addresses.
    #[must_use]
    pub fn unknown(&self) -> &Arc<Endpoint> {
        &self.unknown
    }
}

fn reserved(identity: u32, name: &str) -> Endpoint {
    Endpoint {
        identity,
        labels: vec![format!("reserved:{name}")],
        ..Endpoint::default()
    }
}

fn describe(endpoint: &inventory::Endpoint, id: u32) -> Endpoint {
    let mut labels: Vec<String> = endpoint
        .labels
        .iter()
        .map(|(key, value)| format!("k8s:{key}={value}"))
        .chain([format!("k8s:io.cilium.k8s.policy.cluster={CLUSTER}")])
        .collect();
    if !endpoint.namespace.is_empty() {
        labels.push(format!(
            "k8s:io.kubernetes.pod.namespace={}",
            endpoint.namespace
        ));
    }
    labels.sort();
    Endpoint {
        id,
        identity: identity::of_labels(&labels),
        cluster_name: CLUSTER.to_owned(),
        namespace: endpoint.namespace.clone(),
        pod_name: endpoint.pod.clone(),
        labels,
        // As in Hubble, only the node that runs a workload knows what owns it.
        workloads: endpoint
            .workload
            .iter()
            .filter(|_| id != 0)
            .map(|workload| Workload {
                kind: workload.kind.clone(),
                name: workload.name.clone(),
            })
            .collect(),
    }
}

/// Numbers for the endpoints of this node, by place in the inventory: 16 bits as everywhere in
/// Hubble, computed from the pod's name so that it survives a restart and an edited file.
fn local_ids(node_name: &str, inventory: &Inventory) -> HashMap<usize, u32> {
    let local: BTreeMap<_, _> = inventory
        .endpoints
        .iter()
        .enumerate()
        .filter(|(_, endpoint)| {
            endpoint
                .node
                .as_deref()
                .is_none_or(|node| node == node_name)
        })
        .map(|(index, endpoint)| ((&endpoint.namespace, &endpoint.pod, index), index))
        .collect();
    let mut taken = HashSet::new();
    let mut ids = HashMap::default();
    for ((namespace, pod, _), index) in local {
        let wanted = identity::of_labels(&[namespace.clone(), pod.clone()]);
        // 0 stands for "not local"; a number that is taken moves to the next free one.
        let free = (0..u32::from(u16::MAX))
            .map(|step| (wanted.wrapping_add(step)) % u32::from(u16::MAX) + 1)
            .find(|&id| taken.insert(id));
        ids.extend(free.map(|id| (index, id)));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn snapshot() -> Snapshot {
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
        };
        Snapshot::new("n1", &inventory, &[address("10.0.1.254")])
    }

    #[test]
    fn a_local_pod_has_a_number_and_an_owner() {
        let snapshot = snapshot();
        let local = snapshot.endpoint(address("10.0.1.1"));
        assert_eq!(
            (local.namespace.as_str(), local.pod_name.as_str()),
            ("shop", "web-0")
        );
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
            snapshot.endpoint(address("203.0.113.9")).labels,
            ["reserved:world"]
        );
    }
}
