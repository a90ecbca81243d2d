//! TLS of a server: who it is, and whom it lets in; and the same of a client ([`client`]).
//!
//! In: [`TlsServer`], as an operator configures it. Out: the settings for the next connection, which
//! follow the files ([`reload`]). A connection keeps those that it began with.

mod client;
mod files;
mod reload;
mod validity;

pub use client::{TlsClient, TlsClientFiles};
pub use files::{TlsError, TlsFiles};
pub(super) use reload::Certificates;

use std::{sync::Arc, time::Duration};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use files::Loaded;

/// What is spoken within TLS, which both sides agree on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Protocol {
    /// Of pages.
    Http1,
    /// Of gRPC.
    Http2,
}

impl Protocol {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// How to encrypt.
#[derive(Clone, Debug)]
pub struct TlsServer {
    /// Where certificates lie.
    pub files: TlsFiles,
    /// The oldest version of TLS to speak.
    pub oldest: TlsVersion,
    /// How long the files may be missing at the start; whoever issues them may not have come yet.
    pub wait: Duration,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersion {
    /// TLS 1.2, with the cipher suites that are still good.
    Tls12,
    /// TLS 1.3.
    #[default]
    Tls13,
}

impl TlsVersion {
    fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];
        match self {
            Self::Tls12 => &FROM_12,
            Self::Tls13 => &FROM_13,
        }
    }
}

/// Makes settings of what was read.
fn settings(
    loaded: Loaded,
    oldest: TlsVersion,
    protocol: Protocol,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(oldest.and_newer())
        .map_err(|error| TlsError::unusable(&loaded.cert_file, error))?;
    let builder = if loaded.client_cas.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for (file, authority) in &loaded.client_cas {
            roots
                .add(authority.clone())
                .map_err(|error| TlsError::unusable(file, error))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TlsError::unusable(&loaded.cert_file, error))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder
        .with_single_cert(loaded.chain, loaded.key)
        .map_err(|error| TlsError::unusable(&loaded.cert_file, error))?;
    config.alpn_protocols = vec![protocol.name().to_vec()];
    // Each connection is verified by what holds now. They live long, so that it costs little.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
