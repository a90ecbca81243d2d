//! Everything but flows: nodes, namespaces, status, headers, discovery.

use std::time::{Duration, Instant};

use crate::health::{asked, health_client};
use crate::support::{Cluster, FakePeer, Item, LONG, PeerList, absent_peer, config};
use flow_api::HUBBLE_VERSION;
use flow_api::observer::{
    GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
    GetNodesRequest, Node, ServerStatusRequest, ServerStatusResponse, Tls,
};
use flow_api::relay::NodeState;
use relay::{Config, Listen, Relay};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;

fn numbers(flows: u64) -> ServerStatusResponse {
    ServerStatusResponse {
        num_flows: flows,
        max_flows: 4095,
        seen_flows: flows * 10,
        uptime_ns: flows * 1_000_000_000,
        version: format!("palomar v{flows}"),
        flows_rate: 0.5,
        ..Default::default()
    }
}

#[tokio::test]
async fn status_sums_over_those_that_answer() {
    let (a, b, bad) = (FakePeer::new("a"), FakePeer::new("b"), FakePeer::new("bad"));
    a.set_status(numbers(7));
    b.set_status(numbers(5));
    bad.refuse(Status::internal("no"));
    let mut config = config();
    config.peers = vec![a.listed(), b.listed(), bad.listed(), absent_peer("x")];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(2).await;

    let status = client
        .grpc
        .server_status(ServerStatusRequest {})
        .await
        .unwrap()
        .into_inner();

    let expected = ServerStatusResponse {
        num_flows: 12,
        max_flows: 8190,
        seen_flows: 120,
        uptime_ns: 7_000_000_000,
        num_connected_nodes: Some(2),
        num_unavailable_nodes: Some(2),
        unavailable_nodes: vec!["bad".into(), "x".into()],
        version: "palomar-relay v0.1.0".into(),
        flows_rate: 1.0,
    };
    assert_eq!(status, expected);
}

#[tokio::test]
async fn ten_names_of_unavailable_nodes_are_enough() {
    let mut config = config();
    config.peers = (0..12)
        .map(|n| absent_peer(&format!("node-{n:02}")))
        .collect();
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    let status = client
        .grpc
        .server_status(ServerStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.num_unavailable_nodes, Some(12));
    assert_eq!(status.unavailable_nodes.len(), 10);
}

#[tokio::test]
async fn every_known_node_is_listed_with_its_state() {
    let (a, bad) = (FakePeer::new("a"), FakePeer::new("bad"));
    a.set_status(numbers(7));
    bad.refuse(Status::internal("no"));
    let mut config = config();
    config.peers = vec![bad.listed(), a.listed(), absent_peer("x")];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(1).await;
    client.unavailable_nodes(1).await;

    let nodes = client
        .grpc
        .get_nodes(GetNodesRequest {})
        .await
        .unwrap()
        .into_inner()
        .nodes;

    let node = |name: &str, address: String, state: NodeState| Node {
        name: name.into(),
        address,
        state: state.into(),
        tls: Some(Tls::default()),
        ..Node::default()
    };
    let connected = Node {
        version: "palomar v7".into(),
        uptime_ns: 7_000_000_000,
        num_flows: 7,
        max_flows: 4095,
        seen_flows: 70,
        ..node("a", a.address(), NodeState::NodeConnected)
    };
    let expected = [
        connected,
        node("bad", bad.address(), NodeState::NodeError),
        node(
            "x",
            "unix:///nonexistent/x.sock".into(),
            NodeState::NodeUnavailable,
        ),
    ];
    assert_eq!(nodes, expected);
}

#[tokio::test]
async fn namespaces_are_the_sorted_union_of_those_that_answer() {
    let (a, b, bad) = (FakePeer::new("a"), FakePeer::new("b"), FakePeer::new("bad"));
    a.set_namespaces(&[("", "shop"), ("east", "a")]);
    b.set_namespaces(&[("", "shop"), ("", "bank"), ("east", "Z")]);
    bad.refuse(Status::internal("no"));
    let mut config = config();
    config.peers = vec![a.listed(), b.listed(), bad.listed()];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(2).await;
    let answer = client
        .grpc
        .get_namespaces(GetNamespacesRequest {})
        .await
        .unwrap()
        .into_inner();
    let found: Vec<_> = answer
        .namespaces
        .iter()
        .map(|n| (n.cluster.as_str(), n.namespace.as_str()))
        .collect();
    assert_eq!(
        found,
        [("", "bank"), ("", "shop"), ("east", "Z"), ("east", "a")]
    );
}

#[tokio::test]
async fn every_answer_says_which_relay_gave_it() {
    let cluster = Cluster::over(&[&FakePeer::new("a")]).await;
    let mut client = cluster.client().await;
    let answer = client
        .grpc
        .server_status(ServerStatusRequest {})
        .await
        .unwrap();
    assert_eq!(
        answer.metadata().get("hubble-relay-version").unwrap(),
        HUBBLE_VERSION
    );
    let flows = client
        .grpc
        .get_flows(GetFlowsRequest::default())
        .await
        .unwrap();
    assert_eq!(
        flows.metadata().get("hubble-relay-version").unwrap(),
        HUBBLE_VERSION
    );
}

