//! Pages for those who watch a process: what it counts, whether it lives, and whether it is ready.
//!
//! In: a [`Listener`], a registry of metrics, a rule for readiness. Out: `/metrics`, `/healthz` and
//! `/readyz` by HTTP/1, with TLS where there are certificates.
//!
//! A connection is for one answer, and has half a minute for all of it: encryption, request, and
//! taking what was asked for. So nobody holds a page, or the place of others, for longer.

mod process;

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use rustls::ServerConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    ACCEPT_PAUSE, Acceptor, Limits, Listener, ServeError,
    admission::{Admission, Admitted, Peer},
    connection::{Connection, Failure, Socket},
    counts::{Refusal, ServerCounts},
    page::MetricsPage,
    quiet::Quiet,
    tls::Protocol,
};

pub use process::ProcessNumbers;

/// From the connection to the end of the answer. A page of a hundred thousand series has some ten
/// megabytes.
const WHOLE: Duration = Duration::from_secs(30);
/// How long a request may take to arrive.
const REQUEST: Duration = Duration::from_secs(10);
/// The longest request: what browsers and proxies add to it fits in.
const REQUEST_BYTES: usize = 16 << 10;
/// Two Prometheis, probes of a kubelet and somebody with a browser make less than ten.
const CONNECTIONS: usize = 32;
/// Half of them, so that nobody keeps everybody else out.
const CONNECTIONS_PER_PEER: usize = 16;
/// Pages of metrics that are being made or taken at the same time, which bounds their memory. Who asks
/// for one more waits.
const PAGES: usize = 4;

/// Whether clients should be sent to a process, and why not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Readiness {
    /// Whether they should.
    pub is_ready: bool,
    /// A line for who looks.
    pub reason: String,
}

/// What is shown of a process.
pub struct Pages {
    registry: Arc<Registry>,
    readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    counts: Arc<ServerCounts>,
    patience: Duration,
    scraped: Scraped,
}

/// Told of each answer with metrics, and how long it took to make.
type Scraped = Box<dyn Fn(StatusCode, Duration) + Send + Sync>;

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

impl Pages {
    /// Pages of these metrics, with those of [`ProcessNumbers`]; a process that is ready by this rule; and
    /// where to count who was turned away.
    #[must_use]
    pub fn new(
        mut registry: Registry,
        readiness: impl Fn() -> Readiness + Send + Sync + 'static,
        counts: Arc<ServerCounts>,
    ) -> Self {
        registry.register_collector(Box::new(ProcessNumbers));
        Self {
            registry: Arc::new(registry),
            readiness: Box::new(readiness),
            counts,
            patience: WHOLE,
            scraped: Box::new(|_, _| {}),
        }
    }

    /// The same, and `scraped` is told of each answer with metrics: its status, and how long it took to make.
    #[must_use]
    pub fn telling_scrapes(
        self,
        scraped: impl Fn(StatusCode, Duration) + Send + Sync + 'static,
    ) -> Self {
        Self {
            scraped: Box::new(scraped),
            ..self
        }
    }

    /// The same, with another time for a whole connection.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Serves until `closing`.
    ///
    /// # Errors
    /// When certificates are broken at the start, or do not come; never because of a client.
    pub async fn serve(
        self,
        listener: Listener,
        closing: CancellationToken,
    ) -> Result<(), ServeError> {
        let server = Arc::new(Server {
            admission: Admission::new(
                Limits {
                    connections: CONNECTIONS,
                    connections_per_peer: CONNECTIONS_PER_PEER,
                    ..Limits::default()
                },
                Arc::clone(&self.counts),
            ),
            room: Arc::new(Semaphore::new(PAGES)),
            pages: self,
            closing: closing.clone(),
            starved: Quiet::default(),
            refused: Quiet::default(),
        });
        let serving = server.accept_all(listener);
        closing.run_until_cancelled(serving).await.unwrap_or(Ok(()))
    }
}

/// What the connections share.
struct Server {
    pages: Pages,
    admission: Arc<Admission>,
    room: Arc<Semaphore>,
    closing: CancellationToken,
    starved: Quiet,
    refused: Quiet,
}

