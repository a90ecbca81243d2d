//! What providers say: facts about addresses, each with a key by which it can be replaced or taken
//! back.
//!
//! Whoever knows something about the host or the cluster (the inventory file, a Kubernetes watch, the
//! host's own devices) is a provider. It says what is so, never what that means: identities, numbers
//! and who wins an address that two claim are decided when the snapshot is made.

use std::net::IpAddr;

use crate::record::Workload;

/// Who says something. When two say who has an address, the later one in this list is believed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Provider {
    /// Containers and units that were found on this host.
    Containers,
    /// Kubernetes: nodes.
    Nodes,
    /// Cilium's node objects.
    CiliumNodes,
    /// Cilium's identity objects.
    CiliumIdentities,
    /// Kubernetes: services and what is behind them.
    Services,
    /// Kubernetes: pods.
    Pods,
    /// Cilium's endpoint objects.
    CiliumEndpoints,
    /// The inventory file.
    Inventory,
    /// This host's own devices.
    Host,
}

/// The name of a fact among those of its provider, as in `shop/web-0`.
pub type Key = Box<str>;

/// Something that is so.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// A workload.
    Endpoint(EndpointFact),
    /// A node.
    Node(NodeFact),
    /// A service.
    Service(ServiceFact),
    /// A range of addresses.
    Prefix(PrefixFact),
    /// Names of an address that always hold.
    Names(NamesFact),
    /// The identity of a set of labels.
    Identity(IdentityFact),
}

/// A workload: a pod, a container, a machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndpointFact {
    /// Its addresses. None for one that shares those of its node.
    pub ips: Vec<IpAddr>,
    /// Its cluster; empty for the agent's own.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// `source:key=value`, in any order. Those that every workload has are added to them.
    pub labels: Vec<String>,
    /// The node it runs on; the agent's own for `None`.
    pub node: Option<String>,
    /// What owns it.
    pub workload: Option<Workload>,
    /// Its number on its node, where somebody else gives numbers.
    pub id: Option<u16>,
    /// Its security identity, where somebody else gives identities.
    pub identity: Option<u32>,
}

/// A node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeFact {
    /// Its name.
    pub name: String,
    /// Its cluster; empty for the agent's own.
    pub cluster: String,
    /// Its own addresses.
    pub ips: Vec<IpAddr>,
    /// `key=value`, in any order.
    pub labels: Vec<String>,
    /// How relays reach its agent; `None` for what has none, as an API server elsewhere.
    pub agent: Option<AgentFact>,
    /// The API server runs on it.
    pub is_api_server: bool,
}

/// Where the agent of a node is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentFact {
    /// Its address, where somebody says so: as in `192.0.2.11:4244`.
    pub address: String,
    /// Addresses of its node that relays may use, the best first.
    pub ips: Vec<IpAddr>,
}

/// A service.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServiceFact {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub frontends: Vec<Port>,
    /// Where those end up.
    pub backends: Vec<Port>,
    /// Where clients reach it at the address of any node.
    pub node_ports: Vec<NodePort>,
}

/// A port at an address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Port {
    /// The address.
    pub ip: IpAddr,
    /// Number of the IP protocol: 6 for TCP, 17 for UDP, 132 for SCTP.
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// A port at all nodes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NodePort {
    /// As in [`Port`].
    pub protocol: u8,
    /// The port.
    pub port: u16,
}

/// A range of addresses that belongs to somebody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrefixFact {
    /// The first address; bits beyond `len` do not count.
    pub address: IpAddr,
    /// How many bits all its addresses have in common.
    pub len: u8,
    /// `source:key=value`, in any order.
    pub labels: Vec<String>,
}

/// Names of an address that always hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamesFact {
    /// The addresses.
    pub ips: Vec<IpAddr>,
    /// Their names, the best known first.
    pub names: Vec<String>,
}

/// The identity of a set of labels, where somebody else gives identities.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityFact {
    /// Its number.
    pub number: u32,
    /// `source:key=value`, in any order: all that count.
    pub labels: Vec<String>,
}

/// What became of a fact.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all changes are of the larger kind"
)]
pub enum Change {
    /// It is so now, whatever was under the key before.
    Put(Key, Fact),
    /// It is so no longer.
    Remove(Key),
}
