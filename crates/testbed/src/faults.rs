//! What happens to networks: links that are cut, and links that are slow.

use anyhow::{Context as _, Result};

use crate::{Cluster, Node, tools};

/// The largest packet that a slow link takes at once: one of Ethernet.
const BURST_BYTES: u32 = 1600;
/// What waits at a slow link before packets are lost, as in a router with little memory.
const QUEUE_BYTES: u32 = 16_000;

impl Cluster {
    /// Cuts the node's link to all others, at the switch. The node itself sees that it has no carrier.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cut_off(&self, node: &Node) -> Result<()> {
        self.set_port(node, "down")
    }

    /// Undoes [`Cluster::cut_off`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reconnect(&self, node: &Node) -> Result<()> {
        self.set_port(node, "up")
    }

    fn set_port(&self, node: &Node, state: &str) -> Result<()> {
        let batch = format!("link set port{} {state}\n", node.number());
        tools::ip(Some(&self.fabric), &batch)
            .with_context(|| format!("cannot set the link of {} {state}", node.name()))
    }

    /// Lets the node send no more than so many bytes in a second.
    ///
    /// # Errors
    /// When the kernel has no token bucket filter.
    pub fn slow_down(&self, node: &Node, bytes_per_second: u32) -> Result<()> {
        let bits = u64::from(bytes_per_second) * 8;
        let batch = format!(
            "qdisc add dev eth0 root tbf rate {bits} burst {BURST_BYTES} limit {QUEUE_BYTES}\n"
        );
        tools::tc(node.namespace(), &batch)
            .with_context(|| format!("cannot slow down the link of {}", node.name()))
    }

    /// Undoes [`Cluster::slow_down`].
    ///
    /// # Errors
    /// When the link is not slow.
    pub fn speed_up(&self, node: &Node) -> Result<()> {
        tools::tc(node.namespace(), "qdisc del dev eth0 root\n")
            .with_context(|| format!("cannot speed up the link of {}", node.name()))
    }
}