impl Server {
    async fn accept_all(self: &Arc<Self>, listener: Listener) -> Result<(), ServeError> {
        let counts = &self.pages.counts;
        let acceptor = Acceptor::open(listener, Protocol::Http1, counts, &self.closing).await?;
        loop {
            match acceptor.accept().await {
                Ok((socket, peer)) => match self.admission.admit(peer) {
                    Ok(admitted) => {
                        let serving = Arc::clone(self).serve(socket, acceptor.tls(), admitted);
                        let closing = self.closing.clone();
                        tokio::spawn(closing.run_until_cancelled_owned(serving));
                    }
                    Err(refusal) => self.refuse(peer, refusal),
                },
                Err(error) => {
                    counts.refuse(Refusal::Accept);
                    if let Some(times) = self.starved.happened() {
                        warn!(%error, times, "cannot accept a connection to the metrics");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn refuse(&self, peer: Peer, refusal: Refusal) {
        self.pages.counts.refuse(refusal);
        if let Some(times) = self.refused.happened() {
            let reason = refusal.name();
            warn!(%peer, reason, times, "too many connections to the metrics: turned one away");
        }
    }

    /// Gives one answer.
    async fn serve(
        self: Arc<Self>,
        socket: Socket,
        tls: Option<Arc<ServerConfig>>,
        admitted: Admitted,
    ) {
        let counts = Arc::clone(&self.pages.counts);
        match tokio::time::timeout(self.pages.patience, Arc::clone(&self).answer(socket, tls)).await
        {
            Ok(Ok(())) => {}
            Ok(Err(Failure { refusal, reason })) => {
                counts.refuse(refusal);
                debug!(
                    refusal = refusal.name(),
                    reason, "refused a client of the metrics"
                );
            }
            Err(_) => counts.refuse(Refusal::Slow),
        }
        drop(admitted);
    }

    async fn answer(
        self: Arc<Self>,
        socket: Socket,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<(), Failure> {
        let connection = Connection::meet(socket, tls).await?;
        // Kept until the answer was taken, or the connection has ended.
        let permit = Arc::new(OnceLock::new());
        let service = service_fn(|request| {
            let (server, permit) = (Arc::clone(&self), Arc::clone(&permit));
            async move { Ok::<_, Infallible>(server.respond(&request, &permit).await) }
        });
        let serving = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST)
            .max_buf_size(REQUEST_BYTES)
            .serve_connection(TokioIo::new(connection), service);
        match serving.await {
            Ok(()) => Ok(()),
            Err(error) if error.is_timeout() => Err(Refusal::RequestTimeout.into()),
            Err(error) if error.is_parse() => Err(Refusal::Broken.into()),
            // It went away.
            Err(_) => Ok(()),
        }
    }

    async fn respond<B>(
        &self,
        request: &Request<B>,
        permit: &OnceLock<OwnedSemaphorePermit>,
    ) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => {
                if let Ok(room) = Arc::clone(&self.room).acquire_owned().await {
                    // There is one request for each connection.
                    drop(permit.set(room));
                }
                let begun = Instant::now();
                let response = self.metrics(request.headers()).await;
                (self.pages.scraped)(response.status(), begun.elapsed());
                response
            }
            "/healthz" => plain(StatusCode::OK, "alive\n"),
            "/readyz" => {
                let Readiness { is_ready, reason } = (self.pages.readiness)();
                let code = match is_ready {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                plain(code, format!("{reason}\n"))
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz and /readyz\n",
            ),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let (registry, headers) = (Arc::clone(&self.pages.registry), headers.clone());
        // A page of a hundred thousand series takes a while, in which others want to be served.
        let made = tokio::task::spawn_blocking(move || MetricsPage::of(&registry, &headers));
        let failed = |error: &dyn fmt::Display| {
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot tell the metrics: {error}\n"),
            )
        };
        match made.await {
            Ok(Ok(page)) => response(StatusCode::OK, page.content_type, page.text),
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }
}

fn plain(code: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(code, "text/plain; charset=utf-8", text)
}

fn response(
    code: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = code;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
