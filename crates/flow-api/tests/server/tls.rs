//! Who gets in by TLS, and which certificates a server uses.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use flow_api::{
    connect::{ConnectOptions, TlsOptions},
    server::{Refusal, ServeError, TlsError, TlsFiles, TlsServer, TlsVersion},
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::{
    certificates::{Authority, SERVER_NAME, with},
    clients::{Follower, ask},
    running::{Running, Setup, tls, until},
};

/// How soon a new certificate has to be in use.
const IN_USE_WITHIN: Duration = Duration::from_secs(5);

async fn serving(folder: &Path) -> Running {
    let setup = Setup {
        tls: Some(tls(folder)),
        ..Setup::default()
    };
    let running = Running::start(setup).await;
    until_open(&running).await;
    running
}

/// The port is open when there are certificates.
async fn until_open(running: &Running) {
    until("the port opens", || {
        std::net::TcpStream::connect(running.address).is_ok()
    })
    .await;
}

async fn is_let_in(running: &Running, client: TlsOptions) -> bool {
    ask(&running.tcp(), &with(client)).await.is_ok()
}

#[tokio::test]
async fn a_client_with_a_certificate_of_the_authority_is_let_in() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let running = serving(folder.path()).await;
    ask(&running.tcp(), &with(authority.client()))
        .await
        .unwrap();
    // The socket of the same server has no TLS.
    ask(&running.unix(), &ConnectOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn nobody_else_is_let_in_and_that_is_counted() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let running = serving(folder.path()).await;
    let with_identity = |identity| TlsOptions {
        client: Some(identity),
        ..authority.stranger()
    };
    let other = Authority::new();
    for (who, client) in [
        ("no certificate", authority.stranger()),
        (
            "another authority",
            with_identity(other.identity("other", 4000)),
        ),
        ("expired", with_identity(authority.identity("old", 2001))),
    ] {
        let before = running.refused(Refusal::Tls);
        assert!(!is_let_in(&running, client).await, "{who}");
        until(who, || running.refused(Refusal::Tls) > before).await;
    }
    assert!(
        ask(&running.tcp(), &ConnectOptions::default())
            .await
            .is_err()
    );
    assert!(is_let_in(&running, authority.client()).await);
}

#[tokio::test]
async fn the_names_under_which_cilium_mounts_certificates_are_found() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    for (from, to) in [
        ("tls.crt", "server.crt"),
        ("tls.key", "server.key"),
        ("ca.crt", "client-ca.crt"),
    ] {
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    }
    let running = serving(folder.path()).await;
    assert!(is_let_in(&running, authority.client()).await);
    assert!(!is_let_in(&running, authority.stranger()).await);
}

#[tokio::test]
async fn without_an_authority_clients_need_no_certificate() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let files = TlsFiles::Each {
        cert: folder.path().join("tls.crt"),
        key: folder.path().join("tls.key"),
        client_cas: Vec::new(),
    };
    assert!(!files.verify_clients());
    let running = Running::start(Setup {
        tls: Some(TlsServer {
            files,
            ..tls(folder.path())
        }),
        ..Setup::default()
    })
    .await;
    until_open(&running).await;
    assert!(is_let_in(&running, authority.stranger()).await);
}

/// Whether TLS of just this version is agreed on.
async fn speaks(
    running: &Running,
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> bool {
    let client = authority.client();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&client.ca_files[0]).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let identity = client.client.unwrap();
    let chain = CertificateDer::pem_file_iter(&identity.cert_file).unwrap();
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(
                chain.map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_file(&identity.key_file).unwrap(),
            )
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from(SERVER_NAME).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn old_versions_of_tls_have_to_be_asked_for() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let new_only = serving(folder.path()).await;
    assert!(speaks(&new_only, &authority, &TLS13).await);
    assert!(!speaks(&new_only, &authority, &TLS12).await);

    let both = Running::start(Setup {
        tls: Some(TlsServer {
            oldest: TlsVersion::Tls12,
            ..tls(folder.path())
        }),
        ..Setup::default()
    })
    .await;
    until_open(&both).await;
    assert!(speaks(&both, &authority, &TLS13).await);
    assert!(speaks(&both, &authority, &TLS12).await);
}

