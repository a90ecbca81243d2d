//! Pages for those who watch a process: who gets them, in which form, and who may not hold them.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use flow_api::{
    connect::ClientIdentity,
    server::{Listener, Pages, Readiness, Refusal, ServeError, ServerCounts, TlsError, TlsServer},
};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    certificates::{Authority, SERVER_NAME},
    running::{tls, until},
};

struct Serving {
    address: SocketAddr,
    is_ready: Arc<AtomicBool>,
    counts: Arc<ServerCounts>,
    server: JoinHandle<Result<(), ServeError>>,
    _closing: DropGuard,
}

async fn serving(tls: Option<TlsServer>, patience: Duration) -> Serving {
    let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), tls).unwrap();
    let address = listener.address().unwrap();
    let mut registry = Registry::default();
    let counter = Counter::<u64>::default();
    counter.inc_by(7);
    registry.register("wonders", "What was seen", counter);
    let is_ready = Arc::new(AtomicBool::new(true));
    let readiness = {
        let is_ready = Arc::clone(&is_ready);
        move || Readiness {
            is_ready: is_ready.load(Ordering::Relaxed),
            reason: "as it is".to_owned(),
        }
    };
    let counts = Arc::new(ServerCounts::default());
    let pages = Pages::new(registry, readiness, Arc::clone(&counts)).with_patience(patience);
    let closing = CancellationToken::new();
    Serving {
        address,
        is_ready,
        counts,
        server: tokio::spawn(pages.serve(listener, closing.clone())),
        _closing: closing.drop_guard(),
    }
}

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);

impl Serving {
    /// Head and body of an answer in plain text.
    async fn ask(&self, request: &str) -> (String, String) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        answer(stream, request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n"))
            .await
    }

