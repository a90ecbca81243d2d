//! The nodes and pods of a cluster: what they are called, where they are, and ways into them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{Child, Command},
    sync::Arc,
};

use anyhow::{Context as _, Result};

use crate::{
    address::{self, Pair},
    netns::Namespace,
    spawn::Spawner,
    spec::{NodeSpec, PodSpec},
    sweep::ClusterId,
    tools,
};

/// Where programs, threads and sockets can be: a pod, or a host outside the cluster.
pub trait Place {
    /// What it is called.
    fn name(&self) -> &str;

    /// Its network namespace.
    fn namespace(&self) -> &Namespace;

    /// Both addresses, IPv4 first.
    fn ips(&self) -> [IpAddr; 2];

    /// Runs `body` on a new thread inside and waits for it: sockets that it opens are of that place.
    ///
    /// # Errors
    /// When the place is gone, and what `body` returns.
    fn run<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace()
            .run(body)
            .with_context(|| format!("in {}", self.name()))
    }
}

/// One node: a namespace that routes between its pods' bridge and the fabric. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node(Arc<NodeInner>);

#[derive(Debug)]
struct NodeInner {
    name: String,
    number: u8,
    namespace: Namespace,
    addresses: Pair,
    pods: Vec<Pod>,
    spawner: Arc<Spawner>,
}

/// One pod: a namespace with `eth0` and nothing else. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pod(Arc<PodInner>);

#[derive(Debug)]
struct PodInner {
    spec: PodSpec,
    name: String,
    node: String,
    node_number: u8,
    namespace: Namespace,
    addresses: Pair,
    spawner: Arc<Spawner>,
}

/// A host outside the cluster, on the wire that connects the nodes: a namespace with `eth0` and
/// addresses that belong to nobody. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outside(Arc<OutsideInner>);

#[derive(Debug)]
struct OutsideInner {
    name: String,
    number: u8,
    namespace: Namespace,
    addresses: Pair,
    spawner: Arc<Spawner>,
}

impl Outside {
    pub(crate) fn new(id: &ClusterId, index: u8, name: &str, spawner: &Arc<Spawner>) -> Self {
        Self(Arc::new(OutsideInner {
            name: name.to_owned(),
            number: index,
            // Two dots are in no pod's name.
            namespace: Namespace::named(id.namespace_name(&format!("outside..{name}"))),
            addresses: address::outside(index),
            spawner: Arc::clone(spawner),
        }))
    }

    /// Starts `command` inside. The child dies with this process at the latest.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Child> {
        self.0
            .spawner
            .spawn_in(Some(self.0.namespace.open()?), command)
    }

    pub(crate) fn number(&self) -> u8 {
        self.0.number
    }

    pub(crate) fn addresses(&self) -> Pair {
        self.0.addresses
    }
}

impl Place for Outside {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    fn ips(&self) -> [IpAddr; 2] {
        [self.0.addresses.v4.into(), self.0.addresses.v6.into()]
    }
}

impl Place for Pod {
    fn name(&self) -> &str {
        self.name()
    }

    fn namespace(&self) -> &Namespace {
        self.namespace()
    }

    fn ips(&self) -> [IpAddr; 2] {
        self.ips()
    }
}

impl Node {
    pub(crate) fn new(id: &ClusterId, number: u8, spec: &NodeSpec, spawner: &Arc<Spawner>) -> Self {
        let pod = |(index, pod): (u8, &PodSpec)| {
            Pod(Arc::new(PodInner {
                name: format!("{}/{}", pod.namespace, pod.name),
                spec: pod.clone(),
                node: spec.name.clone(),
                node_number: number,
                // A dot is in no node's name, so that pods and nodes never share one.
                namespace: Namespace::named(
                    id.namespace_name(&format!("{}.{}", pod.namespace, pod.name)),
                ),
                addresses: address::pod(number, index),
                spawner: Arc::clone(spawner),
            }))
        };
        Self(Arc::new(NodeInner {
            name: spec.name.clone(),
            number,
            namespace: Namespace::named(id.namespace_name(&spec.name)),
            addresses: address::node(number),
            pods: (0..).zip(&spec.pods).map(pod).collect(),
            spawner: Arc::clone(spawner),
        }))
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Its addresses on the fabric.
    pub fn ips(&self) -> [IpAddr; 2] {
        [self.0.addresses.v4.into(), self.0.addresses.v6.into()]
    }

    /// Its pods, in the order of the spec.
    pub fn pods(&self) -> &[Pod] {
        &self.0.pods
    }

    /// Starts `command` inside the node. The child dies with this process at the latest.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Child> {
        self.0
            .spawner
            .spawn_in(Some(self.0.namespace.open()?), command)
    }

    /// Makes the node drop, by an nftables rule in its forward chain, whatever `from` sends to the
    /// TCP and UDP `port` of `to`. The kernel's reason for such a drop is NETFILTER_DROP.
    ///
    /// The rule must be on a node that routes between the two: `from` and `to` on different nodes.
    ///
    /// # Errors
    /// When nftables is missing or refuses.
    pub fn drop_traffic(&self, from: &Pod, to: &Pod, port: u16) -> Result<()> {
        let (from, to) = (from.addresses(), to.addresses());
        let chain = "chain inet palomar_testbed forward";
        let rule = "rule inet palomar_testbed forward";
        let ports = format!("meta l4proto {{ tcp, udp }} th dport {port} drop");
        let script = format!(
            "add table inet palomar_testbed\n\
             add {chain} {{ type filter hook forward priority filter; policy accept; }}\n\
             add {rule} ip saddr {} ip daddr {} {ports}\n\
             add {rule} ip6 saddr {} ip6 daddr {} {ports}\n",
            from.v4, to.v4, from.v6, to.v6
        );
        tools::nft(self.namespace(), &script)
            .with_context(|| format!("cannot add a drop rule on {}", self.name()))
    }

    pub(crate) fn number(&self) -> u8 {
        self.0.number
    }
}

impl Pod {
    /// Namespace and name, as in `shop/web-0`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it was made from.
    pub fn spec(&self) -> &PodSpec {
        &self.0.spec
    }

    /// The node that it is on.
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.0.namespace
    }

    /// Its IPv4 address.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.0.addresses.v4
    }

    /// Its IPv6 address.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.0.addresses.v6
    }

    /// Both addresses, IPv4 first.
    pub fn ips(&self) -> [IpAddr; 2] {
        [self.ipv4().into(), self.ipv6().into()]
    }

    /// Starts `command` inside the pod. The child dies with this process at the latest.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Child> {
        self.0
            .spawner
            .spawn_in(Some(self.0.namespace.open()?), command)
    }

    /// Runs `body` on a new thread inside the pod and waits for it: sockets that it opens are the
    /// pod's.
    ///
    /// # Errors
    /// When the pod is gone, and what `body` returns.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.0
            .namespace
            .run(body)
            .with_context(|| format!("in pod {}", self.name()))
    }

    pub(crate) fn addresses(&self) -> Pair {
        self.0.addresses
    }

    pub(crate) fn node_number(&self) -> u8 {
        self.0.node_number
    }
}
