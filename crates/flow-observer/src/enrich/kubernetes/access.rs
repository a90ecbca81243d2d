//! Where the API server is, and who we are to it.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use kube::{Client, Config};
use kube_access::KubeconfigError;
use tracing::info;

use super::watch::Patience;

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where the kubelet tells pods the API server's address.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Whether to ask a Kubernetes API server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Where this runs in a pod with a service account, or a kubeconfig was given.
    #[default]
    Auto,
    /// Always: without access, the agent does not start.
    On,
    /// Never.
    Off,
}

/// How to find the API server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Whether to.
    pub mode: Mode,
    /// A kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// Its context to use; the current one for `None`.
    pub context: Option<String>,
    /// How long to wait for what.
    pub patience: Patience,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// Not in a pod, and no file either.
    #[error(
        "no Kubernetes API server to ask: this is no pod with a service account, and there is no \
         kubeconfig in $KUBECONFIG or ~/.kube/config; name one with --kubeconfig, or do without \
         with --kubernetes off"
    )]
    Nowhere,
    /// The file cannot be read, or names no such context.
    #[error(transparent)]
    Kubeconfig(KubeconfigError),
    /// The agent may not read the file: root without capabilities is a user like others.
    #[error(
        "{0}; the agent lets go of the privilege to read other users' files: give it a file of its own \
         user"
    )]
    Unreadable(KubeconfigError),
    /// A pod whose service account is not all there.
    #[error("cannot use the pod's service account")]
    ServiceAccount(#[source] kube::config::InClusterError),
    /// Certificates that do not add up, or a proxy, which this does not speak.
    #[error("cannot make a client for {server}")]
    Client {
        /// The API server.
        server: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
    /// The system has no thread left.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// A client, and the server's address; `None` if nobody is to be asked.
///
/// Nothing is sent yet.
pub(super) async fn client(settings: &Settings) -> Result<Option<(Client, String)>, AccessError> {
    let Some(config) = config(settings).await? else {
        return Ok(None);
    };
    let server = kube_access::server(&config);
    let made = match &config.proxy_url {
        // Clients through proxies keep no connection alive: a watch on a dead machine would stand.
        Some(proxy_url) => Err(kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(proxy_url.clone()),
        }),
        None => kube_access::client(config),
    };
    match made {
        Ok(client) => Ok(Some((client, server))),
        Err(source) => Err(AccessError::Client {
            server,
            source: Box::new(source),
        }),
    }
}

async fn config(settings: &Settings) -> Result<Option<Config>, AccessError> {
    if settings.mode == Mode::Off {
        return Ok(None);
    }
    if settings.kubeconfig.is_some() || settings.context.is_some() {
        return kubeconfig(settings).await.map(Some);
    }
    let is_pod = env::var_os(SERVICE_HOST).is_some();
    if is_pod && Path::new(TOKEN).exists() {
        return Config::incluster()
            .map(Some)
            .map_err(AccessError::ServiceAccount);
    }
    match settings.mode {
        Mode::On => kubeconfig(settings).await.map(Some),
        _ => {
            if is_pod {
                info!("this pod has no service account: nobody is asked for names of pods");
            }
            Ok(None)
        }
    }
}

async fn kubeconfig(settings: &Settings) -> Result<Config, AccessError> {
    let (file, context) = (settings.kubeconfig.as_deref(), settings.context.as_deref());
    kube_access::config(file, context)
        .await
        .map_err(|error| match error {
            KubeconfigError::Absent => AccessError::Nowhere,
            error @ KubeconfigError::Denied { .. } => AccessError::Unreadable(error),
            error => AccessError::Kubeconfig(error),
        })
}
