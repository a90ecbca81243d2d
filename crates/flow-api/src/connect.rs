//! One way to reach a server: an agent on its Unix socket, an agent or relay over TCP, with or
//! without TLS.
//!
//! In: a [`Target`], as a user or a peer list names it, and [`ConnectOptions`]. Out: a tonic
//! [`Channel`], which reconnects by itself, or a [`ConnectError`] fit to be shown as it is. A caller
//! that has a way of its own to the server brings the streams, to [`connect_through`].

mod anyone;
mod error;
mod target;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

pub use self::{
    anyone::TrustAnyone,
    error::ConnectError,
    target::{DEFAULT_PORT, Target, TargetError},
};

/// How long the first connection may take where nothing else is said.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server may send on one stream before it waits for us: about 350 flows. The protocol's
/// own 64 KiB make a fast server stop for credit too often.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The same for all streams of a connection: the most that one connection may hold unread.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// After this much silence the kernel asks whether the other side still lives. Pings of HTTP/2
/// would do the same, but Go servers end connections that ping more than once in five minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long the first connection may take, TLS included.
    pub connect_timeout: Duration,
    /// TLS for `host:port` targets and Unix sockets, and its details for `tls://` ones. With `None`,
    /// a `tls://` server is verified by the system's certificates.
    pub tls: Option<TlsOptions>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            tls: None,
        }
    }
}

/// Whom to trust and who to be.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// PEM files of certificate authorities; empty means those of the system.
    pub ca_files: Vec<PathBuf>,
    /// Our own certificate, for servers that ask for one.
    pub client: Option<ClientIdentity>,
    /// The name that the server's certificate must carry; `None` means the target's host.
    pub server_name: Option<String>,
    /// Believe every server that it is who it says. Whoever listens on the way hears nothing, but
    /// whoever answers in the server's place is not noticed.
    pub trusts_anyone: bool,
}

/// PEM files that prove who the client is.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate, followed by its intermediates.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// Connects, and comes back when the first connection stands.
///
/// # Errors
/// When the target cannot be reached within [`ConnectOptions::connect_timeout`], or a TLS file is
/// not usable.
pub async fn connect(target: &Target, options: &ConnectOptions) -> Result<Channel, ConnectError> {
    let endpoint = endpoint(target, options)?;
    let connecting = async {
        match target {
            Target::Unix(path) => endpoint.connect_with_connector(unix_connector(path)).await,
            Target::Tcp { .. } | Target::Tls { .. } => endpoint.connect().await,
        }
    };
    in_time(target, options, connecting).await
}

async fn in_time(
    target: &Target,
    options: &ConnectOptions,
    connecting: impl Future<Output = Result<Channel, tonic::transport::Error>>,
) -> Result<Channel, ConnectError> {
    match tokio::time::timeout(options.connect_timeout, connecting).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(ConnectError::unreachable(target, &error)),
        Err(_elapsed) => Err(ConnectError::TimedOut {
            target: target.clone(),
            after: options.connect_timeout,
        }),
    }
}

/// Connects through streams that `open` makes, one for each connection: TLS and gRPC are those of a
/// server that is named as the target.
///
/// # Errors
/// As [`connect`].
pub async fn connect_through<S, O>(
    target: &Target,
    options: &ConnectOptions,
    open: impl Fn() -> O + Send + 'static,
) -> Result<Channel, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
{
    let endpoint = endpoint(target, options)?;
    let connecting = endpoint.connect_with_connector(connector(open));
    in_time(target, options, connecting).await
}

/// A channel that connects when it is first used, and fails those calls that find nobody.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When a TLS file is not usable.
pub fn connect_lazy(target: &Target, options: &ConnectOptions) -> Result<Channel, ConnectError> {
    let endpoint = endpoint(target, options)?;
    Ok(match target {
        Target::Unix(path) => endpoint.connect_with_connector_lazy(unix_connector(path)),
        Target::Tcp { .. } | Target::Tls { .. } => endpoint.connect_lazy(),
    })
}

fn endpoint(target: &Target, options: &ConnectOptions) -> Result<Endpoint, ConnectError> {
    let encrypted = match target {
        Target::Unix(_) | Target::Tcp { .. } => options.tls.is_some(),
        Target::Tls { .. } => true,
    };
    let scheme = if encrypted { "https" } else { "http" };
    // What a Unix socket's server sees as its name; gRPC has always said `localhost` there.
    let authority = target.authority().unwrap_or_else(|| "localhost".to_owned());
    let endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))
        .map_err(|error| ConnectError::unreachable(target, &error))?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(TCP_KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    if !encrypted {
        return Ok(endpoint);
    }
    let default = TlsOptions::default();
    let options = options.tls.as_ref().unwrap_or(&default);
    let tls = tls_config(options)?;
    let endpoint = match options.trusts_anyone {
        true => endpoint.tls_config_with_verifier(tls, Arc::new(TrustAnyone::default())),
        false => endpoint.tls_config(tls),
    };
    endpoint.map_err(|error| ConnectError::unreachable(target, &error))
}

fn tls_config(options: &TlsOptions) -> Result<ClientTlsConfig, ConnectError> {
    let mut config = ClientTlsConfig::new();
    if options.ca_files.is_empty() && !options.trusts_anyone {
        config = config.with_native_roots();
    }
    for file in &options.ca_files {
        let certificates = certificates(file)?;
        if !options.trusts_anyone {
            config = config.ca_certificate(Certificate::from_pem(certificates));
        }
    }
    if let Some(client) = &options.client {
        let cert = certificates(&client.cert_file)?;
        config = config.identity(Identity::from_pem(cert, private_key(&client.key_file)?));
    }
    if let Some(name) = &options.server_name {
        config = config.domain_name(name);
    }
    Ok(config)
}

/// The text of a file that holds at least one certificate, and no broken one: tonic would go on
/// without it, and the connection would fail for a reason that names no file.
fn certificates(file: &Path) -> Result<Vec<u8>, ConnectError> {
    let pem = read(file)?;
    let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
    if found.peek().is_some() && found.all(|certificate| certificate.is_ok()) {
        return Ok(pem);
    }
    Err(ConnectError::InvalidFile {
        file: file.to_owned(),
        expected: "certificate",
    })
}

/// The text of a file that holds a private key.
fn private_key(file: &Path) -> Result<Vec<u8>, ConnectError> {
    let pem = read(file)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(_) => Err(ConnectError::InvalidFile {
            file: file.to_owned(),
            expected: "private key",
        }),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ConnectError> {
    fs::read(file).map_err(|cause| ConnectError::UnreadableFile {
        file: file.to_owned(),
        cause,
    })
}

fn unix_connector(
    path: &Path,
) -> impl tower::Service<http::Uri, Response = TokioIo<UnixStream>, Error = io::Error, Future: Send>
+ Send
+ 'static {
    let path = path.to_owned();
    connector(move || UnixStream::connect(path.clone()))
}

/// Makes one connection per call; the address in the request is only the stand-in from above.
fn connector<S, O>(
    open: impl Fn() -> O + Send + 'static,
) -> impl tower::Service<http::Uri, Response = TokioIo<S>, Error = io::Error, Future: Send>
+ Send
+ 'static
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    O: Future<Output = io::Result<S>> + Send + 'static,
{
    tower::service_fn(move |_: http::Uri| {
        let opening = open();
        async move { opening.await.map(TokioIo::new) }
    })
}
