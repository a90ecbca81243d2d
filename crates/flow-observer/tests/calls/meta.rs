//! Status, namespaces, health and reflection.

use flow_api::{
    HEALTH_SERVICE,
    observer::{GetNamespacesRequest, GetNodesRequest, ServerStatusRequest},
    palomar::{GetAgentStatusRequest, agent_client::AgentClient},
};
use futures::stream;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Agent, DEADLINE, Setup, flow_line, now_millis};

fn flows(newest_millis: i64, namespaces: &[&str]) -> String {
    let count = namespaces.len() as i64;
    let lines = (0..)
        .zip(namespaces)
        .map(|(at, namespace)| flow_line(newest_millis - (count - 1 - at) * 1_000, namespace));
    lines.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_exact_numbers_and_namespaces_are_sorted_under_their_cluster() {
    let newest = now_millis();
    let agent = Agent::start(Setup {
        flows: flows(newest, &["shop", "db", "shop", "api"]),
        cluster: Some("west"),
        ..Setup::default()
    })
    .await;
    agent.await_flows(4).await;
    let mut client = agent.observer();
    let status = client.server_status(ServerStatusRequest {}).await.unwrap();
    let status = status.into_inner();
    assert_eq!(
        (status.num_flows, status.max_flows, status.seen_flows),
        (4, 4095, 4)
    );
    assert!(
        status.version.starts_with("palomar v"),
        "{}",
        status.version
    );
    assert!(status.uptime_ns > 0);
    assert_eq!(status.num_connected_nodes, None);
    // Four flows since three seconds ago, and it is a little later now.
    assert!(
        status.flows_rate > 0.1 && status.flows_rate <= 4.0 / 3.0,
        "{}",
        status.flows_rate
    );
    let told = client
        .get_namespaces(GetNamespacesRequest {})
        .await
        .unwrap();
    let namespaces: Vec<_> = told
        .into_inner()
        .namespaces
        .into_iter()
        .map(|it| format!("{}/{}", it.cluster, it.namespace))
        .collect();
    assert_eq!(namespaces, ["west/api", "west/db", "west/shop"]);
    let error = client.get_nodes(GetNodesRequest {}).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::Unimplemented, "GetNodes not implemented")
    );
    let mut own = AgentClient::new(agent.channel.clone());
    let status = own
        .get_agent_status(GetAgentStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    let seconds = |time: Option<prost_types::Timestamp>| time.unwrap().seconds;
    assert_eq!(seconds(status.newest) - seconds(status.oldest), 3);
    agent.ended().await;
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_for_both_names_and_its_end_to_those_who_watch() {
    let agent = Agent::start(Setup::default()).await;
    let mut client = HealthClient::new(agent.channel.clone());
    let serving = ServingStatus::Serving as i32;
    let mut watching = Vec::new();
    for name in ["", HEALTH_SERVICE] {
        let answer = client.check(about(name)).await.unwrap().into_inner();
        assert_eq!(answer.status, serving, "{name}");
        let mut watch = client.watch(about(name)).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, serving);
        watching.push(watch);
    }
    let error = client.check(about("observer.Observer")).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    agent.shut_down();
    for watch in &mut watching {
        let next = tokio::time::timeout(DEADLINE, watch.message()).await;
        let status = next.unwrap().unwrap().unwrap().status;
        assert_eq!(status, ServingStatus::NotServing as i32);
        assert_eq!(watch.message().await.unwrap(), None, "a clean end");
    }
    agent.ended().await;
}

const SERVICES: [&str; 6] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "observer.Observer",
    "palomar.Agent",
    "peer.Peer",
];

/// Lists the services and asks for the file of each, in one version of the protocol.
macro_rules! reflect {
    ($channel:expr, $version:ident) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new($channel);
        let request = |message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let list = [request(MessageRequest::ListServices(String::new()))];
        let describe =
            SERVICES.map(|name| request(MessageRequest::FileContainingSymbol(name.to_owned())));
        let asked = stream::iter(list.into_iter().chain(describe));
        let answers = client.server_reflection_info(asked).await.unwrap();
        let mut answers = answers.into_inner();
        let mut listed = Vec::new();
        let mut described = 0;
        while let Some(answer) = answers.message().await.unwrap() {
            match answer.message_response.unwrap() {
                MessageResponse::ListServicesResponse(list) => {
                    listed.extend(list.service.into_iter().map(|it| it.name));
                }
                MessageResponse::FileDescriptorResponse(files) => {
                    assert!(files.file_descriptor_proto.iter().all(|it| !it.is_empty()));
                    described += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        listed.sort();
        (listed, described)
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_and_describes_all_services_in_both_versions() {
    let agent = Agent::start(Setup::default()).await;
    let expected = (SERVICES.map(str::to_owned).to_vec(), SERVICES.len());
    assert_eq!(reflect!(agent.channel.clone(), v1), expected);
    assert_eq!(reflect!(agent.channel.clone(), v1alpha), expected);
    agent.ended().await;
}
