//! One way to reach a peer or a peer service: a [`Dialer`] in, a socket or a gRPC channel out.
//!
//! Names are resolved and certificates are taken anew with each connection, so that a peer whose
//! address or certificate changes is reached by the next attempt.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use flow_api::connect::Target;
use flow_api::server::TlsClient;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use crate::defaults::{
    CONNECT_TIMEOUT, CONNECTION_WINDOW_BYTES, KEEPALIVE_AFTER, KEEPALIVE_EVERY, KEEPALIVE_TIMES,
    STREAM_WINDOW_BYTES,
};
use crate::gather::Gather;

/// How to reach one server.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    target: Target,
    /// For [`Target::Tls`]: how to encrypt, and the name that the server's certificate must carry.
    tls: Option<(Arc<TlsClient>, String)>,
}

impl Dialer {
    /// A dialer for this target. Without `tls`, one of [`Target::Tls`] is never reached.
    pub(crate) fn new(target: Target, tls: Option<(Arc<TlsClient>, String)>) -> Self {
        Self { target, tls }
    }

    /// Connects, TLS included.
    ///
    /// # Errors
    /// Says what is wrong, in words fit for a log and for clients: no further causes are in it.
    pub(crate) async fn dial(&self) -> io::Result<Socket> {
        match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {CONNECT_TIMEOUT:?}"),
            )),
        }
    }

    async fn connect(&self) -> io::Result<Socket> {
        match &self.target {
            Target::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
            Target::Tcp { host, port } => tcp(host, *port).await.map(Socket::Tcp),
            Target::Tls { host, port } => {
                let Some((tls, server_name)) = &self.tls else {
                    return Err(io::Error::other("no certificates to connect with"));
                };
                let settings = tls.current().map_err(io::Error::other)?;
                let name = ServerName::try_from(server_name.clone()).map_err(|_| {
                    io::Error::other(format!("{server_name:?} is no name of a server"))
                })?;
                let socket = tcp(host, *port).await?;
                match TlsConnector::from(settings).connect(name, socket).await {
                    Ok(stream) => Ok(Socket::Tls(Box::new(stream))),
                    Err(error) => Err(io::Error::new(
                        error.kind(),
                        format!("no TLS with {server_name}: {error}"),
                    )),
                }
            }
        }
    }

    /// A channel that connects when it is used, and again when the connection has broken.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        let (authority, scheme) = match &self.target {
            // What a Unix socket's server sees as its name; gRPC has always said this.
            Target::Unix(_) => ("localhost".to_owned(), "http"),
            Target::Tcp { .. } => (self.target.to_string(), "http"),
            Target::Tls { .. } => {
                let text = self.target.to_string();
                (text.trim_start_matches("tls://").to_owned(), "https")
            }
        };
        let origin = format!("{scheme}://{authority}")
            .parse()
            .unwrap_or_default();
        // TLS is the dialer's, so that tonic sees none.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
            .origin(origin)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let dialer = self.clone();
        Ok(
            endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
                let dialer = dialer.clone();
                async move {
                    let socket = dialer.dial().await?;
                    Ok::<_, io::Error>(TokioIo::new(Gather::new(socket)))
                }
            })),
        )
    }
}

/// Connects to the first address of a host that answers.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    // Questions of the kernel's, and not pings of HTTP/2: Go servers end connections that ping more
    // than once in five minutes.
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(KEEPALIVE_TIMES);
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive)?;
    // The same for what was sent and is not acknowledged.
    socket.set_tcp_user_timeout(Some(KEEPALIVE_AFTER + KEEPALIVE_EVERY * KEEPALIVE_TIMES))?;
    Ok(stream)
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// Boxed: it is several hundred bytes larger than the others.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use flow_api::server::{
        Limits, Listener, Server, TlsClientFiles, TlsFiles, TlsServer, TlsVersion,
    };
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair,
    };
    use tempfile::TempDir;
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;

    use super::*;

    const NAME: &str = "node-1.default.hubble-grpc.cilium.io";

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn write(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str, folder: &Path) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        std::fs::write(folder.join("ca.crt"), issuer.pem()).unwrap();
    }

    /// Why somebody with these certificates does not reach a server under this name; `None` where
    /// it does.
    async fn problem(server: &Path, client: &Path, name: &str) -> Option<String> {
        let tls = TlsServer {
            files: TlsFiles::Folder(server.to_owned()),
            oldest: TlsVersion::Tls13,
            wait: Duration::from_secs(10),
        };
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), Some(tls)).unwrap();
        let address = listener.address().unwrap();
        let closing = CancellationToken::new();
        let server = Server::new(Limits::default(), Arc::default());
        let routes = Routes::default().prepare();
        let serving = tokio::spawn(server.serve(vec![listener], routes, closing.clone()));
        let target = Target::Tls {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let files = TlsClientFiles::Folder(client.to_owned());
        let tls = Arc::new(TlsClient::read(files, TlsVersion::Tls13).unwrap());
        let dialer = Dialer::new(target, Some((tls, name.to_owned())));
        let problem = loop {
            match dialer.dial().await {
                Ok(_) => break None,
                // The port opens when the server has read its certificates.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    tokio::task::yield_now().await;
                }
                Err(error) => break Some(error.to_string()),
            }
        };
        closing.cancel();
        serving.await.unwrap().unwrap();
        problem
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_certificate_is_told() {
        let dir = TempDir::new().unwrap();
        let folder = |name: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            folder
        };
        let (ours, other) = (authority("ours"), authority("other"));
        let (server, client) = (folder("server"), folder("client"));
        write(&ours, "*.default.hubble-grpc.cilium.io", &server);
        write(&ours, "*.hubble-relay.cilium.io", &client);
        assert_eq!(problem(&server, &client, NAME).await, None);

        let misnamed = "node-1.east.hubble-grpc.cilium.io";
        let error = problem(&server, &client, misnamed).await.unwrap();
        let expected = format!("no TLS with {misnamed}: invalid peer certificate: ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.contains("not valid for name"), "{error}");

        let stranger = folder("stranger");
        write(&other, "*.hubble-relay.cilium.io", &stranger);
        let error = problem(&server, &stranger, NAME).await.unwrap();
        assert!(error.contains("UnknownIssuer"), "{error}");

        let error = problem(&server, &folder("empty"), NAME).await.unwrap();
        assert!(error.contains("ca.crt does not exist"), "{error}");

        let error = problem(&server, &client, "not a name").await.unwrap();
        assert_eq!(error, "\"not a name\" is no name of a server");
    }
}
