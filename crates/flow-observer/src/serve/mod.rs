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

use std::sync::Arc;

use flow_api::{
    FILE_DESCRIPTOR_SET, HUBBLE_VERSION,
    palomar::agent_server::AgentServer,
    peer::peer_server::PeerServer,
    server::{
        CallCounts, Counted, Limits, Listener, Method, OBSERVER_METHODS, STANDARD_METHODS,
        ServeError, Server, ServerCounts,
    },
    service::observer_server::ObserverServer,
};
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::{ServiceBuilder, util::MapResponseLayer};

use crate::{agent::AgentError, encode::NodeFacts, ring::FlowRing};

pub(crate) use agent::AgentService;
pub(crate) use mask::{Choice, Mask};
pub(crate) use observer::ObserverService;
pub(crate) use peer::{Announcing, PeerService, full_name, told_cluster};
pub(crate) use rate::FlowRate;

/// The header in which servers tell their version.
const VERSION_HEADER: &str = "hubble-server-version";

/// Counts of the calls that a node answers.
pub(crate) fn call_counts() -> CallCounts {
    let own = [
        Method::server_stream("peer.Peer", "Notify"),
        Method::unary("palomar.Agent", "GetAgentStatus"),
    ];
    CallCounts::new(
        OBSERVER_METHODS
            .into_iter()
            .chain(own)
            .chain(STANDARD_METHODS),
    )
}

/// Who answers calls.
pub(crate) struct Services {
    pub(crate) observer: ObserverService,
    pub(crate) agent: AgentService,
    pub(crate) peers: PeerService,
}

/// Serves until `closing`, healthy until `ending`, and then until the open streams have ended with a
/// status of their own.
pub(crate) async fn run(
    listeners: Vec<Listener>,
    services: Services,
    counts: Arc<ServerCounts>,
    calls: Arc<CallCounts>,
    ending: CancellationToken,
    closing: CancellationToken,
) -> Result<(), AgentError> {
    let Services {
        observer,
        agent,
        peers,
    } = services;
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
    let routes = Routes::new(ObserverServer::new(observer))
        .add_service(AgentServer::new(agent))
        .add_service(PeerServer::new(peers))
        .add_service(health)
        .add_service(reflection().build_v1().map_err(AgentError::Reflection)?)
        .add_service(
            reflection()
                .build_v1alpha()
                .map_err(AgentError::Reflection)?,
        )
        .prepare();
    let service = ServiceBuilder::new()
        .layer(version)
        .service(Counted::new(routes, calls));
    Server::new(Limits::default(), counts)
        .serve(listeners, service, closing)
        .await?;
    Ok(())
}

/// Answers for a ring that somebody else fills, until `closing`. For benchmarks: no source, nobody
/// known, no other service.
///
/// # Errors
/// When the socket breaks.
#[doc(hidden)]
pub async fn serve_ring(
    listener: Listener,
    ring: Arc<FlowRing>,
    node_name: &str,
    closing: CancellationToken,
) -> Result<(), ServeError> {
    let node = NodeFacts {
        name: node_name.to_owned(),
        directory: None,
    };
    let observer = ObserverService::of(ring, node, closing.clone());
    let service = Routes::new(ObserverServer::new(observer)).prepare();
    Server::new(Limits::default(), Arc::default())
        .serve(vec![listener], service, closing)
        .await
}
