//! Clusters of network namespaces on this machine, with real traffic: nodes that route, pods
//! behind veth pairs, agents and a relay. The demo, the end-to-end tests and benchmarks use it.
//!
//! In goes a [`Spec`]; out comes a [`Cluster`], whose pods run closures, child processes and
//! [workloads](workload), or make the [exchanges](exchange) whose packets a test can count. All of
//! it happens inside namespaces that carry the owner's process id: the host's own network is not
//! touched, clusters do not meet, and whatever a crash leaves is swept up by the next start.

mod address;
mod agents;
pub mod api_server;
pub mod bind;
mod cluster;
pub mod exchange;
mod faults;
mod inventory;
mod netns;
mod network;
mod node;
#[cfg(feature = "observer")]
pub mod observer;
mod process;
pub mod requirements;
#[cfg(feature = "rules")]
pub mod rules;
mod service;
mod spawn;
mod spec;
mod sweep;
mod tools;
pub mod tshark;
pub mod wait;
pub mod workload;

pub use cluster::Cluster;
pub use netns::Namespace;
pub use node::{Node, Outside, Place, Pod};
pub use service::Service;
pub use spawn::Spawner;
pub use spec::{NodeSpec, PodSpec, ServiceSpec, Spec};
pub use sweep::{remove_on_signals, sweep};
