//! Where the API server is, and who we are to it.

use std::path::Path;

use flow_api::cause::root_cause;
use kube::{Client, Config};
use kube_access::KubeconfigError;

/// Why the API server cannot be asked for peers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SlicesError {
    /// This is no pod, and a kubeconfig says nothing.
    #[error("cannot ask a Kubernetes API server for peers: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// A pod whose service account is not all there.
    #[error("cannot ask a Kubernetes API server for peers: the pod's service account: {reason}")]
    ServiceAccount {
        /// What is wrong.
        reason: String,
    },
    /// Certificates that do not add up.
    #[error("cannot make a client for {server}: {reason}")]
    Client {
        /// The API server.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

/// By a kubeconfig, as the pod that this is, or by the usual file; in this order. Nothing is sent yet.
pub(super) async fn client(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, SlicesError> {
    let is_named = kubeconfig.is_some() || context.is_some();
    let config = if !is_named && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        Config::incluster().map_err(|error| SlicesError::ServiceAccount {
            reason: root_cause(&error),
        })?
    } else {
        kube_access::config(kubeconfig, context).await?
    };
    let server = kube_access::server(&config);
    kube_access::client(config).map_err(|error| SlicesError::Client {
        server,
        reason: root_cause(&error),
    })
}
