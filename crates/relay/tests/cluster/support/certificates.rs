//! An authority, and certificates that it signs, as files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use flow_api::server::{TlsFiles, TlsServer, TlsVersion};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for this name, its key, and the authority, as a Kubernetes secret has
    /// them.
    pub(crate) fn write(&self, name: &str, folder: &Path) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.crt"), self.0.pem()).unwrap();
    }
}

/// A server with the certificates of a folder.
pub(crate) fn tls_server(folder: &Path) -> TlsServer {
    TlsServer {
        files: TlsFiles::Folder(folder.to_owned()),
        oldest: TlsVersion::Tls13,
        wait: Duration::from_secs(10),
    }
}