    /// As a scraper with these certificates, if it is let in.
    async fn get_by_tls(
        &self,
        authority: &Authority,
        identity: Option<ClientIdentity>,
    ) -> io::Result<String> {
        let stream = TcpStream::connect(self.address).await?;
        let connector = TlsConnector::from(Arc::new(client(authority, identity)));
        let name = ServerName::try_from(SERVER_NAME).unwrap();
        let stream = connector.connect(name, stream).await?;
        let request = "GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n";
        Ok(answer(stream, request).await?.1)
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        let mut counts = self.counts.refused();
        counts.find(|it| it.0 == refusal).map_or(0, |it| it.1)
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<(String, String)> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok((head.to_lowercase(), body.to_owned()))
}

/// A client as Prometheus is one: it speaks HTTP/2, too, if the server does.
fn client(authority: &Authority, identity: Option<ClientIdentity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for file in authority.stranger().ca_files {
        roots
            .add(CertificateDer::from_pem_file(file).unwrap())
            .unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_file_iter(&identity.cert_file).unwrap();
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(&identity.key_file).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for_with_those_of_the_process() {
    let serving = serving(None, LONG).await;
    let (head, body) = serving.get("/metrics").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let wonders = "\n# TYPE wonders_total counter\nwonders_total 7\n";
    assert!(format!("\n{body}").contains(wonders), "{body}");
    assert!(body.contains("\nprocess_resident_memory_bytes "), "{body}");
    let version = format!(
        "palomar_build_info{{version=\"{}\"}} 1",
        env!("CARGO_PKG_VERSION")
    );
    assert!(body.contains(&version), "{body}");

    let accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    let request = format!("GET /metrics HTTP/1.1\r\nhost: here\r\naccept: {accept}\r\n\r\n");
    let (head, body) = serving.ask(&request).await;
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(
        body.contains("# TYPE wonders counter\nwonders_total 7\n"),
        "{body}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn readiness_is_told_apart_from_life_and_all_else_is_refused() {
    let serving = serving(None, LONG).await;
    let code = |head: &str| head.split(' ').nth(1).unwrap().to_owned();
    let (head, body) = serving.get("/readyz").await;
    assert_eq!((&*code(&head), &*body), ("200", "as it is\n"));
    serving.is_ready.store(false, Ordering::Relaxed);
    let (head, body) = serving.get("/readyz").await;
    assert_eq!((&*code(&head), &*body), ("503", "as it is\n"));
    assert_eq!(code(&serving.get("/healthz").await.0), "200");
    assert_eq!(code(&serving.get("/").await.0), "404");
    let post = "POST /metrics HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(code(&serving.ask(post).await.0), "405");
    let head = "HEAD /metrics HTTP/1.1\r\nhost: here\r\n\r\n";
    let (head, body) = serving.ask(head).await;
    assert_eq!((&*code(&head), &*body), ("200", ""));
}

#[tokio::test]
async fn who_has_no_certificate_of_the_authority_sees_nothing() {
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    authority.write_server(folder.path());
    let serving = serving(Some(tls(folder.path())), LONG).await;
    until_open(&serving).await;
    let known = authority.identity("prometheus", 4000);
    let page = serving.get_by_tls(&authority, Some(known)).await.unwrap();
    assert!(page.contains("wonders_total 7"), "{page}");
    let other = Authority::new();
    for identity in [None, Some(other.identity("prometheus", 4000))] {
        let refused = serving.get_by_tls(&authority, identity).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    until("both are counted", || serving.refused(Refusal::Tls) == 2).await;
}

#[tokio::test]
async fn changed_certificates_are_used_by_the_next_connection() {
    let (first, second) = (Authority::new(), Authority::new());
    let folder = TempDir::new().unwrap();
    first.write_server(folder.path());
    let serving = serving(Some(tls(folder.path())), LONG).await;
    until_open(&serving).await;
    let identity = |of: &Authority| Some(of.identity("prometheus", 4000));
    serving.get_by_tls(&first, identity(&first)).await.unwrap();
    second.write_server(folder.path());
    until("the new one is taken", || {
        serving.counts.certificates_taken() == 1
    })
    .await;
    serving
        .get_by_tls(&second, identity(&second))
        .await
        .unwrap();
    assert!(serving.get_by_tls(&first, identity(&first)).await.is_err());
}

#[tokio::test]
async fn broken_certificates_are_an_error_at_once() {
    let folder = TempDir::new().unwrap();
    broken(folder.path());
    let serving = serving(Some(tls(folder.path())), LONG).await;
    let error = serving.server.await.unwrap().unwrap_err();
    assert!(
        matches!(error, ServeError::Tls(TlsError::Unexpected { .. })),
        "{error}"
    );
}

fn broken(folder: &Path) {
    for name in ["tls.crt", "tls.key", "ca.crt"] {
        fs::write(folder.join(name), "nothing of the kind").unwrap();
    }
}

#[tokio::test]
async fn who_asks_nothing_or_takes_nothing_is_cut_off() {
    let serving = serving(None, Duration::from_secs(1)).await;
    let mut silent = TcpStream::connect(serving.address).await.unwrap();
    let mut answer = Vec::new();
    // The server ends it: there is nothing, or a word of why.
    drop(silent.read_to_end(&mut answer).await);
    until("it is counted", || serving.refused(Refusal::Slow) == 1).await;
    assert_eq!(serving.counts.connections(), 0);
    let (head, _) = serving.get("/healthz").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn one_peer_has_only_so_many_connections() {
    let serving = serving(None, LONG).await;
    let mut held = Vec::new();
    while serving.refused(Refusal::ConnectionsOfPeer) == 0 {
        assert!(held.len() < 1000, "all of them were let in");
        held.push(TcpStream::connect(serving.address).await.unwrap());
        tokio::task::yield_now().await;
    }
    drop(held);
    until("there is room again", || serving.counts.connections() == 0).await;
    assert!(serving.get("/healthz").await.0.starts_with("http/1.1 200"));
}

/// The port is open when there are certificates.
async fn until_open(serving: &Serving) {
    until("the port opens", || {
        std::net::TcpStream::connect(serving.address).is_ok()
    })
    .await;
}
