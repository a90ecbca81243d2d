//! `GetAgentEvents`.

use flow_api::{
    flow::{AgentEventType, agent_event::Notification},
    observer::{GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest},
};
use testbed::api_server::{ApiServer, objects};
use tonic::Streaming;

use crate::support::{Agent, DEADLINE, NODE, Setup};

async fn next(events: &mut Streaming<GetAgentEventsResponse>) -> (String, String) {
    let next = tokio::time::timeout(DEADLINE, events.message()).await;
    let response = next.unwrap().unwrap().unwrap();
    assert_eq!(response.node_name, NODE);
    assert!(response.time.is_some());
    let event = response.agent_event.unwrap();
    let about = match event.notification.as_ref().unwrap() {
        Notification::EndpointUpdate(it) => it.pod_name.clone(),
        Notification::IpcacheUpdate(it) => format!("{} {}", it.cidr, it.pod_name),
        _ => String::new(),
    };
    (event.r#type().as_str_name().to_owned(), about)
}

fn last(number: u64, follow: bool) -> GetAgentEventsRequest {
    GetAgentEventsRequest {
        number,
        follow,
        ..GetAgentEventsRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_server_says_is_followed_as_it_happens() {
    let server = ApiServer::start().unwrap();
    let files = tempfile::tempdir().unwrap();
    let kubeconfig = files.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    server.put(objects::namespace("shop", &[]));
    server.put(objects::node(NODE, "192.0.2.11"));
    server.put(objects::pod("shop", "web-0", "10.1.0.1", NODE));
    server.put(objects::pod("shop", "elsewhere-0", "10.2.0.1", "node-2"));
    let agent = Agent::start(Setup {
        kubeconfig: Some(kubeconfig),
        ..Setup::default()
    })
    .await;
    let mut client = agent.observer();
    let events = client.get_agent_events(last(20, true)).await;
    let mut events = events.unwrap().into_inner();
    let row = |kind: AgentEventType, about: &str| (kind.as_str_name().to_owned(), about.to_owned());
    assert_eq!(
        next(&mut events).await,
        row(AgentEventType::AgentStarted, "")
    );
    // The pod here is told although it was there before; that of another node is no news.
    assert_eq!(
        next(&mut events).await,
        row(AgentEventType::EndpointCreated, "web-0")
    );
    server.put(objects::pod("shop", "late-0", "10.2.0.2", "node-2"));
    // The list may still be under way, in which this pod is part of it: it comes again.
    let mut ip = 2;
    let told = loop {
        match tokio::time::timeout(std::time::Duration::from_secs(1), next(&mut events)).await {
            Ok(told) => break told,
            Err(_elapsed) => {
                ip += 1;
                assert!(ip < 20, "no news of a pod of another node");
                let address = format!("10.2.0.{ip}");
                server.put(objects::pod("shop", "late-0", &address, "node-2"));
            }
        }
    };
    assert!(
        told.1.ends_with(" late-0") || told.0 == "IPCACHE_DELETED",
        "{told:?}"
    );
    agent.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_inventory_is_told_and_a_number_counts_agent_events_only() {
    let endpoint = "endpoints: [{ ips: [10.1.1.1], namespace: shop, pod: web-0 }]\n";
    let agent = Agent::start(Setup {
        inventory: endpoint.to_owned(),
        ..Setup::default()
    })
    .await;
    let mut client = agent.observer();
    let all = client.get_agent_events(last(u64::MAX, false)).await;
    let mut all = all.unwrap().into_inner();
    assert_eq!(next(&mut all).await.0, "AGENT_STARTED");
    assert_eq!(next(&mut all).await.0, "ENDPOINT_CREATED");
    assert_eq!(all.message().await.unwrap(), None);

    let mut follow = client
        .get_agent_events(last(1, true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next(&mut follow).await.0, "ENDPOINT_CREATED");
    std::fs::write(agent.files.path().join("inventory.yaml"), "endpoints: []\n").unwrap();
    let row = |kind: &str, about: &str| (kind.to_owned(), about.to_owned());
    assert_eq!(next(&mut follow).await, row("ENDPOINT_DELETED", "web-0"));
    assert_eq!(
        next(&mut follow).await,
        row("IPCACHE_DELETED", "10.1.1.1/32 web-0")
    );
    let first = GetAgentEventsRequest {
        number: 1,
        first: true,
        ..GetAgentEventsRequest::default()
    };
    let mut first = client.get_agent_events(first).await.unwrap().into_inner();
    assert_eq!(next(&mut first).await.0, "AGENT_STARTED");
    assert_eq!(first.message().await.unwrap(), None);
    let debug = client
        .get_debug_events(GetDebugEventsRequest::default())
        .await;
    assert_eq!(debug.unwrap().into_inner().message().await.unwrap(), None);
    agent.ended().await;
}
