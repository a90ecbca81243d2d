//! One way to serve: a Unix socket and TCP with mutual TLS, by one server, with bounds on everything
//! that a client may claim.
//!
//! In: [`Listener`]s, gRPC services, [`Limits`]. Out: answered calls, until a token says that it is
//! enough; and [`ServerCounts`].
//!
//! ```text
//! listen ──▶ admission ──▶ connection ──▶ HTTP/2 ──▶ call ──▶ services
//!  Unix,      how many,     TLS and the    pings,     how many,
//!  TCP        and whose     preface,       windows    how long
//!                           in time
//! ```
//!
//! Each connection is a task of its own. A client that does not read stops its own streams: what
//! was encoded for them is bounded, and nobody waits for it.

mod admission;
mod call;
mod calls;
mod connection;
mod counts;
mod limits;
mod listen;
mod lots;
mod open_files;
mod page;
mod pages;
mod quiet;
mod tls;
mod watched;

use std::{
    convert::Infallible,
    error::Error as _,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Request, Response};
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::body::Body;
use tower::Service;
use tracing::{debug, info, warn};

pub use self::{
    admission::ClientName,
    calls::{CallCounts, Counted, Method, OBSERVER_METHODS, STANDARD_METHODS},
    counts::{Refusal, ServerCounts},
    limits::Limits,
    listen::{ListenError, Listener, SocketAccess, SocketFile},
    open_files::raise_open_files,
    page::MetricsPage,
    pages::{Pages, ProcessNumbers, Readiness},
    tls::{TlsClient, TlsClientFiles, TlsError, TlsFiles, TlsServer, TlsVersion},
    watched::{Stamp, Watched},
};
use self::{
    admission::{Admission, Admitted, Peer},
    call::{Bounded, Calls},
    connection::{Connection, Failure, Socket},
    listen::BACKLOG,
    lots::Lots,
    quiet::Quiet,
    tls::{Certificates, Protocol},
};

/// How long to wait when the system has no file descriptor left. Some connection will end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a server ended by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket was taken between binding and listening.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// A server that does not serve yet.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    counts: Arc<ServerCounts>,
}

impl Server {
    /// A server with these bounds, which counts there.
    #[must_use]
    pub fn new(limits: Limits, counts: Arc<ServerCounts>) -> Self {
        Self { limits, counts }
    }

    /// Serves until `closing`. Services should end their streams at the same time; those that have
    /// not ended after [`Limits::drain`] are cut.
    ///
    /// # Errors
    /// When certificates are broken at the start, or do not come; never because of a client.
    pub async fn serve<S>(
        self,
        listeners: Vec<Listener>,
        service: S,
        closing: CancellationToken,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let shared = Arc::new(Shared {
            admission: Admission::new(self.limits, Arc::clone(&self.counts)),
            calls: Calls::new(self.limits, Arc::clone(&self.counts)),
            http_unix: http(&self.limits, None),
            http_tcp: http(&self.limits, Some(self.limits.keepalive)),
            limits: self.limits,
            counts: self.counts,
            closing: closing.clone(),
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
            refused: Quiet::default(),
            failed: Quiet::default(),
            starved: Quiet::default(),
        });
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(accept_all(listener, service.clone(), Arc::clone(&shared)));
        }
        let mut served = Ok(());
        while let Some(ended) = accepting.join_next().await {
            // One that panicked is as good as one that was told to end.
            if let Ok(Err(error)) = ended {
                served = Err(error);
                break;
            }
        }
        // Sockets first, so that nobody comes who would be cut.
        accepting.shutdown().await;
        closing.cancel();
        shared.connections.close();
        if tokio::time::timeout(shared.limits.drain, shared.connections.wait())
            .await
            .is_err()
        {
            let after = shared.limits.drain;
            warn!(?after, "clients did not let go of their streams in time");
            shared.cut.cancel();
            shared.connections.wait().await;
        }
        served
    }
}

/// What all connections of a server share.
struct Shared {
    limits: Limits,
    counts: Arc<ServerCounts>,
    admission: Arc<Admission>,
    calls: Arc<Calls>,
    http_unix: http2::Builder<TokioExecutor>,
    http_tcp: http2::Builder<TokioExecutor>,
    closing: CancellationToken,
    /// Cancelled when what is still open has had its time.
    cut: CancellationToken,
    connections: TaskTracker,
    refused: Quiet,
    failed: Quiet,
    starved: Quiet,
}

/// The settings of HTTP/2, with pings where they are needed.
fn http(limits: &Limits, keepalive: Option<Duration>) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .initial_stream_window_size(limits.receive_window_bytes)
        .initial_connection_window_size(limits.receive_window_bytes)
        .max_concurrent_streams(limits.calls_per_connection)
        .max_header_list_size(limits.header_bytes)
        .max_send_buf_size(limits.send_buffer_bytes)
        .keep_alive_interval(keepalive)
        .keep_alive_timeout(limits.keepalive_timeout);
    http
}

