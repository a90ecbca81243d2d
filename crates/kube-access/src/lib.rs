//! The way to a Kubernetes API server, for all that ask one.
//!
//! In: a kubeconfig and a context, where they are named. Out: who we are and where the server is, or
//! what is wrong with the file; and a [`client`] that notices when the server is gone. Nothing is sent
//! yet.

mod client;
mod kubeconfig;

pub use client::{client, server};
pub use kubeconfig::{KubeconfigError, config};
