//! What a cluster needs beyond the ordinary, so that frames are the packets that the probes see.

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Cluster, Namespace, Node};

use super::{TUNNEL, capture};

/// Each segment is a packet on all devices: what a device would cut later, or put together, neither
/// the capture nor the probes would see as it was on the wire.
pub(crate) fn one_segment_per_packet(cluster: &Cluster) -> Result<()> {
    let one = |name: &str| format!("link set dev {name} gso_max_segs 1\n");
    for node in cluster.nodes() {
        let devices = capture::devices(node)?;
        let batch: String = devices.iter().map(|name| one(name)).collect();
        ip(node.namespace(), &batch)?;
    }
    cluster
        .pods()
        .try_for_each(|pod| ip(pod.namespace(), &one("eth0")).map(drop))
}

/// A VXLAN device on each of the two nodes, and the way through it between the second pod of each.
pub(crate) fn tunnel(cluster: &Cluster) -> Result<()> {
    let [first, second] = [cluster.node("node-1")?, cluster.node("node-2")?];
    let [cart, db] = [cluster.pod("shop/cart-0")?, cluster.pod("shop/db-0")?];
    for (node, other, own, their, pod) in [
        (first, second, "192.168.7.1", "192.168.7.2", db),
        (second, first, "192.168.7.2", "192.168.7.1", cart),
    ] {
        let batch = format!(
            "link add {TUNNEL} type vxlan id 7 dstport 4789 remote {}\n\
             addr add {own}/24 dev {TUNNEL}\n\
             link set {TUNNEL} up\n\
             route add {}/32 via {their} dev {TUNNEL}\n",
            other.ips()[0],
            pod.ipv4()
        );
        ip(node.namespace(), &batch)?;
    }
    Ok(())
}

/// Runs a batch of `ip` commands, one a line. Returns what they print.
pub(crate) fn ip(namespace: &Namespace, batch: &str) -> Result<String> {
    feed(namespace, "ip", &["-batch", "-"], batch)
}

/// Loads nftables rules.
pub(crate) fn nft(node: &Node, rules: &str) -> Result<()> {
    feed(node.namespace(), "nft", &["-f", "-"], rules).map(drop)
}

/// Writes settings, each a path under `/proc/sys/net` and its value.
pub(crate) fn set(namespace: &Namespace, settings: &[(&str, &str)]) -> Result<()> {
    namespace.run(|| {
        settings.iter().try_for_each(|(path, value)| {
            fs::write(format!("/proc/sys/net/{path}"), value)
                .with_context(|| format!("cannot set {path} to {value}"))
        })
    })
}

fn feed(namespace: &Namespace, program: &str, arguments: &[&str], input: &str) -> Result<String> {
    // Where administrators' programs are, which not everybody has on the path.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = namespace.run(|| {
        let mut child = Command::new(program)
            .args(arguments)
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let written = child
            .stdin
            .take()
            .map(|mut it| it.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        // What the program says when it refuses is worth more than that it closed its input.
        if output.status.success() {
            written.context("no standard input")??;
        }
        Ok(output)
    })?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
