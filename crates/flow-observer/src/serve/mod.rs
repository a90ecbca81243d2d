//! The gRPC edge: what a node answers.

mod agent;
mod mask;
mod observer;
mod peer;
mod query;

use std::sync::Arc;

use flow_api::{
    FILE_DESCRIPTOR_SET, HEALTH_SERVICE, HUBBLE_VERSION,
    palomar::agent_server::AgentServer,
    peer::peer_server::PeerServer,
    server::{Limits, Listener, Server, ServerCounts},
    service::observer_server::ObserverServer,
};
use http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tower::{ServiceBuilder, util::MapResponseLayer};

use crate::agent::AgentError;

pub(crate) use agent::AgentService;
pub(crate) use observer::ObserverService;
pub(crate) use peer::{PeerService, peer_nodes};

/// The header in which servers tell their version.
const VERSION_HEADER: &str = "hubble-server-version";

/// Serves until `closing`, and then until the open streams have ended with a status of their own.
pub(crate) async fn run(
    listeners: Vec<Listener>,
    counts: Arc<ServerCounts>,
    observer: ObserverService,
    agent: AgentService,
    peers: PeerService,
    closing: CancellationToken,
) -> Result<(), AgentError> {
    let version = MapResponseLayer::new(|mut response: http::Response<tonic::body::Body>| {
        let version = HeaderValue::from_static(HUBBLE_VERSION);
        response.headers_mut().insert(VERSION_HEADER, version);
        response
    });
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(HEALTH_SERVICE, ServingStatus::Serving)
        .await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
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
    let service = ServiceBuilder::new().layer(version).service(routes);
    Server::new(Limits::default(), counts)
        .serve(listeners, service, closing)
        .await?;
    Ok(())
}
