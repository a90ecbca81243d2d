//! What a relay says of itself: whether it is well, and what it offers.

use crate::support::{Cluster, FakePeer, LONG, config};
use flow_api::connect::{ConnectOptions, connect};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// To ask the relay for its health.
pub(crate) async fn health_client(cluster: &Cluster) -> HealthClient<tonic::transport::Channel> {
    HealthClient::new(
        connect(&cluster.address, &ConnectOptions::default())
            .await
            .unwrap(),
    )
}

pub(crate) fn asked(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.into(),
    }
}

#[tokio::test]
async fn health_follows_the_peers() {
    let mut peer = FakePeer::down("a");
    let mut config = config();
    config.peers = vec![peer.listed()];
    let cluster = Cluster::start(config).await;
    cluster.client().await.unavailable_nodes(1).await;
    let mut health = health_client(&cluster).await;
    let mut watch = health
        .watch(asked("hubble.server.Observer"))
        .await
        .unwrap()
        .into_inner();
    for expected in [
        ServingStatus::NotServing,
        ServingStatus::Serving,
        ServingStatus::NotServing,
    ] {
        let next = tokio::time::timeout(LONG, watch.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(next.status(), expected);
        for service in ["", "hubble.server.Observer"] {
            let now = health.check(asked(service)).await.unwrap().into_inner();
            assert_eq!(now.status(), expected);
        }
        if peer.path().exists() {
            peer.kill()
        } else {
            peer.start()
        }
    }
}

#[tokio::test]
async fn health_of_an_unknown_service_is_unknown() {
    let cluster = Cluster::over(&[&FakePeer::new("a")]).await;
    let mut health = health_client(&cluster).await;
    let refused = health.check(asked("observer.Observer")).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let mut watch = health
        .watch(asked("observer.Observer"))
        .await
        .unwrap()
        .into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
}

#[tokio::test]
async fn reflection_lists_what_is_offered_and_not_the_peer_service() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let cluster = Cluster::over(&[&FakePeer::new("a")]).await;
    let channel = connect(&cluster.address, &ConnectOptions::default())
        .await
        .unwrap();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let requests = tokio_stream::iter([request]);
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(requests)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else {
        panic!("a list: {answer:?}");
    };
    let mut names: Vec<_> = list
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort_unstable();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "observer.Observer",
    ];
    assert_eq!(names, expected);
}
