//! Connecting over real sockets: what works, and what the user reads when it does not.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails loudly"
)]

use std::{fs, path::Path, time::Duration};

use flow_api::{
    connect::{
        ClientIdentity, ConnectError, ConnectOptions, Target, TlsOptions, connect, connect_lazy,
        connect_through,
    },
    observer::{ServerStatusRequest, observer_client::ObserverClient},
    service::observer_server::ObserverServer,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use testbed::observer::{Ready, Scripted};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{
    Code,
    transport::{Certificate, Channel, Identity, Server, ServerTlsConfig},
};

fn observer() -> ObserverServer<Scripted<Ready>> {
    ObserverServer::new(Scripted::new(Ready::default()))
}

async fn answers(channel: Channel) -> bool {
    ObserverClient::new(channel)
        .server_status(ServerStatusRequest {})
        .await
        .is_ok()
}

async fn refusal(target: &Target, options: &ConnectOptions) -> String {
    connect(target, options)
        .await
        .expect_err("nobody should answer")
        .to_string()
}

fn unix(path: &Path) -> Target {
    Target::Unix(path.to_owned())
}

async fn serve_tcp(mut server: Server) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = server.add_service(observer());
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

#[tokio::test]
async fn a_unix_socket_is_reached() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("observer.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(observer())
            .serve_with_incoming(UnixListenerStream::new(listener)),
    );
    let options = ConnectOptions::default();
    assert!(answers(connect(&unix(&path), &options).await.unwrap()).await);
    assert!(answers(connect_lazy(&unix(&path), &options).unwrap()).await);
}

#[tokio::test]
async fn a_unix_socket_may_have_tls_and_any_way_to_a_server() {
    let certificates = Certificates::new();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("observer.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(
        Server::builder()
            .tls_config(certificates.server_tls())
            .unwrap()
            .add_service(observer())
            .serve_with_incoming(UnixListenerStream::new(listener)),
    );
    let options = with(certificates.options());
    assert!(answers(connect(&unix(&path), &options).await.unwrap()).await);
    let target = "observer.test:4245".parse().unwrap();
    let open = move || UnixStream::connect(path.clone());
    let channel = connect_through(&target, &options, open).await;
    assert!(answers(channel.unwrap()).await);
}

#[tokio::test]
async fn a_tcp_server_is_reached_by_address_and_by_name() {
    let port = serve_tcp(Server::builder()).await;
    let options = ConnectOptions::default();
    for host in ["127.0.0.1", "localhost"] {
        let target: Target = format!("{host}:{port}").parse().unwrap();
        assert!(
            answers(connect(&target, &options).await.unwrap()).await,
            "{host}"
        );
        assert!(
            answers(connect_lazy(&target, &options).unwrap()).await,
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_lazy_channel_finds_a_server_that_comes_later() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("observer.sock");
    let channel = connect_lazy(&unix(&path), &ConnectOptions::default()).unwrap();
    let refused = ObserverClient::new(channel.clone())
        .server_status(ServerStatusRequest {})
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);

    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(observer())
            .serve_with_incoming(UnixListenerStream::new(listener)),
    );
    assert!(answers(channel).await);
}

#[tokio::test]
async fn a_refusal_names_the_target_and_the_cause_once() {
    let dir = TempDir::new().unwrap();
    let options = ConnectOptions::default();

    let missing = unix(&dir.path().join("missing.sock"));
    assert_eq!(
        refusal(&missing, &options).await,
        format!("cannot connect to {missing}: no such file or directory")
    );

    let file = unix(&dir.path().join("file.sock"));
    fs::write(dir.path().join("file.sock"), "").unwrap();
    assert_eq!(
        refusal(&file, &options).await,
        format!("cannot connect to {file}: connection refused")
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed: Target = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    assert_eq!(
        refusal(&closed, &options).await,
        format!("cannot connect to {closed}: connection refused")
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    // The listener accepts, and that is all: TLS never begins.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tls://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let connect_timeout = Duration::from_millis(50);
    let options = ConnectOptions {
        connect_timeout,
        ..ConnectOptions::default()
    };
    let error = connect(&target, &options).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {target}: no answer within 50ms")
    );
}

/// An authority, a server certificate for `observer.test` and one for a client, as files.
struct Certificates {
    dir: TempDir,
    ca: String,
    server: (String, String),
}

impl Certificates {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (
                params.signed_by(&key, &ca).unwrap().pem(),
                key.serialize_pem(),
            )
        };
        let dir = TempDir::new().unwrap();
        let (cert, key) = sign("client.test");
        fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
        fs::write(dir.path().join("client.pem"), cert).unwrap();
        fs::write(dir.path().join("client.key"), key).unwrap();
        Self {
            server: sign("observer.test"),
            ca: ca.pem(),
            dir,
        }
    }

    fn options(&self) -> TlsOptions {
        TlsOptions {
            ca_files: vec![self.dir.path().join("ca.pem")],
            server_name: Some("observer.test".to_owned()),
            ..TlsOptions::default()
        }
    }

    fn client(&self) -> ClientIdentity {
        ClientIdentity {
            cert_file: self.dir.path().join("client.pem"),
            key_file: self.dir.path().join("client.key"),
        }
    }

    fn server_tls(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(Identity::from_pem(&self.server.0, &self.server.1))
    }
}

