//! Whom we trust, who we are, and what was seen of the other side on the way.
//!
//! The decision is rustls's own. The witness only takes notes, so that a refusal can be explained.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use flow_api::connect::{ClientIdentity, TlsOptions, TrustAnyone};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::{GIVE_CERTIFICATE, certificate::Shown};
use crate::doctor::report::{Failure, Step};

/// Takes notes of a handshake.
#[derive(Debug)]
pub(super) struct Witness {
    /// Who decides whom we believe; without one, nobody is believed.
    judge: Option<Arc<dyn ServerCertVerifier>>,
    ours: Option<Arc<CertifiedKey>>,
    shown: OnceLock<Option<Shown>>,
    /// The server has asked for a certificate of ours.
    is_asked: AtomicBool,
}

impl Witness {
    pub(super) fn new(
        options: &TlsOptions,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Failure> {
        let roots = Arc::new(roots(options)?);
        let judge: Arc<dyn ServerCertVerifier> = if options.trusts_anyone {
            Arc::new(TrustAnyone::default())
        } else {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
                .build()
                .map_err(|_| {
                    Failure::new(Step::Tls, "this system has no certificate authorities")
                        .next("add --tls-ca-cert-files")
                })?
        };
        let ours = match &options.client {
            Some(client) => Some(Arc::new(identity(client, provider)?)),
            None => None,
        };
        Ok(Self {
            judge: Some(judge),
            ours,
            ..Self::trusting_nobody()
        })
    }

    /// For handshakes that are to fail as soon as something was shown.
    pub(super) fn trusting_nobody() -> Self {
        Self {
            judge: None,
            ours: None,
            shown: OnceLock::new(),
            is_asked: AtomicBool::new(false),
        }
    }

    fn judge(&self) -> Result<&Arc<dyn ServerCertVerifier>, Error> {
        let nobody = CertificateError::ApplicationVerificationFailure;
        self.judge.as_ref().ok_or(Error::InvalidCertificate(nobody))
    }

    /// The server's certificate, if it came and could be read.
    pub(super) fn shown(&self) -> Option<Shown> {
        self.shown.get().cloned().flatten()
    }

    /// The failure of a connection that ended after the server asked for a certificate and got none.
    pub(super) fn misses_certificate(&self) -> Option<Failure> {
        let is_missing = self.ours.is_none() && self.is_asked.load(Ordering::Relaxed);
        is_missing.then(|| {
            Failure::new(Step::Tls, "the server demands a client certificate")
                .next(GIVE_CERTIFICATE)
        })
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.shown.get_or_init(|| Shown::read(end_entity));
        self.judge()?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match &self.judge {
            Some(judge) => judge.supported_verify_schemes(),
            // All, so that something is shown.
            None => TrustAnyone::default().supported_verify_schemes(),
        }
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_asked.store(true, Ordering::Relaxed);
        self.ours.clone()
    }

    fn has_certs(&self) -> bool {
        // Or nobody would tell us that we are asked.
        true
    }
}

fn roots(options: &TlsOptions) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    if options.ca_files.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for file in &options.ca_files {
        roots.add_parsable_certificates(certificates(file)?);
    }
    Ok(roots)
}

fn certificates(file: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|_| {
            let file = file.display();
            Failure::new(
                Step::Tls,
                format!("TLS file {file} holds no certificate in PEM form"),
            )
        })
}

fn identity(client: &ClientIdentity, provider: &CryptoProvider) -> Result<CertifiedKey, Failure> {
    let chain = certificates(&client.cert_file)?;
    let key = PrivateKeyDer::from_pem_file(&client.key_file).map_err(|_| {
        let file = client.key_file.display();
        Failure::new(
            Step::Tls,
            format!("TLS file {file} holds no private key in PEM form"),
        )
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|_| {
        let (cert, key) = (client.cert_file.display(), client.key_file.display());
        Failure::new(
            Step::Tls,
            format!("the key in {key} is not the one of {cert}"),
        )
        .next("check --tls-client-key-file")
    })
}
