//! Where the API server is, and who we are to it.

use std::{
    env,
    error::Error as _,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};
use tracing::info;

use super::watch::Patience;

/// Where a pod finds the token of its service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Where the kubelet tells pods the API server's address.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that is gone without a word is noticed after so long: 15 s of silence, then three
/// questions without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

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
    #[error("cannot use {origin}: {message}")]
    Kubeconfig {
        /// The file, or in words where it was looked for.
        origin: String,
        /// What is wrong, and what to do.
        message: String,
    },
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
    let server = config.cluster_url.to_string();
    let server = server.trim_end_matches('/').to_owned();
    match build(&config) {
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
    let origin = match &settings.kubeconfig {
        Some(path) => format!("kubeconfig {}", path.display()),
        None => "the usual kubeconfig".to_owned(),
    };
    let read = match &settings.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let unusable = |error: &KubeconfigError| {
        let mut message = error.to_string();
        let denied = error
            .source()
            .and_then(|it| it.downcast_ref::<io::Error>())
            .is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied);
        if denied {
            // Root without capabilities is a user like others.
            message.push_str(
                "; the agent lets go of the privilege to read other users' files: give it a file \
                 of its own user",
            );
        }
        AccessError::Kubeconfig {
            origin: origin.clone(),
            message,
        }
    };
    let read = match read {
        Ok(read) => read,
        Err(KubeconfigError::FindPath) if settings.kubeconfig.is_none() => {
            return Err(AccessError::Nowhere);
        }
        Err(error) => {
            let is_missing = error
                .source()
                .and_then(|it| it.downcast_ref::<io::Error>())
                .is_some_and(|it| it.kind() == io::ErrorKind::NotFound);
            if is_missing && settings.kubeconfig.is_none() {
                return Err(AccessError::Nowhere);
            }
            return Err(unusable(&error));
        }
    };
    let options = KubeConfigOptions {
        context: settings.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(read, &options)
        .await
        .map_err(|error| unusable(&error))
}

/// A client on HTTP of our own making: the library's has no keep-alive, so that a watch on a dead
/// machine would stand for minutes, and it logs each failed attempt.
fn build(config: &Config) -> Result<Client, kube::Error> {
    if let Some(proxy_url) = &config.proxy_url {
        return Err(kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(proxy_url.clone()),
        });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    let tls = config.rustls_https_connector_with_connector(tcp)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(tls);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(
        service.boxed(),
        config.default_namespace.clone(),
    ))
}
