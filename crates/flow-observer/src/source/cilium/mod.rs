//! Events of a Cilium agent on this node.
//!
//! [`MonitorSocket`] asks the agent for its events, beside anybody else who does; this is how to
//! read a node where Cilium is at work. With the feature `probes`, [`EventMap`](map::EventMap) reads
//! the datapath's own map, which has room for one reader only.

#[cfg(feature = "probes")]
pub mod map;
mod monitor;
mod named;

pub use monitor::MonitorSocket;
pub(crate) use named::Named;
