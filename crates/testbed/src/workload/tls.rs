//! An HTTPS server with a certificate of its own making, and the one request that its clients send.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
};

use super::{Workload, http};
use crate::Place;

/// A server's certificate and key, and what its clients trust.
#[derive(Debug)]
pub struct Certificate {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Certificate {
    /// A certificate for `name` that vouches for itself.
    ///
    /// # Errors
    /// When `name` is no host name.
    pub fn for_name(name: &str) -> Result<Self> {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()])?;
        let certificate: CertificateDer<'static> = cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())?;
        let mut trusted = RootCertStore::empty();
        trusted.add(certificate)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// For [`Call`](super::Call): calls by HTTPS and trusts this certificate alone.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }
}

/// Serves HTTPS on `port` of every address of `place`, one request per connection.
///
/// # Errors
/// When the port is taken.
pub fn serve_https(place: &impl Place, port: u16, certificate: &Certificate) -> Result<Workload> {
    let listener = place.run(|| Ok(TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?))?;
    let config = Arc::clone(&certificate.server);
    Workload::start(place, "https server", move |state| {
        while state.readable(&listener) {
            let served = listener
                .accept()
                .map_err(Into::into)
                .and_then(|(stream, _)| answer(stream, &config));
            state.count("serve", served);
        }
    })
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> Result<()> {
    http::limit(&stream)?;
    let connection = ServerConnection::new(Arc::clone(config))?;
    let mut stream = StreamOwned::new(connection, stream);
    let response = {
        let path = http::read_request(&mut stream)?;
        http::page(&path)
    };
    stream.write_all(response.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}

/// Asks `server` for `path` by GET over TLS and reads the whole response.
pub(super) fn get(
    server: SocketAddr,
    host: &str,
    path: &str,
    config: &Arc<ClientConfig>,
) -> Result<()> {
    let stream = TcpStream::connect_timeout(&server, http::TIMEOUT)?;
    http::limit(&stream)?;
    let name = ServerName::try_from(host.to_owned())?;
    let connection = ClientConnection::new(Arc::clone(config), name)?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.write_all(http::request(host, path).as_bytes())?;
    let mut response = String::new();
    stream
        .take(http::MESSAGE_LIMIT_BYTES)
        .read_to_string(&mut response)
        .context("no response")?;
    ensure!(
        response.starts_with("HTTP/1.1 200 "),
        "unexpected response from {server}"
    );
    Ok(())
}
