//! A TLS handshake of which each part can be told: what the server showed, what it asked for, and
//! what was wrong.

mod certificate;
mod trust;
mod words;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use flow_api::connect::TlsOptions;
use rustls::{
    ClientConfig, ProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::{certificate::Shown, trust::Witness};
use super::{
    clock, port,
    report::{Failure, Step},
    speaks::{self, Answer},
};

/// A certificate that is valid for fewer days than these is due.
const RENEWAL_DAYS: i64 = 14;

/// How long a second question about the same server may take, after the first has failed.
const SECOND_OPINION: Duration = Duration::from_secs(1);

/// What to do without a certificate of our own.
const GIVE_CERTIFICATE: &str = "add --tls-client-cert-file and --tls-client-key-file";

/// What a handshake brought to light.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Facts {
    version: &'static str,
    /// The day on which the server's certificate ends.
    certificate_until: String,
    days_left: i64,
}

impl Facts {
    pub(super) fn words(&self) -> String {
        format!(
            "{}, certificate until {}",
            self.version, self.certificate_until
        )
    }

    /// A certificate that is about to end.
    pub(super) fn warning(&self) -> Option<String> {
        let days = self.days_left;
        let unit = if days == 1 { "day" } else { "days" };
        (days < RENEWAL_DAYS).then(|| format!("its certificate ends in {days} {unit}, renew it"))
    }
}

/// A connection on which both sides are content.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    pub(super) facts: Facts,
    witness: Arc<Witness>,
}

/// Whom the handshake is with.
pub(super) struct Peer<'a> {
    pub(super) host: &'a str,
    pub(super) address: SocketAddr,
    pub(super) options: &'a TlsOptions,
    pub(super) patience: Duration,
}

impl Peer<'_> {
    /// Makes the handshake on a fresh connection.
    pub(super) async fn secure(&self, stream: TcpStream) -> Result<Secured, Failure> {
        let failed = |cause: String| Failure::new(Step::Tls, cause);
        let asked = self.options.server_name.as_deref().unwrap_or(self.host);
        let name = ServerName::try_from(asked.to_owned())
            .map_err(|_| failed(format!("{asked} is no name for a certificate")))?;
        let provider = Arc::new(ring::default_provider());
        let witness = Arc::new(Witness::new(self.options, &provider)?);
        let config = config(Arc::clone(&witness), provider)
            .map_err(|error| failed(format!("cannot begin: {error}")))?;
        let connector = TlsConnector::from(Arc::new(config));
        let handshake = connector.connect(name, stream);
        let stream = match tokio::time::timeout(self.patience, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.diagnose(&error, asked, &witness).await),
            Err(_elapsed) => {
                let cause = format!("no answer within {:?}", self.patience);
                let text = failed(cause).next("the server may not speak TLS: try without --tls");
                return Err(self.plain().await.unwrap_or(text));
            }
        };
        let facts = facts(&stream, witness.shown())?;
        Ok(Secured {
            stream,
            facts,
            witness,
        })
    }

    async fn diagnose(&self, error: &io::Error, asked: &str, witness: &Witness) -> Failure {
        let cause = words::tls_error(error);
        // The server asks before it shows its own certificate, which we may have refused.
        if !matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
            && let Some(failure) = witness.misses_certificate()
        {
            return failure;
        }
        if let Some(cause) = cause {
            match words::failure(cause, asked, witness.shown().as_ref()) {
                Some(failure) => return failure,
                // What came is not TLS.
                None => {
                    if let Some(failure) = self.plain().await {
                        return failure;
                    }
                    let cause = format!("what {} answers is not TLS", self.address);
                    return Failure::new(Step::Tls, cause).next("check the port");
                }
            }
        }
        if let Some(failure) = self.plain().await {
            return failure;
        }
        Failure::new(
            Step::Tls,
            "the server closed the connection during the handshake",
        )
        .next("see the server's log")
    }

    /// Whether the server would rather talk without TLS.
    async fn plain(&self) -> Option<Failure> {
        let patience = self.patience.min(SECOND_OPINION);
        let mut stream = port::connect(self.address, patience).await.ok()?;
        let failure = match speaks::answer(&mut stream, patience).await {
            Answer::Http2 => Failure::new(Step::Tls, "the server speaks gRPC without TLS")
                .next("drop --tls or tls://, or give the server a certificate"),
            Answer::Http1 => Failure::new(Step::Tls, "the server speaks HTTP/1 without TLS")
                .next("this is no agent or relay: check the port"),
            _ => return None,
        };
        Some(failure)
    }
}

impl Secured {
    /// Whether the connection carries HTTP/2, and what the server says of our certificate: in
    /// TLS 1.3 it says it after the handshake.
    pub(super) async fn speaks(&mut self, patience: Duration) -> Result<(), Failure> {
        let chosen = self.stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        match speaks::answer(&mut self.stream, patience).await {
            Answer::Http2 if chosen.as_deref() == Some(b"h2") => Ok(()),
            Answer::Http2 => Err(Failure::new(
                Step::Tls,
                "the server does not choose h2 (ALPN), as gRPC needs",
            )
            .next("a proxy in between must pass HTTP/2 on")),
            Answer::Closed => {
                let missing = self.witness.misses_certificate();
                Err(missing.unwrap_or_else(|| super::grpc(Answer::Closed, patience)))
            }
            Answer::Broken(error) => {
                if let Some(failure) = self.witness.misses_certificate() {
                    return Err(failure);
                }
                let shown = self.witness.shown();
                let failure = words::tls_error(&error)
                    .and_then(|cause| words::failure(cause, "", shown.as_ref()));
                Err(failure.unwrap_or_else(|| super::grpc(Answer::Broken(error), patience)))
            }
            other => Err(super::grpc(other, patience)),
        }
    }
}

/// Whether a server shows a certificate if one asks for it, though it was asked without TLS.
pub(super) async fn is_spoken(host: &str, address: SocketAddr, patience: Duration) -> bool {
    let patience = patience.min(SECOND_OPINION);
    let Ok(name) = ServerName::try_from(host.to_owned()) else {
        return false;
    };
    let provider = Arc::new(ring::default_provider());
    let witness = Arc::new(Witness::trusting_nobody());
    let Ok(config) = config(Arc::clone(&witness), provider) else {
        return false;
    };
    let Ok(stream) = port::connect(address, patience).await else {
        return false;
    };
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    // The handshake fails: nobody is trusted. What counts is what was seen.
    drop(tokio::time::timeout(patience, handshake).await);
    witness.shown().is_some()
}

fn config(
    witness: Arc<Witness>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, rustls::Error> {
    let verifier = Arc::clone(&witness);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(witness);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn facts(stream: &TlsStream<TcpStream>, shown: Option<Shown>) -> Result<Facts, Failure> {
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let shown = shown.ok_or_else(|| Failure::new(Step::Tls, "the server showed no certificate"))?;
    let now = clock::now_ns() / 1_000_000_000;
    Ok(Facts {
        version,
        certificate_until: clock::day(shown.not_after),
        days_left: (shown.not_after - now) / crate::civil::SECONDS_PER_DAY,
    })
}