#[tokio::test]
async fn a_replaced_certificate_is_used_by_new_connections_and_open_streams_live_on() {
    // As Kubernetes mounts a secret: files are links into a folder that is turned as a whole.
    let (old, new) = (Authority::new(), Authority::new());
    let mount = TempDir::new().unwrap();
    old.write_server(&mount.path().join("..1"));
    new.write_server(&mount.path().join("..2"));
    symlink("..1", mount.path().join("..data")).unwrap();
    for file in ["tls.crt", "tls.key", "ca.crt"] {
        symlink(format!("..data/{file}"), mount.path().join(file)).unwrap();
    }
    let running = serving(mount.path()).await;
    let mut follower = Follower::open(&running.tcp(), &with(old.client())).await;
    assert!(follower.hears(&running).await);
    assert!(!is_let_in(&running, new.client()).await);

    symlink("..2", mount.path().join("..new")).unwrap();
    fs::rename(mount.path().join("..new"), mount.path().join("..data")).unwrap();
    let replaced = Instant::now();
    until("the new certificate", || {
        running.counts.certificates_taken() == 1
    })
    .await;
    assert!(
        replaced.elapsed() < IN_USE_WITHIN,
        "{:?}",
        replaced.elapsed()
    );
    assert!(is_let_in(&running, new.client()).await);
    assert!(!is_let_in(&running, old.client()).await);
    assert!(follower.hears(&running).await);
}

#[tokio::test]
async fn a_broken_certificate_is_counted_and_the_one_before_holds() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let running = serving(folder.path()).await;
    let certificate = folder.path().join("tls.crt");
    type Break<'a> = &'a dyn Fn();
    let breaks: [(&str, Break<'_>); 4] = [
        ("no certificate", &|| {
            fs::write(&certificate, "none").unwrap()
        }),
        ("gone", &|| fs::remove_file(&certificate).unwrap()),
        ("expired", &|| authority.write_expired_server(folder.path())),
        ("of another key", &|| {
            let other = TempDir::new().unwrap();
            authority.write_server(other.path());
            fs::copy(other.path().join("tls.crt"), &certificate).unwrap();
        }),
    ];
    for (what, break_it) in breaks {
        let before = running.counts.certificates_refused();
        break_it();
        until(what, || running.counts.certificates_refused() > before).await;
        assert!(is_let_in(&running, authority.client()).await, "{what}");
    }
    assert_eq!(running.counts.certificates_taken(), 0);
    authority.write_server(folder.path());
    until("repaired", || running.counts.certificates_taken() == 1).await;
    assert!(is_let_in(&running, authority.client()).await);
}

#[tokio::test]
async fn certificates_that_come_late_are_waited_for_and_the_socket_is_served_meanwhile() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let running = Running::start(Setup {
        tls: Some(tls(folder.path())),
        ..Setup::default()
    })
    .await;
    ask(&running.unix(), &ConnectOptions::default())
        .await
        .unwrap();
    assert!(!is_let_in(&running, authority.client()).await);
    authority.write_server(folder.path());
    until_open(&running).await;
    assert!(is_let_in(&running, authority.client()).await);
}

#[tokio::test]
async fn certificates_that_never_come_end_the_server_by_name() {
    let folder = TempDir::new().unwrap();
    let wait = Duration::from_millis(50);
    let running = Running::start(Setup {
        tls: Some(TlsServer {
            wait,
            ..tls(folder.path())
        }),
        ..Setup::default()
    })
    .await;
    let error = running.server.await.unwrap().unwrap_err();
    assert!(
        matches!(error, ServeError::Tls(TlsError::NeverCame { .. })),
        "{error}"
    );
    let file = folder.path().join("tls.crt");
    let expected = format!("TLS file {} did not appear within 50ms", file.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn what_is_broken_from_the_start_ends_the_server_by_name() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    fs::copy(&certificate, &key).unwrap();
    let running = Running::start(Setup {
        tls: Some(tls(folder.path())),
        ..Setup::default()
    })
    .await;
    let error = running.server.await.unwrap().unwrap_err();
    let expected = format!(
        "TLS file {} holds no private key in PEM form",
        key.display()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let mut setup = Setup {
        tls: Some(tls(folder.path())),
        ..Setup::default()
    };
    setup.limits.handshake_timeout = Duration::from_millis(100);
    let running = Running::start(setup).await;
    until_open(&running).await;
    let mut silent = TcpStream::connect(running.address).await.unwrap();
    let mut nothing = Vec::new();
    // Ends because the server closes the connection.
    drop(silent.read_to_end(&mut nothing).await);
    assert!(nothing.is_empty());
    until("counted", || {
        running.refused(Refusal::HandshakeTimeout) == 1
    })
    .await;
    until("room again", || running.counts.connections() == 0).await;
}
