//! An authority, and certificates that it signs, as files in Hubble's layout.

use std::{
    fs,
    path::{Path, PathBuf},
};

use flow_api::connect::{ClientIdentity, ConnectOptions, TlsOptions};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

/// What Hubble's server certificates say, and what a relay asks for.
pub(crate) const SERVER_NAME: &str = "node-1.default.hubble-grpc.cilium.io";
const WILDCARD: &str = "*.default.hubble-grpc.cilium.io";

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn sign(&self, name: &str, until: i32, folder: &Path) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.crt"), self.issuer.pem()).unwrap();
    }

    /// Writes a server's certificate, its key and the authority of clients.
    pub(crate) fn write_server(&self, folder: &Path) {
        self.sign(WILDCARD, 4000, folder);
    }

    /// The same, of a certificate that has expired.
    pub(crate) fn write_expired_server(&self, folder: &Path) {
        self.sign(WILDCARD, 2001, folder);
    }

    /// Trusts this authority, and has no certificate.
    pub(crate) fn stranger(&self) -> TlsOptions {
        TlsOptions {
            ca_files: vec![self.folder.path().join("ca.crt")],
            server_name: Some(SERVER_NAME.to_owned()),
            ..TlsOptions::default()
        }
    }

    /// Trusts this authority, and has a certificate of it.
    pub(crate) fn client(&self) -> TlsOptions {
        TlsOptions {
            client: Some(self.identity("client", 4000)),
            ..self.stranger()
        }
    }

    /// A certificate of this authority that holds until some year.
    pub(crate) fn identity(&self, name: &str, until: i32) -> ClientIdentity {
        let folder: PathBuf = self.folder.path().join(format!("{name}-{until}"));
        self.sign("*.hubble-relay.cilium.io", until, &folder);
        ClientIdentity {
            cert_file: folder.join("tls.crt"),
            key_file: folder.join("tls.key"),
        }
    }
}

pub(crate) fn with(tls: TlsOptions) -> ConnectOptions {
    ConnectOptions {
        tls: Some(tls),
        ..ConnectOptions::default()
    }
}