/// Accepts connections until the server closes.
async fn accept_all<S>(
    listener: Listener,
    service: S,
    shared: Arc<Shared>,
) -> Result<(), ServeError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    let closing = shared.closing.clone();
    let accepting = async {
        let (counts, closing) = (&shared.counts, &shared.closing);
        let acceptor = Acceptor::open(listener, Protocol::Http2, counts, closing).await?;
        loop {
            match acceptor.accept().await {
                Ok((socket, peer)) => {
                    let tls = acceptor.tls();
                    accepted(socket, peer, tls, service.clone(), &shared);
                }
                Err(error) => {
                    shared.counts.refuse(Refusal::Accept);
                    if let Some(times) = shared.starved.happened() {
                        warn!(%error, times, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    closing
        .run_until_cancelled(accepting)
        .await
        .unwrap_or(Ok(()))
}

/// An open socket.
enum Acceptor {
    Unix(
        UnixListener,
        #[expect(dead_code, reason = "removes the file at the end")] SocketFile,
    ),
    Tcp(TcpListener, Option<Arc<Certificates>>),
}

impl Acceptor {
    /// Opens a socket; with TLS, when there are certificates.
    async fn open(
        listener: Listener,
        protocol: Protocol,
        counts: &Arc<ServerCounts>,
        closing: &CancellationToken,
    ) -> Result<Self, ServeError> {
        let (socket, tls) = match listener {
            Listener::Unix(listener, file) => return Ok(Self::Unix(listener, file)),
            Listener::Tcp(listener) => return Ok(Self::Tcp(listener, None)),
            Listener::Tls(socket, tls) => (socket, tls),
        };
        let counts = Arc::clone(counts);
        let (certificates, seen) = Certificates::wait_for(tls, protocol, counts).await?;
        let certificates = Arc::new(certificates);
        tokio::spawn(Arc::clone(&certificates).follow(seen, closing.clone()));
        let address = socket.local_addr();
        let address = address.unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
        let listener = socket
            .listen(BACKLOG)
            .map_err(|source| ListenError::Address { address, source })?;
        info!(%address, "serving with TLS");
        Ok(Self::Tcp(listener, Some(certificates)))
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|peer| peer.uid());
                Ok((Socket::Unix(stream), Peer::User(user)))
            }
            Self::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                // Answers are written in large pieces; the rest of one should not wait for the next. A
                // client that has gone meanwhile is noticed by whoever serves it.
                drop(stream.set_nodelay(true));
                Ok((Socket::Tcp(stream), Peer::of_address(address.ip())))
            }
        }
    }

    /// How to encrypt the next connection.
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        match self {
            Self::Unix(..) => None,
            Self::Tcp(_, certificates) => certificates.as_ref().map(|it| it.current()),
        }
    }
}

/// Serves a new connection by a task of its own, or turns it away.
fn accepted<S>(
    socket: Socket,
    peer: Peer,
    tls: Option<Arc<ServerConfig>>,
    service: S,
    shared: &Arc<Shared>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    shared.counts.accepted.fetch_add(1, Ordering::Relaxed);
    let admitted = match shared.admission.admit(peer) {
        Ok(admitted) => admitted,
        Err(refusal) => {
            shared.counts.refuse(refusal);
            if let Some(times) = shared.refused.happened() {
                let reason = refusal.name();
                warn!(%peer, reason, times, "too many connections: turned one away");
            }
            return;
        }
    };
    let service = Bounded {
        inner: service,
        calls: Arc::clone(&shared.calls),
        client: ClientName(peer),
    };
    let task = serve_connection(socket, peer, tls, service, admitted, Arc::clone(shared));
    shared.connections.spawn(task);
}

async fn serve_connection<S>(
    socket: Socket,
    peer: Peer,
    tls: Option<Arc<ServerConfig>>,
    service: Bounded<S>,
    admitted: Admitted,
    shared: Arc<Shared>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    let http = match &socket {
        // The kernel closes the socket of a process that is dead, and one that is only stopped, or
        // waits for its pager, may go on later.
        Socket::Unix(_) => &shared.http_unix,
        Socket::Tcp(_) => &shared.http_tcp,
    };
    let connection = match begun(socket, tls, &shared).await {
        Some(Ok(connection)) => connection,
        Some(Err(Failure { refusal, reason })) => {
            shared.counts.refuse(refusal);
            if let Some(reason) = reason
                && let Some(times) = shared.failed.happened()
            {
                warn!(%peer, reason, times, "refused a client");
            }
            return;
        }
        None => return,
    };
    let service = TowerToHyperService::new(service);
    let serving = http.serve_connection(TokioIo::new(Lots::new(connection)), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = shared.closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut serving => ended,
                () = shared.cut.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        if let Some(refusal) = blame(&error) {
            shared.counts.refuse(refusal);
        }
        debug!(%peer, %error, "a connection broke");
    }
    drop(admitted);
}

/// What a client did wrong whose connection broke; `None` for one that just went away.
fn blame(error: &hyper::Error) -> Option<Refusal> {
    if error.is_timeout() {
        return Some(Refusal::Silent);
    }
    let cause = error.source()?.downcast_ref::<io::Error>();
    match cause.map(io::Error::kind) {
        // Of TLS, in the midst of a connection.
        None | Some(io::ErrorKind::InvalidData) => Some(Refusal::Broken),
        Some(_) => None,
    }
}

/// A connection on which HTTP/2 has begun; `None` when the server closes meanwhile.
async fn begun(
    socket: Socket,
    tls: Option<Arc<ServerConfig>>,
    shared: &Shared,
) -> Option<Result<Connection, Failure>> {
    let handshake = shared.admission.begin_handshake();
    let beginning = Connection::begin(socket, tls);
    tokio::select! {
        begun = tokio::time::timeout(shared.limits.handshake_timeout, beginning) => {
            Some(begun.unwrap_or(Err(Refusal::HandshakeTimeout.into())))
        }
        () = handshake.cut.cancelled() => Some(Err(Refusal::HandshakeCut.into())),
        () = shared.closing.cancelled() => None,
    }
}