fn with(tls: TlsOptions) -> ConnectOptions {
    ConnectOptions {
        tls: Some(tls),
        ..ConnectOptions::default()
    }
}

#[tokio::test]
async fn tls_is_spoken_to_tls_targets_and_to_any_when_asked() {
    let certificates = Certificates::new();
    let port = serve_tcp(
        Server::builder()
            .tls_config(certificates.server_tls())
            .unwrap(),
    )
    .await;
    let options = with(certificates.options());
    for target in [
        format!("tls://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
    ] {
        let target: Target = target.parse().unwrap();
        assert!(
            answers(connect(&target, &options).await.unwrap()).await,
            "{target}"
        );
        assert!(
            answers(connect_lazy(&target, &options).unwrap()).await,
            "{target}"
        );
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_is_refused() {
    let certificates = Certificates::new();
    let port = serve_tcp(
        Server::builder()
            .tls_config(certificates.server_tls())
            .unwrap(),
    )
    .await;
    let target: Target = format!("tls://127.0.0.1:{port}").parse().unwrap();

    let another_authority = Certificates::new();
    let shown = refusal(&target, &with(another_authority.options())).await;
    assert!(
        shown.starts_with(&format!(
            "cannot connect to {target}: invalid peer certificate"
        )),
        "{shown}"
    );

    let another_name = TlsOptions {
        server_name: None,
        ..certificates.options()
    };
    let shown = refusal(&target, &with(another_name)).await;
    assert!(
        shown.contains("127.0.0.1") && shown.contains("observer.test"),
        "{shown}"
    );

    // The system does not know our authority.
    let shown = refusal(&target, &ConnectOptions::default()).await;
    assert!(
        shown.starts_with(&format!("cannot connect to {target}: ")),
        "{shown}"
    );
}

#[tokio::test]
async fn who_trusts_anyone_reaches_a_server_that_cannot_prove_who_it_is() {
    let certificates = Certificates::new();
    let tls = certificates
        .server_tls()
        .client_ca_root(Certificate::from_pem(&certificates.ca));
    let port = serve_tcp(Server::builder().tls_config(tls).unwrap()).await;
    let target: Target = format!("tls://127.0.0.1:{port}").parse().unwrap();
    let another_authority = Certificates::new();
    for ca_files in [vec![], another_authority.options().ca_files] {
        let tls = TlsOptions {
            ca_files,
            client: Some(certificates.client()),
            server_name: None,
            trusts_anyone: true,
        };
        assert!(answers(connect(&target, &with(tls)).await.unwrap()).await);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let certificates = Certificates::new();
    let tls = certificates
        .server_tls()
        .client_ca_root(Certificate::from_pem(&certificates.ca));
    let port = serve_tcp(Server::builder().tls_config(tls).unwrap()).await;
    let target: Target = format!("tls://127.0.0.1:{port}").parse().unwrap();

    let known = TlsOptions {
        client: Some(certificates.client()),
        ..certificates.options()
    };
    assert!(answers(connect(&target, &with(known)).await.unwrap()).await);

    // TLS 1.3 lets the client finish first, so this may fail as late as the first call.
    let reached = match connect(&target, &with(certificates.options())).await {
        Ok(channel) => answers(channel).await,
        Err(_) => false,
    };
    assert!(!reached);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let target: Target = "tls://127.0.0.1:1".parse().unwrap();
    let tls = TlsOptions {
        ca_files: vec!["/nowhere/ca.pem".into()],
        ..TlsOptions::default()
    };
    assert_eq!(
        refusal(&target, &with(tls)).await,
        "cannot read TLS file /nowhere/ca.pem: no such file or directory"
    );
}

#[tokio::test]
async fn a_file_that_holds_something_else_is_named() {
    let certificates = Certificates::new();
    let target: Target = "tls://127.0.0.1:1".parse().unwrap();
    let ClientIdentity {
        cert_file,
        key_file,
    } = certificates.client();

    let tls = TlsOptions {
        ca_files: vec![key_file.clone()],
        ..TlsOptions::default()
    };
    let expected = format!(
        "TLS file {} holds no certificate in PEM form",
        key_file.display()
    );
    assert_eq!(refusal(&target, &with(tls)).await, expected);

    let client = ClientIdentity {
        cert_file: cert_file.clone(),
        key_file: cert_file.clone(),
    };
    let tls = TlsOptions {
        client: Some(client),
        ..certificates.options()
    };
    let expected = format!(
        "TLS file {} holds no private key in PEM form",
        cert_file.display()
    );
    assert_eq!(refusal(&target, &with(tls)).await, expected);
}
