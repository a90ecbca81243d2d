//! Servers with TLS, each with another certificate.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    sync::Arc,
    thread,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use super::{SETTINGS, fails, listener, told};

/// An authority, and servers with certificates of it.
pub(super) struct Authority {
    pub(super) issuer: CertifiedIssuer<'static, KeyPair>,
    pub(super) folder: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        Self::named("the authority")
    }

    fn named(common_name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, common_name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub(super) fn file(&self) -> String {
        self.folder.path().join("ca.crt").display().to_string()
    }

    /// A server of gRPC by TLS.
    fn serve(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> SocketAddr {
        self.serve_to(name, change, false)
    }

    fn serve_to(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        asks_for_certificate: bool,
    ) -> SocketAddr {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2099, 1, 1);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = if asks_for_certificate {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.unwrap())
        } else {
            config.with_no_client_auth()
        };
        let mut config = config
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        listening(config)
    }
}

/// A server of gRPC that says nothing but hello.
fn listening(config: ServerConfig) -> SocketAddr {
    let config = Arc::new(config);
    let (listener, address) = listener();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // An error is what the other side is told.
            if stream.read(&mut [0; 1024]).is_ok() {
                stream.write_all(SETTINGS).ok();
                stream.flush().ok();
            } else {
                stream.conn.write_tls(&mut stream.sock).ok();
            }
        }
    });
    address
}

/// A server whose certificate nobody signs but itself, in a file too.
fn self_signed(is_ca: IsCa) -> (SocketAddr, TempDir) {
    let mut params = CertificateParams::new(["relay".to_owned()]).unwrap();
    params.is_ca = is_ca;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "relay");
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("tls.crt"), certificate.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (listening(config), folder)
}

#[test]
fn a_certificate_that_signs_itself_until_it_is_trusted() {
    let (server, folder) = self_signed(IsCa::NoCa);
    let server = format!("tls://{server}");
    let other = Authority::new();
    fails(
        &server,
        &[
            "--tls-ca-cert-files",
            &other.file(),
            "--tls-server-name",
            "relay",
        ],
        "TLS failed: certificate is self-signed (CN=relay); add it with --tls-ca-cert-files if you \
         trust it",
    );
    let own = folder.path().join("tls.crt").display().to_string();
    let trusting = ["--tls-ca-cert-files", &own, "--tls-server-name", "relay"];
    let line = told(1, &[&trusting[..], &[&server]].concat());
    // There is nothing behind it.
    assert!(
        line.starts_with(&format!("{server}  API failed: ")),
        "{line}"
    );
}

#[test]
fn a_certificate_of_an_authority_that_a_server_shows_as_its_own() {
    let (server, folder) = self_signed(IsCa::Ca(BasicConstraints::Unconstrained));
    let file = folder.path().join("tls.crt").display().to_string();
    fails(
        &format!("tls://{server}"),
        &["--tls-ca-cert-files", &file, "--tls-server-name", "relay"],
        "TLS failed: certificate is self-signed and an authority's (CN=relay); give the server one of \
         its own without CA:TRUE, which that one may sign",
    );
}

#[test]
fn a_server_with_tls_that_is_asked_without() {
    let server = Authority::new().serve("localhost", |_| {}).to_string();
    fails(
        &server,
        &[],
        "gRPC failed: the server wants TLS; add --tls, or write tls:// before the address",
    );
}

#[test]
fn a_certificate_that_has_ended_or_does_not_hold_yet() {
    let authority = Authority::new();
    let file = authority.file();
    let flags = ["--tls-ca-cert-files", &file, "--tls-server-name", "relay"];
    let ended = authority.serve("relay", |it| it.not_after = date_time_ymd(2021, 2, 3));
    fails(
        &format!("tls://{ended}"),
        &flags,
        "TLS failed: certificate ended on 2021-02-03; renew it, or check this machine's clock",
    );
    let early = authority.serve("relay", |it| it.not_before = date_time_ymd(2098, 1, 1));
    fails(
        &format!("tls://{early}"),
        &flags,
        "TLS failed: certificate is not valid before 2098-01-01; check this machine's clock and \
         the one that issued it",
    );
}

#[test]
fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let server = authority.serve("*.east.hubble-grpc.cilium.io", |_| {});
    let asked = "node-2.default.hubble-grpc.cilium.io";
    fails(
        &format!("tls://{server}"),
        &[
            "--tls-ca-cert-files",
            &authority.file(),
            "--tls-server-name",
            asked,
        ],
        &format!(
            "TLS failed: certificate is for *.east.hubble-grpc.cilium.io, asked for {asked}; ask \
             by that name, or with --tls-server-name"
        ),
    );
}

#[test]
fn an_authority_that_is_not_known_or_has_another_key() {
    let (ours, theirs) = (Authority::new(), Authority::named("their authority"));
    let file = ours.file();
    let flags = ["--tls-ca-cert-files", &file, "--tls-server-name", "relay"];
    let server = theirs.serve("relay", |_| {});
    fails(
        &format!("tls://{server}"),
        &flags,
        "TLS failed: certificate is signed by an authority that is not trusted here (CN=their \
         authority); add the authority's certificate with --tls-ca-cert-files",
    );
    let server = Authority::new().serve("relay", |_| {});
    fails(
        &format!("tls://{server}"),
        &flags,
        "TLS failed: certificate is not signed by the trusted CN=the authority, only in its name; \
         the authority may have a new key: update --tls-ca-cert-files",
    );
}

#[test]
fn a_client_certificate_that_is_missing() {
    let authority = Authority::new();
    let server = authority.serve_to("relay", |_| {}, true);
    fails(
        &format!("tls://{server}"),
        &[
            "--tls-ca-cert-files",
            &authority.file(),
            "--tls-server-name",
            "relay",
        ],
        "TLS failed: the server demands a client certificate; add --tls-client-cert-file and \
         --tls-client-key-file",
    );
}

#[test]
fn a_server_that_demands_a_certificate_is_judged_by_its_own_first() {
    let authority = Authority::new();
    let server = authority.serve_to("relay", |_| {}, true);
    let file = authority.file();
    fails(
        &format!("tls://{server}"),
        &["--tls-ca-cert-files", &file, "--tls-server-name", "node-1"],
        "TLS failed: certificate is for relay, asked for node-1; ask by that name, or with \
         --tls-server-name",
    );
}
