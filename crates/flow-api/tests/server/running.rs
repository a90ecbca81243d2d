//! A server at work.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use flow_api::{
    connect::Target,
    peer::peer_server::PeerServer,
    server::{
        Limits, Listener, Refusal, ServeError, Server, ServerCounts, SocketAccess, TlsFiles,
        TlsServer, TlsVersion,
    },
    service::observer_server::ObserverServer,
};
use tempfile::TempDir;
use testbed::observer::{Ready, Scripted};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::notifier::Notifier;

/// Nothing that is waited for takes longer, also on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) counts: Arc<ServerCounts>,
    pub(crate) made: Arc<AtomicU64>,
    pub(crate) closing: CancellationToken,
    pub(crate) server: JoinHandle<Result<(), ServeError>>,
    ticks: watch::Sender<u64>,
}

/// How a server is to run.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) tls: Option<TlsServer>,
    /// Messages as fast as they are read.
    pub(crate) is_endless: bool,
    /// Streams do not care whether the server closes.
    pub(crate) is_stubborn: bool,
}

pub(crate) fn tls(folder: impl Into<PathBuf>) -> TlsServer {
    TlsServer {
        files: TlsFiles::Folder(folder.into()),
        oldest: TlsVersion::Tls13,
        wait: PATIENCE,
    }
}

impl Running {
    /// Serves on a Unix socket and on a port.
    pub(crate) async fn start(setup: Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("observer.sock");
        let unix = Listener::unix(&socket, &SocketAccess::default())
            .await
            .unwrap();
        let tcp = Listener::tcp("127.0.0.1:0".parse().unwrap(), setup.tls).unwrap();
        let address = tcp.address().unwrap();
        let counts = Arc::new(ServerCounts::default());
        let closing = CancellationToken::new();
        let made = Arc::new(AtomicU64::new(0));
        let (ticks, ticked) = watch::channel(0);
        let notifier = Notifier {
            made: Arc::clone(&made),
            ticks: (!setup.is_endless).then_some(ticked),
            closing: (!setup.is_stubborn).then(|| closing.clone()),
        };
        let routes = Routes::new(PeerServer::new(notifier))
            .add_service(ObserverServer::new(Scripted::new(Ready::default())));
        let server = Server::new(setup.limits, Arc::clone(&counts));
        let serving = server.serve(vec![unix, tcp], routes, closing.clone());
        Self {
            folder,
            address,
            counts,
            made,
            closing,
            server: tokio::spawn(serving),
            ticks,
        }
    }

    pub(crate) fn tcp(&self) -> Target {
        self.address.to_string().parse().unwrap()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("observer.sock")
    }

    pub(crate) fn unix(&self) -> Target {
        Target::Unix(self.socket())
    }

    /// Makes each open stream say one thing more.
    pub(crate) fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> u64 {
        let mut counts = self.counts.refused();
        counts
            .find(|(reason, _)| *reason == refusal)
            .map_or(0, |(_, count)| count)
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let begun = Instant::now();
    async move {
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