#[tokio::test]
async fn agent_events_of_all_nodes_come_in_the_order_of_time() {
    let (a, b, bad) = (FakePeer::new("a"), FakePeer::new("b"), FakePeer::new("bad"));
    [1, 4].iter().for_each(|millis| a.agent_event(*millis));
    [2, 3].iter().for_each(|millis| b.agent_event(*millis));
    bad.refuse(Status::internal("no"));
    let mut config = config();
    config.peers = vec![a.listed(), b.listed(), bad.listed()];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(2).await;
    for follow in [false, true] {
        let request = GetAgentEventsRequest {
            follow,
            ..Default::default()
        };
        let events = client.grpc.get_agent_events(request).await.unwrap();
        let mut events = events.into_inner();
        for expected in ["a", "b", "b", "a"] {
            let next = tokio::time::timeout(LONG, events.message()).await.unwrap();
            assert_eq!(next.unwrap().unwrap().node_name, expected);
        }
        if !follow {
            assert!(events.message().await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn events_that_no_node_has_are_an_error_and_not_an_empty_answer() {
    let peer = FakePeer::new("a");
    let cluster = Cluster::over(&[&peer]).await;
    let mut client = cluster.client().await;
    for follow in [false, true] {
        let request = GetDebugEventsRequest {
            follow,
            ..Default::default()
        };
        let events = client.grpc.get_debug_events(request).await.unwrap();
        let error = events.into_inner().message().await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let expected = "no node answers: rpc error: code = Unimplemented desc = GetDebugEvents not \
                        implemented";
        assert_eq!(error.message(), expected);
    }
}

#[tokio::test]
async fn peers_stay_while_the_peer_service_is_away_and_go_when_it_no_longer_names_them() {
    let (a, b) = (
        FakePeer::with_flows("a", [1]),
        FakePeer::with_flows("b", [2]),
    );
    let mut list = PeerList::of(&[&a, &b]);
    let mut config = config();
    config.peer_service = Some(list.address().parse().unwrap());
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.connected_nodes(2).await;
    let mut health = health_client(&cluster).await;
    assert_eq!(
        health.check(asked("")).await.unwrap().get_ref().status(),
        ServingStatus::Serving
    );

    list.kill();
    let start = Instant::now();
    while health.check(asked("")).await.unwrap().get_ref().status() == ServingStatus::Serving {
        assert!(start.elapsed() < LONG);
    }
    let items = client.all(GetFlowsRequest::default()).await;
    assert_eq!(
        items[0],
        Item::status(NodeState::NodeConnected, &["a", "b"])
    );

    list.set(&[&b]);
    list.start();
    client.connected_nodes(1).await;
    let items = client.all(GetFlowsRequest::default()).await;
    assert_eq!(items[0], Item::status(NodeState::NodeConnected, &["b"]));
}

#[tokio::test]
async fn an_address_in_use_is_named_together_with_what_to_do() {
    let listen: Listen = "127.0.0.1:0".parse().unwrap();
    let config = Config {
        listen: vec![listen],
        peers: vec![absent_peer("x")],
        ..config()
    };
    let first = Relay::bind(config.clone()).await.unwrap();
    let taken = first.addresses()[0].to_string();
    let error = Relay::bind(Config {
        listen: vec![taken.parse().unwrap()],
        ..config.clone()
    })
    .await
    .unwrap_err()
    .to_string();
    let expected = format!(
        "cannot listen on {taken}: the address is in use, stop what listens there or choose another \
         one"
    );
    assert_eq!(error, expected);

    let listen: Listen = "unix:///proc/nonexistent/relay.sock".parse().unwrap();
    let listen = vec![listen];
    let error = Relay::bind(Config { listen, ..config })
        .await
        .unwrap_err()
        .to_string();
    let expected = "cannot listen on unix:///proc/nonexistent/relay.sock: ";
    assert!(error.starts_with(expected), "{error}");
}

#[tokio::test]
async fn a_relay_without_any_peers_refuses_to_run() {
    let error = Relay::bind(Config::default())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "no peers: name a peer service or at least one peer");
}

#[tokio::test]
async fn a_peer_that_hangs_costs_the_others_nothing_but_time() {
    // A socket on which nobody speaks gRPC: connecting works, answers never come.
    let mute = tempfile::tempdir().unwrap();
    let path = mute.path().join("mute.sock");
    let _listener = tokio::net::UnixListener::bind(&path).unwrap();
    let good = FakePeer::new("good");
    let mut config = config();
    config.peers = vec![
        good.listed(),
        format!("mute=unix://{}", path.display()).parse().unwrap(),
    ];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    let start = Instant::now();
    let status = client
        .grpc
        .server_status(ServerStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.num_connected_nodes, Some(1));
    assert_eq!(status.unavailable_nodes, ["mute"]);
    assert!(start.elapsed() < Duration::from_secs(8));
}
