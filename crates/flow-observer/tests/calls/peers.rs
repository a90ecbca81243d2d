//! `Peer.Notify`, with nodes that come and go while it is listened to.

use flow_api::peer::{ChangeNotification, NotifyRequest, peer_client::PeerClient};
use testbed::api_server::{ApiServer, objects};
use tonic::Streaming;

use crate::support::{Agent, DEADLINE, NODE, Setup};

async fn notify(agent: &Agent) -> Streaming<ChangeNotification> {
    let mut client = PeerClient::new(agent.channel.clone());
    client.notify(NotifyRequest {}).await.unwrap().into_inner()
}

async fn next(changes: &mut Streaming<ChangeNotification>) -> String {
    let next = tokio::time::timeout(DEADLINE, changes.message()).await;
    let change = next.unwrap().unwrap().unwrap();
    let kind = change.r#type().as_str_name();
    assert_eq!(change.tls, None, "without TLS");
    let socket = change.address.ends_with("/observer.sock");
    let address = if socket { "socket" } else { &change.address };
    format!("{kind} {} {address}", change.name)
}

async fn some(changes: &mut Streaming<ChangeNotification>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(next(changes).await);
    }
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_a_changing_inventory_are_added_updated_renamed_and_deleted() {
    let agent = Agent::start(Setup {
        inventory: "nodes:\n\
            - { name: one, address: 'unix:///run/one.sock' }\n\
            - { name: two, ips: ['2001:db8::2', 192.0.2.2] }\n\
            - { name: far, cluster: other, ips: [192.0.2.9] }\n"
            .to_owned(),
        cluster: Some("west"),
        ..Setup::default()
    })
    .await;
    let mut changes = notify(&agent).await;
    assert_eq!(
        some(&mut changes, 4).await,
        [
            "PEER_ADDED other/far 192.0.2.9",
            &format!("PEER_ADDED west/{NODE} socket"),
            "PEER_ADDED west/one unix:///run/one.sock",
            "PEER_ADDED west/two 192.0.2.2",
        ]
    );
    let changed = "nodes:\n\
        - { name: uno, address: 'unix:///run/one.sock' }\n\
        - { name: two, ips: [192.0.2.3], labels: { zone: a } }\n";
    std::fs::write(agent.files.path().join("inventory.yaml"), changed).unwrap();
    assert_eq!(
        some(&mut changes, 4).await,
        [
            "PEER_ADDED west/uno unix:///run/one.sock",
            "PEER_DELETED other/far 192.0.2.9",
            "PEER_DELETED west/one unix:///run/one.sock",
            "PEER_UPDATED west/two 192.0.2.3",
        ]
    );
    agent.shut_down();
    assert_eq!(changes.message().await.unwrap(), None, "a clean end");
    agent.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_the_cluster_are_told_as_the_api_server_tells_them() {
    let server = ApiServer::start().unwrap();
    let files = tempfile::tempdir().unwrap();
    let kubeconfig = files.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    server.put(objects::node(NODE, "192.0.2.11"));
    server.put(objects::node("node-2", "192.0.2.12"));
    let agent = Agent::start(Setup {
        kubeconfig: Some(kubeconfig),
        ..Setup::default()
    })
    .await;
    let mut changes = notify(&agent).await;
    assert_eq!(
        some(&mut changes, 2).await,
        [
            &format!("PEER_ADDED {NODE} socket"),
            "PEER_ADDED node-2 192.0.2.12"
        ]
    );
    server.put(objects::node("node-2", "192.0.2.13"));
    assert_eq!(next(&mut changes).await, "PEER_UPDATED node-2 192.0.2.13");
    server.put(objects::node("node-3", "192.0.2.14"));
    assert_eq!(next(&mut changes).await, "PEER_ADDED node-3 192.0.2.14");
    agent.ended().await;
}
