//! A cluster with agents and a relay, and when what they saw is complete.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use testbed::{
    Cluster, Spec,
    exchange::{self, Family},
    wait,
};

use crate::{palomar, seen::Seen};

/// How long flows may take from the kernel to a client: milliseconds, but seconds when every
/// processor is busy.
const FLOW_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a relay may take to find its peers.
const RELAY_TIMEOUT: Duration = Duration::from_secs(20);
/// Large enough to hold all that happens in any one test.
const RING_CAPACITY: &str = "65535";
/// More than the ring holds, so that a query is never cut short.
pub(crate) const ALL: &str = "65535";

/// Runs `test` on a cluster made from `spec` with an agent on each node. A failure is reported
/// together with what those said.
pub(crate) fn with_agents(
    spec: &Spec,
    test: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<()> {
    let mut cluster = Cluster::start(spec)?;
    let binary = Path::new(palomar::BINARY);
    cluster.start_agents_with(
        binary,
        &["--ring-capacity", RING_CAPACITY, "--aggregation", "none"],
    )?;
    test(&mut cluster)
        .with_context(|| cluster.last_words())
        .map_err(last_words_last)
}

/// [`with_agents`] and a relay that has found them all.
pub(crate) fn with_relay(spec: &Spec, test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    with_agents(spec, |cluster| {
        let relay = palomar::server(&cluster.start_relay(Path::new(palomar::BINARY))?);
        let all = format!("Connected Nodes: {0}/{0}", cluster.nodes().len());
        wait::until("all nodes in the relay's status", RELAY_TIMEOUT, || {
            let status = palomar::run(&["status", "--server", &relay])?;
            Ok(String::from_utf8_lossy(&status.stdout)
                .contains(&all)
                .then_some(()))
        })?;
        test(cluster)
    })
}

/// Puts the context, which is long, behind the error.
pub(crate) fn last_words_last(error: anyhow::Error) -> anyhow::Error {
    let mut chain = error.chain().map(ToString::to_string);
    let last_words = chain.next().unwrap_or_default();
    anyhow::anyhow!("{}\n{last_words}", chain.collect::<Vec<_>>().join(": "))
}

/// The sockets of all agents, in the order of the nodes.
pub(crate) fn agent_sockets(cluster: &Cluster) -> Vec<PathBuf> {
    cluster
        .nodes()
        .iter()
        .map(|node| cluster.agent_socket(node.name()))
        .collect()
}

/// What the agents, asked one by one, have seen on `port`, once they have seen all that was sent
/// before this call.
///
/// The kernel hands events over in order. So one more datagram is sent the same ways, to
/// `port + 1`; when it has been seen everywhere, so has everything before it.
pub(crate) fn all_seen(cluster: &Cluster, port: u16) -> Result<Seen> {
    let marker = port + 1;
    let pods: Vec<_> = cluster.pods().collect();
    let mut expected = 0;
    for (from, client) in pods.iter().enumerate() {
        for server in &pods[from + 1..] {
            exchange::udp(client, server, Family::V4, marker, 1)?;
            // There and back, at two trace points within a node and at six between nodes.
            expected += if client.node() == server.node() {
                4
            } else {
                12
            };
        }
    }
    wait::until("flows of the last datagrams", FLOW_TIMEOUT, || {
        let seen = seen_on(cluster, marker)?;
        Ok((seen.len() >= expected).then_some(()))
    })?;
    seen_on(cluster, port)
}

fn seen_on(cluster: &Cluster, port: u16) -> Result<Seen> {
    let port = port.to_string();
    let mut seen = Seen::default();
    for socket in agent_sockets(cluster) {
        seen.extend(palomar::observe(
            &socket,
            &["--last", ALL, "--port", &port],
        )?)?;
    }
    Ok(seen)
}
