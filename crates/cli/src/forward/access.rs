//! Where the API server is, and who we are to it: by a kubeconfig, or as the pod that this is.

use std::{error::Error as _, io, time::Duration};

use flow_api::cause::root_cause;
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

use super::{Wanted, error::ForwardError};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that is gone without a word is noticed after so long: 15 s of silence, then three
/// questions without an answer. That keeps connections alive in what is in between, too.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// An API server.
pub(super) struct Access {
    pub(super) client: Client,
    /// Its address.
    pub(super) server: String,
}

impl Access {
    /// Reads who and where. Programs that a kubeconfig names for getting tokens run here; nothing is
    /// asked of the API server yet.
    pub(super) async fn new(wanted: &Wanted) -> Result<Self, ForwardError> {
        let config = config(wanted).await?;
        let server = config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        match client(config) {
            Ok(client) => Ok(Self { client, server }),
            Err(error) => Err(match error {
                kube::Error::Auth(error) => ForwardError::Unauthorized {
                    server,
                    cause: root_cause(&error),
                },
                error => ForwardError::Unreachable {
                    server,
                    cause: root_cause(&error),
                },
            }),
        }
    }
}

async fn config(wanted: &Wanted) -> Result<Config, ForwardError> {
    let file = match &wanted.kubeconfig {
        Some(path) => format!("kubeconfig {}", path.display()),
        None => "the usual kubeconfig".to_owned(),
    };
    let read = match &wanted.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let unusable = |error: &KubeconfigError| ForwardError::Kubeconfig {
        file: file.clone(),
        reason: words(error),
    };
    let read = match read {
        Ok(read) => read,
        Err(error) if wanted.kubeconfig.is_none() && is_absent(&error) => {
            if wanted.context.is_some() {
                return Err(ForwardError::NoKubeconfig);
            }
            return Config::incluster().map_err(|_| ForwardError::NoKubeconfig);
        }
        Err(error) => return Err(unusable(&error)),
    };
    let known: Vec<_> = read.contexts.iter().map(|it| it.name.clone()).collect();
    let context = wanted.context.clone().or_else(|| {
        let current = read.current_context.clone();
        current.filter(|name| !name.is_empty())
    });
    let Some(context) = context else {
        let reason = "it has no current context: choose one with --kube-context".to_owned();
        return Err(ForwardError::Kubeconfig { file, reason });
    };
    if !known.contains(&context) {
        return Err(ForwardError::NoContext {
            context,
            file,
            known,
        });
    }
    let options = KubeConfigOptions {
        context: Some(context),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(read, &options)
        .await
        .map_err(|error| unusable(&error))
}

fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The cause, without the file: that is told before.
fn words(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => crate::source::reason(error),
        error => match error.source() {
            Some(source) => {
                // The first line has it all; the others draw the place.
                let cause = root_cause(source);
                let head = error.to_string();
                let head = head.split(':').next().unwrap_or_default();
                format!("{head}: {}", cause.lines().next().unwrap_or_default())
            }
            None => error.to_string(),
        },
    }
}

/// A client on HTTP of our own making where no proxy is in between: the library's keeps no connection
/// alive, so that a stream through a dead machine would stand for ever.
fn client(config: Config) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.build());
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
    Ok(Client::new(service.boxed(), config.default_namespace))
}
