//! Spec and address plan -> the commands that lay the network.
//!
//! ```text
//!  pod namespace        node namespace                         fabric namespace
//!  eth0 ────────── veth1a2b3c4d ─ cni0 ~ routing ~ eth0 ────── port1 ─ switch0 ─ port2 ── …
//!                                                                        │
//!                                              outside: eth0 ───────── outside0
//! ```
//! One `ip` process makes all namespaces, then one lays the network of each.

use std::{
    collections::hash_map::DefaultHasher,
    fmt::Write as _,
    hash::{Hash as _, Hasher as _},
};

use anyhow::Result;

use crate::{
    address::{self, V4_PREFIX, V6_PREFIX},
    netns::Namespace,
    node::{Node, Outside, Place as _, Pod},
    tools,
};

/// Settings of every namespace before it has a device. Addresses are usable at once, nobody waits
/// for a router that will not come, and nodes forward.
const SETTINGS: [(&str, &str); 6] = [
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];
const FORWARDING: [(&str, &str); 2] = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")];

/// A bridge that forwards from the first packet on: no spanning tree, no wait, and no learning
/// which multicast (neighbour discovery, that is) goes where.
const BRIDGE: &str = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0";

/// Makes the namespaces of `fabric` and `nodes` and connects them.
pub(crate) fn lay(fabric: &Namespace, nodes: &[Node], outside: &[Outside]) -> Result<()> {
    let pods = || nodes.iter().flat_map(Node::pods);
    let namespaces: Vec<&Namespace> = std::iter::once(fabric)
        .chain(nodes.iter().map(Node::namespace))
        .chain(pods().map(Pod::namespace))
        .chain(outside.iter().map(Outside::namespace))
        .collect();

    let mut batch = String::new();
    for namespace in &namespaces {
        line(&mut batch, format_args!("netns add {}", namespace.name()));
    }
    tools::ip(None, &batch)?;

    for namespace in namespaces {
        namespace.write_settings(&SETTINGS)?;
    }
    for node in nodes {
        node.namespace().write_settings(&FORWARDING)?;
    }

    // Outside in: each step makes the far ends of the devices that the next one sets up.
    tools::ip(Some(fabric), &fabric_batch(nodes, outside))?;
    for node in nodes {
        tools::ip(Some(node.namespace()), &node_batch(node, nodes))?;
    }
    for host in outside {
        tools::ip(Some(host.namespace()), &outside_batch(host, nodes))?;
    }
    for pod in pods() {
        tools::ip(Some(pod.namespace()), &pod_batch(pod))?;
    }
    Ok(())
}

fn fabric_batch(nodes: &[Node], outside: &[Outside]) -> String {
    let mut batch = String::new();
    line(&mut batch, format_args!("link add switch0 {BRIDGE}"));
    let of_nodes = nodes.iter().map(|node| {
        let port = format!("port{}", node.number());
        (port, node.namespace().name())
    });
    let of_outside = outside.iter().map(|host| {
        let port = format!("outside{}", host.number());
        (port, host.namespace().name())
    });
    for (port, peer) in of_nodes.chain(of_outside) {
        line(
            &mut batch,
            format_args!("link add {port} type veth peer name eth0 netns {peer}"),
        );
        line(
            &mut batch,
            format_args!("link set {port} master switch0 up"),
        );
    }
    line(&mut batch, format_args!("link set switch0 up"));
    batch
}

fn node_batch(node: &Node, nodes: &[Node]) -> String {
    let mut batch = String::new();
    line(&mut batch, format_args!("link set lo up"));
    line(&mut batch, format_args!("link add cni0 {BRIDGE}"));
    let gateway = address::gateway(node.number());
    addresses(&mut batch, gateway, "cni0");
    line(&mut batch, format_args!("link set cni0 up"));
    for pod in node.pods() {
        let (device, peer) = (host_device(pod), pod.namespace().name());
        line(
            &mut batch,
            format_args!("link add {device} type veth peer name eth0 netns {peer}"),
        );
        line(&mut batch, format_args!("link set {device} master cni0 up"));
    }
    addresses(&mut batch, address::node(node.number()), "eth0");
    line(&mut batch, format_args!("link set eth0 up"));
    let outside = address::outside_network();
    line(
        &mut batch,
        format_args!("route add {}/{V4_PREFIX} dev eth0", outside.v4),
    );
    line(
        &mut batch,
        format_args!("route add {}/{V6_PREFIX} dev eth0", outside.v6),
    );
    for other in nodes.iter().filter(|other| other.number() != node.number()) {
        let (pods, via) = (
            address::pod_network(other.number()),
            address::node(other.number()),
        );
        line(
            &mut batch,
            format_args!("route add {}/{V4_PREFIX} via {}", pods.v4, via.v4),
        );
        line(
            &mut batch,
            format_args!("route add {}/{V6_PREFIX} via {}", pods.v6, via.v6),
        );
    }
    batch
}

fn outside_batch(host: &Outside, nodes: &[Node]) -> String {
    let mut batch = String::new();
    line(&mut batch, format_args!("link set lo up"));
    addresses(&mut batch, host.addresses(), "eth0");
    line(&mut batch, format_args!("link set eth0 up"));
    for node in nodes {
        let (pods, via) = (
            address::pod_network(node.number()),
            address::node(node.number()),
        );
        on_link(&mut batch, via);
        line(
            &mut batch,
            format_args!("route add {}/{V4_PREFIX} via {}", pods.v4, via.v4),
        );
        line(
            &mut batch,
            format_args!("route add {}/{V6_PREFIX} via {}", pods.v6, via.v6),
        );
    }
    batch
}

/// Makes an address of another network reachable on the wire itself.
fn on_link(batch: &mut String, pair: address::Pair) {
    line(batch, format_args!("route add {} dev eth0", pair.v4));
    line(batch, format_args!("route add {} dev eth0", pair.v6));
}

fn pod_batch(pod: &Pod) -> String {
    let mut batch = String::new();
    line(&mut batch, format_args!("link set lo up"));
    addresses(&mut batch, pod.addresses(), "eth0");
    line(&mut batch, format_args!("link set eth0 up"));
    let gateway = address::gateway(pod.node_number());
    line(
        &mut batch,
        format_args!("route add default via {}", gateway.v4),
    );
    line(
        &mut batch,
        format_args!("route add default via {}", gateway.v6),
    );
    batch
}

fn addresses(batch: &mut String, pair: address::Pair, device: &str) {
    line(
        batch,
        format_args!("addr add {}/{V4_PREFIX} dev {device}", pair.v4),
    );
    line(
        batch,
        format_args!("addr add {}/{V6_PREFIX} dev {device} nodad", pair.v6),
    );
}

/// The node's end of a pod's veth: named by a hash, as container runtimes do, so that nothing can
/// learn the pod from it.
fn host_device(pod: &Pod) -> String {
    let mut hasher = DefaultHasher::new();
    pod.name().hash(&mut hasher);
    format!("veth{:08x}", hasher.finish() as u32)
}

fn line(batch: &mut String, command: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(batch, "{command}").ok();
}
