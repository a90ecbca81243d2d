//! A relay that is a node of another relay.

use std::fs;
use std::path::Path;
use std::time::Duration;

use flow_api::connect::Target;
use flow_api::flow::FlowFilter;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{
    GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
};
use flow_api::relay::NodeState;
use relay::{Config, Listen, Relay, RelayError, StaticPeer};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, Cluster, FakePeer, LONG, absent_peer, config, encoded_flow, time};

/// A relay with a relay as its node, under this name.
async fn above(below: &Cluster, name: &str, nodes: usize) -> (Cluster, Client) {
    above_address(&below.address, name, nodes).await
}

/// The same at this address.
async fn above_address(below: &Target, name: &str, nodes: usize) -> (Cluster, Client) {
    let mut config = config();
    config.peers = vec![StaticPeer {
        name: name.to_owned(),
        address: below.clone(),
        tls_server_name: None,
    }];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.connected_nodes(nodes).await;
    (cluster, client)
}

/// Runs a relay over these nodes at a socket, until it is told to end.
async fn relay_at(
    socket: &Path,
    nodes: &[&FakePeer],
) -> (CancellationToken, JoinHandle<Result<(), RelayError>>) {
    let config = Config {
        listen: vec![Listen::Unix(socket.to_owned())],
        peers: nodes.iter().map(|node| node.listed()).collect(),
        ..config()
    };
    let relay = Relay::bind(config).await.unwrap();
    let shutdown = CancellationToken::new();
    (shutdown.clone(), tokio::spawn(relay.serve(shutdown)))
}

/// The name that each flow comes with.
async fn nodes_of_flows(client: &Client, request: GetFlowsRequest) -> Vec<String> {
    let mut grpc = client.grpc.clone();
    let mut stream = grpc.get_flows(request).await.unwrap().into_inner();
    let mut names = Vec::new();
    while let Some(response) = timeout(LONG, stream.message()).await.unwrap().unwrap() {
        if let Some(ResponseTypes::Flow(_)) = response.response_types {
            names.push(response.node_name);
        }
    }
    names
}

#[tokio::test]
async fn nodes_behind_a_relay_have_the_cluster_that_its_name_says() {
    let plain = FakePeer::with_flows("node-1", [10, 40]);
    let full = FakePeer::with_flows("west/node-2", [20]);
    let nameless = FakePeer::new("node-3");
    nameless.raw(time(30), encoded_flow("", time(30)));
    plain.set_namespaces(&[("", "shop"), ("west", "shop")]);
    let mut config = config();
    config.peers = [&plain, &full, &nameless]
        .map(|peer| peer.listed())
        .to_vec();
    config.peers.push(absent_peer("node-4"));
    let below = Cluster::start(config).await;
    below.client().await.connected_nodes(3).await;
    let (_above, mut client) = above(&below, "east/relay", 3).await;

    let names = nodes_of_flows(&client, GetFlowsRequest::default()).await;
    let expected = ["east/node-1", "west/node-2", "east/node-3", "east/node-1"];
    assert_eq!(names, expected);

    let nodes = client.grpc.get_nodes(GetNodesRequest {}).await.unwrap();
    let names: Vec<_> = nodes.get_ref().nodes.iter().map(|it| &*it.name).collect();
    let expected = ["east/node-1", "east/node-3", "east/node-4", "west/node-2"];
    assert_eq!(names, expected);
    let status = client.grpc.server_status(ServerStatusRequest {}).await;
    assert_eq!(status.unwrap().get_ref().unavailable_nodes, ["east/node-4"]);
    let namespaces = client.grpc.get_namespaces(GetNamespacesRequest {}).await;
    let namespaces = namespaces.unwrap().into_inner().namespaces;
    let clusters: Vec<_> = namespaces.iter().map(|it| &*it.cluster).collect();
    assert_eq!(clusters, ["east", "west"]);
}

#[tokio::test]
async fn names_stay_as_they_are_behind_a_relay_whose_name_has_no_cluster() {
    let plain = FakePeer::with_flows("node-1", [10]);
    let full = FakePeer::with_flows("west/node-2", [20]);
    let below = Cluster::over(&[&plain, &full]).await;
    for name in ["relay", "default/relay"] {
        let (_above, client) = above(&below, name, 2).await;
        let names = nodes_of_flows(&client, GetFlowsRequest::default()).await;
        assert_eq!(names, ["node-1", "west/node-2"], "{name}");
    }
}

