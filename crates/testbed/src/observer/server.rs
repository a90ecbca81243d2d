//! A server that runs beside a test, in a runtime of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use flow_api::{
    HEALTH_SERVICE, observer::GetFlowsRequest, peer::peer_server::PeerServer,
    service::observer_server::ObserverServer,
};
use futures::Stream;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    runtime::Runtime,
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::{ServerTlsConfig, server::Connected};
use tonic_health::ServingStatus;

use super::{Script, Scripted};

/// Serves a script, and health, until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: String,
    asked: Arc<Mutex<Vec<GetFlowsRequest>>>,
    runtime: Option<Runtime>,
    /// Where its socket is.
    _folder: Option<TempDir>,
}

impl Server {
    /// Serves at a Unix socket.
    ///
    /// # Errors
    /// When the system has no room for one.
    pub fn at_socket(script: impl Script) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("observer.sock");
        let runtime = Runtime::new()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(&path).context("cannot listen")?
        };
        let incoming = UnixListenerStream::new(listener);
        let address = format!("unix://{}", path.display());
        Self::start(script, incoming, None, address, runtime, Some(folder))
    }

    /// Serves at a free port of loopback, with TLS if that is given.
    ///
    /// # Errors
    /// When there is none, or the certificate is no good.
    pub fn at_port(script: impl Script, tls: Option<ServerTlsConfig>) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address: SocketAddr = listener.local_addr()?;
        let runtime = Runtime::new()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let incoming = TcpListenerStream::new(listener);
        Self::start(script, incoming, tls, address.to_string(), runtime, None)
    }

    fn start<C>(
        script: impl Script,
        incoming: impl Stream<Item = io::Result<C>> + Send + 'static,
        tls: Option<ServerTlsConfig>,
        address: String,
        runtime: Runtime,
        folder: Option<TempDir>,
    ) -> Result<Self>
    where
        C: AsyncRead
            + AsyncWrite
            + Connected<ConnectInfo: Clone + Send + Sync>
            + Unpin
            + Send
            + 'static,
    {
        let scripted = Scripted::new(script);
        let asked = scripted.asked();
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls)?;
        }
        runtime.spawn(async move {
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter
                .set_service_status(HEALTH_SERVICE, ServingStatus::Serving)
                .await;
            let served = server
                .add_service(health)
                .add_service(PeerServer::new(scripted.clone()))
                .add_service(ObserverServer::new(scripted))
                .serve_with_incoming(incoming);
            if let Err(error) = served.await {
                tracing::error!(%error, "scripted server ended");
            }
        });
        Ok(Self {
            address,
            asked,
            runtime: Some(runtime),
            _folder: folder,
        })
    }

    /// Where it serves, as clients name it.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The requests for flows so far.
    #[must_use]
    pub fn asked(&self) -> Vec<GetFlowsRequest> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Streams may never end, and a test's own runtime must not wait.
            runtime.shutdown_background();
        }
    }
}
