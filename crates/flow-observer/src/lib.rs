//! One node's observer: what the kernel saw, as flows that anyone may read.
//!
//! ```text
//! source ──▶ decode ──▶ enrich ──▶ ring ──▶ serve
//!  raw        headers    who it     newest   GetFlows, each reader at its own pace
//!  events     of the     is, at     flows
//!             packet     that time
//! ```
//!
//! [`agent::run`] puts it together. One thread takes events from the source through to the ring;
//! readers share the ring's batches and never hold the writer up.

pub mod agent;
mod agent_events;
pub mod assemble;
mod bounded;
pub mod cgroup;
pub mod counters;
pub mod decode;
mod encode;
pub mod enrich;
pub mod exchange;
pub mod export;
pub mod layer7;
mod loss_log;
pub mod metrics;
mod namespaces;
pub mod offline;
mod outline;
pub mod pipeline;
pub mod process;
mod recent;
pub mod record;
pub mod ring;
mod rules;
mod running;
mod serve;
pub mod source;
mod tcp_troubles;
pub mod translation;
mod uuid;
mod view;
mod yaml;

pub use namespaces::SeenNamespaces;
#[doc(hidden)]
pub use serve::serve_ring;
pub use tcp_troubles::TcpTroubles;
