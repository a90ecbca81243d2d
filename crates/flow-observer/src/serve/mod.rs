//! The gRPC edge: what a node answers.

mod agent;
mod coverage;
mod health;
mod mask;
mod observer;
mod peer;
mod query;
mod rate;
mod responses;

use std::{sync::Arc, time::Duration};

use flow_api::{
    FILE_DESCRIPTOR_SET, HUBBLE_VERSION, palomar::agent_server::AgentServer,
    peer::peer_server::PeerServer, service::observer_server::ObserverServer,
};
use http::HeaderValue;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tower::util::MapResponseLayer;
use tracing::warn;

use crate::{agent::AgentError, encode::NodeFacts, ring::FlowRing};

pub(crate) use agent::AgentService;
pub(crate) use observer::ObserverService;
pub(crate) use peer::{Announcing, PeerService, full_name, told_cluster};
pub(crate) use rate::FlowRate;

/// The header in which servers tell their version.
const VERSION_HEADER: &str = "hubble-server-version";

/// How long open streams may take to end once the agent is closing. A client that does not read
/// would hold them open for ever.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves until `closing`, healthy until `ending`, and then until the open streams have ended with a status of their own.
pub(crate) async fn run(
    listener: UnixListener,
    observer: ObserverService,
    agent: AgentService,
    peers: PeerService,
    ending: CancellationToken,
    closing: CancellationToken,
) -> Result<(), AgentError> {
    let version = MapResponseLayer::new(|mut response: http::Response<tonic::body::Body>| {
        let version = HeaderValue::from_static(HUBBLE_VERSION);
        response.headers_mut().insert(VERSION_HEADER, version);
        response
    });
    let health = health::service(ending, closing.clone()).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // Each version describes the other, too: both are served.
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
    };
    let server = Server::builder()
        .layer(version)
        .add_service(ObserverServer::new(observer))
        .add_service(AgentServer::new(agent))
        .add_service(PeerServer::new(peers))
        .add_service(health)
        .add_service(reflection().build_v1().map_err(AgentError::Reflection)?)
        .add_service(
            reflection()
                .build_v1alpha()
                .map_err(AgentError::Reflection)?,
        )
        .serve_with_incoming_shutdown(
            UnixListenerStream::new(listener),
            closing.clone().cancelled_owned(),
        );
    let too_late = async {
        closing.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = server => served.map_err(AgentError::Serve),
        () = too_late => {
            warn!("clients did not let go of their streams in time");
            Ok(())
        }
    }
}

/// Answers for a ring that somebody else fills, on a Unix socket, until `closing`. For benchmarks: no
/// source, nobody known, no other service.
///
/// # Errors
/// When the socket breaks.
#[doc(hidden)]
pub async fn serve_ring(
    listener: UnixListener,
    ring: Arc<FlowRing>,
    node_name: &str,
    closing: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let observer = ObserverService {
        ring,
        agent_events: Arc::new(FlowRing::new(1)),
        rate: FlowRate::default(),
        node: Arc::new(NodeFacts {
            name: node_name.to_owned(),
            directory: None,
        }),
        counters: Arc::default(),
        namespaces: Arc::default(),
        cluster: String::new(),
        shutdown: closing.clone(),
    };
    Server::builder()
        .add_service(ObserverServer::new(observer))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), closing.cancelled_owned())
        .await
}