#[tokio::test]
async fn what_happens_to_nodes_behind_a_relay_is_told_in_their_full_names() {
    let mut node = FakePeer::with_flows("node-1", [10]);
    let below = Cluster::over(&[&node]).await;
    let (_above, mut client) = above(&below, "east/relay", 1).await;
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut stream = client.grpc.get_flows(request).await.unwrap().into_inner();
    let mut next = async || {
        timeout(LONG, stream.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    let of_node = |response: &GetFlowsResponse, state: NodeState| {
        matches!(&response.response_types, Some(ResponseTypes::NodeStatus(event))
            if event.state_change() == state && event.node_names == ["east/node-1"])
    };
    let time_of = |response: &GetFlowsResponse| match &response.response_types {
        Some(ResponseTypes::Flow(_)) => response.time,
        _ => None,
    };
    while !of_node(&next().await, NodeState::NodeConnected) {}
    while time_of(&next().await) != Some(time(10)) {}
    node.kill();
    let error = loop {
        let response = next().await;
        if of_node(&response, NodeState::NodeError) {
            break response;
        }
    };
    assert_eq!(error.node_name, "east/relay-host");
    // Its flows go on after its return, each once.
    node.flow(20);
    node.start();
    let flow = loop {
        let response = next().await;
        if time_of(&response).is_some() {
            break response;
        }
    };
    assert_eq!(
        (&*flow.node_name, flow.time),
        ("east/node-1", Some(time(20)))
    );
}

#[tokio::test]
async fn relays_that_are_nodes_of_each_other_tell_of_each_node_once() {
    let (east, west) = (FakePeer::new("node-1"), FakePeer::new("node-2"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("peers");
    let list = |relay: &str| {
        let new = file.with_extension("new");
        fs::write(&new, format!("node-1={}\n{relay}", east.address())).unwrap();
        fs::rename(&new, &file).unwrap();
    };
    list("");
    let mut config = config();
    config.peer_files = vec![file.clone()];
    let of_east = Cluster::start(config).await;
    let mut config = crate::support::config();
    let relay = |name: &str, cluster: &Cluster| format!("{name}={}\n", cluster.address);
    config.peers = vec![
        west.listed(),
        relay("east/relay", &of_east).trim().parse().unwrap(),
    ];
    let of_west = Cluster::start(config).await;
    list(&relay("west/relay", &of_west));

    let mut follows = Vec::new();
    for (cluster, other) in [(&of_east, "west/node-2"), (&of_west, "east/node-1")] {
        let mut client = cluster.client().await;
        client.connected_nodes(2).await;
        let nodes = client.grpc.get_nodes(GetNodesRequest {}).await.unwrap();
        let names: Vec<_> = nodes.get_ref().nodes.iter().map(|it| &*it.name).collect();
        assert!(names.len() == 2 && names.contains(&other), "{names:?}");
        let request = GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        };
        follows.push(client.grpc.get_flows(request).await.unwrap().into_inner());
    }
    let all_are_asked = async {
        while east.open_streams() < 2 || west.open_streams() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, all_are_asked).await.unwrap();
    for node in [&east, &west] {
        node.flow_now();
    }
    for stream in &mut follows {
        let mut nodes = Vec::new();
        while nodes.len() < 2 {
            let response = timeout(LONG, stream.message())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            match response.response_types {
                Some(ResponseTypes::Flow(_)) => nodes.push(response.node_name),
                Some(ResponseTypes::NodeStatus(event)) => {
                    assert_eq!(event.state_change(), NodeState::NodeConnected);
                }
                other => panic!("{other:?}"),
            }
        }
        nodes.sort_unstable();
        assert!(nodes[0] != nodes[1], "{nodes:?}");
    }
    assert_eq!((east.open_streams(), west.open_streams()), (2, 2));
}

#[tokio::test]
async fn nodes_behind_a_relay_are_found_by_their_full_names() {
    let node = FakePeer::with_flows("node-1", [10]);
    let below = Cluster::over(&[&node]).await;
    let (_above, client) = above(&below, "east/relay", 1).await;
    let request = GetFlowsRequest {
        whitelist: vec![FlowFilter {
            node_name: vec!["east/node-1".into()],
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    };
    nodes_of_flows(&client, request).await;
    let (asked, _) = node.requests().pop().unwrap();
    // Servers read a name without a cluster as one of the default cluster.
    assert_eq!(
        asked.whitelist[0].node_name,
        ["east/node-1", "default/node-1"]
    );
}

/// Follows through a relay of a relay of two nodes until four flows have come. Then the one below is away,
/// and comes back after what happened meanwhile. Returns the flows that come then, up to one at 100.
async fn after_a_break(happened: impl FnOnce(&FakePeer, &FakePeer)) -> Vec<i64> {
    let a = FakePeer::with_flows("a", [10, 20]);
    let b = FakePeer::with_flows("b", [15, 20]);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("below.sock");
    let (shutdown, below) = relay_at(&socket, &[&a, &b]).await;
    let (_above, client) = above_address(&Target::Unix(socket.clone()), "relay", 2).await;
    let mut flows = client.follow().await;
    let mut before = Vec::new();
    while before.len() < 4 {
        before.push(flows.next_flow().await);
    }
    assert_eq!(before, [10, 15, 20, 20]);

    shutdown.cancel();
    below.await.unwrap().unwrap();
    happened(&a, &b);
    for node in [&a, &b] {
        node.flow(100);
    }
    let _below = relay_at(&socket, &[&a, &b]).await;
    let mut after = Vec::new();
    while after.iter().filter(|it| **it == 100).count() < 2 {
        after.push(flows.next_flow().await);
    }
    flows.has_no_flow_for(Duration::from_millis(300)).await;
    after.sort_unstable();
    after
}

#[tokio::test]
async fn what_nodes_behind_a_relay_see_while_it_is_away_comes_once_when_it_is_back() {
    let after = after_a_break(|a, b| {
        a.flow(25);
        b.flow(22);
        b.flow(30);
    });
    assert_eq!(after.await, [22, 25, 30, 100, 100]);
}

#[tokio::test]
async fn of_a_relay_that_returns_only_what_is_older_than_its_newest_flow_is_missing() {
    // As of a node that was cut off from it: it is asked from 20 on, where two have come.
    let after = after_a_break(|a, b| {
        a.flow(25);
        b.flow(19);
        b.flow(21);
    });
    assert_eq!(after.await, [21, 25, 100, 100]);
}
