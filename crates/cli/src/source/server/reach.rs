//! The way to a server: the one that was named, the first of the usual ones that answers, or a relay
//! inside a cluster.

use std::{
    io,
    path::{Path, PathBuf},
};

use flow_api::connect::{
    self, ClientIdentity, ConnectError, ConnectOptions, Target, TargetError, TlsOptions,
};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use tonic::{Code, service::interceptor::InterceptedService, transport::Channel};
use tracing::{debug, warn};

use super::{Credentials, RpcError, Server};
use crate::forward::{Forward, ForwardError};
use crate::program;
use crate::settings::{self, Settings};
use crate::source::reason;

/// The port that stands for a pod's in the name of a relay; what is asked is a stream.
const RELAY_PORT: u16 = connect::DEFAULT_PORT;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
enum Unreached {
    #[error(transparent)]
    Address(#[from] TargetError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Server {
    /// Connects to the server that the settings mean.
    ///
    /// # Errors
    /// Settings that contradict each other, or nobody there.
    pub(crate) async fn connect(settings: &Settings) -> anyhow::Result<Self> {
        let options = settings.connect_options();
        if let Some(tls) = &options.tls {
            check_files(tls)?;
        }
        let credentials = Credentials::new(settings)?;
        if let Some(wanted) = settings.forward() {
            if credentials.are_given() && options.tls.is_none() {
                return Err(password_needs_tls("the relay"));
            }
            let forward = Forward::find(&wanted).await.map_err(not_forwarded)?;
            return Self::through(forward, settings, credentials).await;
        }
        let servers = settings.servers();
        let mut failures = Vec::new();
        for (index, address) in servers.iter().enumerate() {
            let name = address.strip_prefix("tls://").unwrap_or(address);
            let reached = match settings::target(address) {
                Ok(target) => {
                    if credentials.are_given() && !is_encrypted(&target, &options) {
                        return Err(password_needs_tls(name));
                    }
                    let channel = connect::connect(&target, &options).await;
                    channel.map_err(Unreached::from)
                }
                // A slip of the keyboard, and no address at all.
                Err(error) if address.contains(|c: char| c.is_ascii_control()) => {
                    anyhow::bail!("failed to create gRPC client to '{address}': {error}");
                }
                Err(error) => Err(error.into()),
            };
            match reached {
                Ok(channel) => {
                    debug!(server = name, "connected to Hubble API");
                    return Ok(Self::new(name.to_owned(), channel, credentials, settings));
                }
                Err(error) => {
                    if index + 1 < servers.len() {
                        warn!(%error, "an agent's socket is there, and cannot be used");
                    }
                    failures.push(error);
                }
            }
        }
        let message = if settings.names_server() {
            match failures.pop() {
                Some(error @ Unreached::Connect(_)) => format!("{error}; {}", next()),
                Some(error) => error.to_string(),
                None => next(),
            }
        } else {
            of_usual(&failures)
        };
        Err(unavailable(message).into())
    }

    /// The same for calls with one answer: the time that they may take includes the connection, but
    /// not the way through an API server, which may ask the user for a password.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and being late.
    pub(crate) async fn connect_in_time(settings: &Settings) -> anyhow::Result<Self> {
        let limit = settings.request_timeout();
        let connecting = Self::connect(settings);
        if limit.is_zero() || settings.forward().is_some() {
            return connecting.await;
        }
        tokio::time::timeout(limit, connecting)
            .await
            .unwrap_or_else(|_elapsed| Err(RpcError::late().into()))
    }

    /// Connects to the server again; of one inside a cluster to another of its pods, where there is
    /// one.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub(crate) async fn again(&self, settings: &Settings) -> anyhow::Result<Self> {
        match &self.forward {
            Some(forward) => {
                let credentials = Credentials::new(settings)?;
                Self::through(forward.clone(), settings, credentials).await
            }
            None => Self::connect(settings).await,
        }
    }

    /// Whether it is one inside a cluster.
    pub(crate) const fn is_forwarded(&self) -> bool {
        self.forward.is_some()
    }

    async fn through(
        forward: Forward,
        settings: &Settings,
        credentials: Credentials,
    ) -> anyhow::Result<Self> {
        let mut options = settings.connect_options();
        if let Some(tls) = &mut options.tls {
            tls.server_name
                .get_or_insert_with(|| forward.certificate_name());
        }
        let target = Target::Tcp {
            host: forward.host(),
            port: RELAY_PORT,
        };
        let opener = forward.clone();
        let open = move || {
            let forward = opener.clone();
            async move { forward.open().await.map_err(io::Error::other) }
        };
        match connect::connect_through(&target, &options, open).await {
            Ok(channel) => {
                let name = forward.pod();
                debug!(server = name, "connected to Hubble API");
                let server = Self::new(name, channel, credentials, settings);
                Ok(Self {
                    forward: Some(forward),
                    ..server
                })
            }
            Err(error) => Err(match forward.failure() {
                Some(failure) => not_forwarded(failure),
                None => unavailable(format!("{error} (pod {})", forward.pod())).into(),
            }),
        }
    }

    fn new(name: String, channel: Channel, credentials: Credentials, settings: &Settings) -> Self {
        Self {
            caller: InterceptedService::new(channel, credentials),
            request_timeout_ns: settings.request_timeout_ns(),
            name,
            forward: None,
        }
    }
}

/// What to do where nobody answers.
fn next() -> String {
    format!(
        "is an agent or relay running? start one with '{} agent' or name it with --server",
        program::name()
    )
}

fn not_forwarded(error: ForwardError) -> anyhow::Error {
    anyhow::Error::new(error).context("failed to port forward")
}

fn unavailable(message: String) -> RpcError {
    RpcError {
        code: Code::Unavailable,
        message,
    }
}

fn password_needs_tls(server: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "failed to create gRPC client to '{server}': a password is sent to servers with TLS only: \
         add --tls or write tls:// before the address"
    )
}

/// What was tried where nobody was named, and what is not there to try.
fn of_usual(failures: &[Unreached]) -> String {
    let mut tried: Vec<_> = failures.iter().map(Unreached::to_string).collect();
    let absent: Vec<_> = settings::SOCKETS
        .into_iter()
        .filter(|socket| !Path::new(socket).exists())
        .collect();
    if !absent.is_empty() {
        tried.push(format!("there is no {}", absent.join(" and no ")));
    }
    format!(
        "{}; start an agent with '{} agent', name a server with --server, or reach the relay of a \
         cluster with -P",
        tried.join("; "),
        program::name()
    )
}

const fn is_encrypted(target: &Target, options: &ConnectOptions) -> bool {
    match target {
        Target::Tls { .. } => true,
        Target::Tcp { .. } | Target::Unix(_) => options.tls.is_some(),
    }
}

/// Looks into TLS files before anybody is asked, so that a wrong file is told apart from a server that
/// does not answer.
///
/// # Errors
/// A file that is not there, holds something else, or does not belong to the other.
pub(crate) fn check_files(tls: &TlsOptions) -> anyhow::Result<()> {
    for file in &tls.ca_files {
        let path = file.display();
        let pem = std::fs::read_to_string(file)
            .map_err(|error| anyhow::anyhow!("cannot load cert '{path}': {}", reason(&error)))?;
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            anyhow::bail!("cannot process cert '{path}': must be a PEM encoded certificate");
        }
    }
    tls.client.as_ref().map_or(Ok(()), check_identity)
}

fn check_identity(client: &ClientIdentity) -> anyhow::Result<()> {
    let read = |file: &PathBuf| {
        std::fs::read(file)
            .map_err(|error| anyhow::anyhow!("open {}: {}", file.display(), reason(&error)))
    };
    let (cert_file, key_file) = (client.cert_file.display(), client.key_file.display());
    let (cert, key) = (read(&client.cert_file)?, read(&client.key_file)?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&cert)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        anyhow::bail!("tls: {cert_file} holds no certificate in PEM form");
    }
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| anyhow::anyhow!("tls: {key_file} holds no private key in PEM form"))?;
    match CertifiedKey::from_der(chain, key, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => anyhow::bail!(
            "tls: the private key in {key_file} does not belong to the certificate in {cert_file}"
        ),
        Err(error) => anyhow::bail!("tls: cannot use {cert_file} with {key_file}: {error}"),
    }
}
