//! Where nodes come from: files, names in DNS, other relays; and how they come and go.

use std::fs;
use std::time::Duration;

use flow_api::connect::{ConnectOptions, connect};
use flow_api::observer::{GetFlowsRequest, GetNodesRequest, ServerStatusRequest};
use flow_api::relay::NodeState;
use relay::{Relay, RelayError};
use tempfile::TempDir;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{
    Client, Cluster, FakePeer, Item, LONG, NameServer, PeerList, absent_peer, config,
};

/// The names of all nodes, and whether each is connected.
async fn shown(client: &mut Client) -> Vec<String> {
    let answer = client.grpc.get_nodes(GetNodesRequest {}).await.unwrap();
    let nodes = answer.into_inner().nodes.into_iter();
    nodes
        .map(|node| match node.state() {
            NodeState::NodeConnected => node.name,
            _ => format!("({})", node.name),
        })
        .collect()
}

/// Waits until these are the nodes.
async fn until(client: &mut Client, expected: &[&str]) {
    let start = std::time::Instant::now();
    loop {
        let found = shown(client).await;
        if found == expected {
            return;
        }
        assert!(start.elapsed() < LONG, "{found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until nobody tells of nodes any more, which makes the relay unhealthy.
async fn until_no_source_tells(cluster: &Cluster) {
    let options = ConnectOptions::default();
    let channel = connect(&cluster.address, &options).await.unwrap();
    let mut health = HealthClient::new(channel);
    let request = HealthCheckRequest::default();
    let mut states = health.watch(request).await.unwrap().into_inner();
    loop {
        let next = tokio::time::timeout(LONG, states.message()).await;
        if next.unwrap().unwrap().unwrap().status() == ServingStatus::NotServing {
            return;
        }
    }
}

#[tokio::test]
async fn a_file_of_nodes_is_followed_and_the_last_good_one_holds() {
    let (a, b) = (FakePeer::new("a"), FakePeer::new("b"));
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("peers");
    fs::write(&path, format!("# nodes\na={}\n", a.address())).unwrap();
    let mut config = config();
    config.peer_files = vec![path.clone()];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    until(&mut client, &["a"]).await;

    // In place of the old one, as who is careful writes it.
    let new = dir.path().join("new");
    fs::write(&new, format!("a={}\nb={}\n", a.address(), b.address())).unwrap();
    fs::rename(&new, &path).unwrap();
    until(&mut client, &["a", "b"]).await;

    fs::write(&path, "b\n").unwrap();
    until_no_source_tells(&cluster).await;
    until(&mut client, &["a", "b"]).await;

    // The same name at another address.
    fs::write(&path, format!("b={}\n", a.address())).unwrap();
    until(&mut client, &["b"]).await;
}

#[tokio::test]
async fn a_broken_file_ends_the_start_with_its_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("peers.yaml");
    fs::write(&path, "peers:\n  - name: a\n    address: b:http\n").unwrap();
    let mut config = config();
    config.peer_files = vec![path.clone()];
    let error = Relay::bind(config).await.unwrap_err();
    assert!(matches!(error, RelayError::PeerFile(_)));
    let expected = format!("{}:2: ", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn the_addresses_of_a_name_are_nodes_for_as_long_as_it_has_them() {
    let first = FakePeer::tcp("first", "127.0.0.2:0", None);
    let port = first.address().rsplit_once(':').unwrap().1.to_owned();
    let second = FakePeer::tcp("second", &format!("127.0.0.3:{port}"), None);
    let names = NameServer::start();
    names.host("agents.example", &["127.0.0.2", "::1"]);
    let mut config = config();
    config.peer_names = vec![format!("agents.example:{port}").parse().unwrap()];
    config.dns_servers = vec![names.address];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    let (first, second) = (first.address(), second.address());
    // One family: the other address may be of the same node.
    until(&mut client, &[&first]).await;

    names.host("agents.example", &["127.0.0.2", "127.0.0.3"]);
    until(&mut client, &[&first, &second]).await;

    names.fail(true);
    until_no_source_tells(&cluster).await;
    until(&mut client, &[&first, &second]).await;

    names.fail(false);
    names.host("agents.example", &["127.0.0.3"]);
    until(&mut client, &[&second]).await;
    names.host("agents.example", &[]);
    until(&mut client, &[]).await;
}

#[tokio::test]
async fn the_targets_of_a_service_in_dns_are_nodes_with_names_and_ports() {
    let a = FakePeer::tcp("a", "127.0.0.1:0", None);
    let b = FakePeer::tcp("b", "127.0.0.1:0", None);
    let port = |peer: &FakePeer| {
        let address = peer.address();
        address.rsplit_once(':').unwrap().1.parse().unwrap()
    };
    let names = NameServer::start();
    let service = "_grpc._tcp.agents.example";
    names.host("a.agents.example", &["127.0.0.1"]);
    names.host("b.agents.example", &["127.0.0.1"]);
    names.service(service, &[(port(&a), "a.agents.example")]);
    let mut config = config();
    config.peer_names = vec![service.parse().unwrap()];
    config.dns_servers = vec![names.address];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    until(&mut client, &["a.agents.example"]).await;
    names.service(
        service,
        &[
            (port(&a), "a.agents.example"),
            (port(&b), "b.agents.example"),
        ],
    );
    until(&mut client, &["a.agents.example", "b.agents.example"]).await;
}

#[tokio::test]
async fn a_relay_of_relays_shows_the_nodes_behind_them_with_their_clusters() {
    let east = FakePeer::with_flows("east/node-1", [1, 3]);
    let west = FakePeer::with_flows("west/node-1", [2, 4]);
    let below_east = {
        let mut config = config();
        config.peers = vec![east.listed(), absent_peer("east/x")];
        Cluster::start(config).await
    };
    let below_west = Cluster::over(&[&west]).await;
    let mut config = config();
    config.peers = vec![
        format!("east={}", below_east.address).parse().unwrap(),
        format!("west={}", below_west.address).parse().unwrap(),
    ];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    until(&mut client, &["east/node-1", "(east/x)", "west/node-1"]).await;

    let status = client.grpc.server_status(ServerStatusRequest {}).await;
    let status = status.unwrap().into_inner();
    assert_eq!(status.num_connected_nodes, Some(2));
    assert_eq!(status.num_unavailable_nodes, Some(1));
    assert_eq!(status.unavailable_nodes, ["east/x"]);

    let items = client.all(GetFlowsRequest::default()).await;
    let flows: Vec<_> = items
        .into_iter()
        .filter(|item| matches!(item, Item::Flow(..)))
        .collect();
    let flow = |node: &str, millis| Item::Flow(node.to_owned(), millis);
    let expected = [
        flow("east/node-1", 1),
        flow("west/node-1", 2),
        flow("east/node-1", 3),
        flow("west/node-1", 4),
    ];
    assert_eq!(flows, expected);
}

#[tokio::test]
async fn nodes_that_flap_leave_nothing_behind_and_those_that_stay_are_followed() {
    let steady = FakePeer::new("steady");
    let flapping: Vec<_> = (0..10)
        .map(|n| FakePeer::new(&format!("flapping-{n}")))
        .collect();
    let moved = FakePeer::new("moved");
    let list = PeerList::of(&[&steady]);
    let mut config = config();
    config.peer_service = Some(list.address().parse().unwrap());
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(1).await;
    let mut follow = client.follow().await;

    let entry = |name: &str, peer: &FakePeer| (name.to_owned(), peer.address(), String::new());
    for round in 0..100 {
        let mut entries = vec![entry("steady", &steady)];
        let there = flapping.iter().skip(round % 3).step_by(3);
        entries.extend(there.map(|peer| entry(&peer.name, peer)));
        // One that changes its address each time.
        let at = if round % 2 == 0 { &moved } else { &steady };
        entries.push(entry("moving", at));
        list.announce(entries);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    list.announce(vec![entry("steady", &steady), entry("moving", &moved)]);
    until(&mut client, &["moving", "steady"]).await;

    let start = std::time::Instant::now();
    let settled = || {
        flapping.iter().all(|peer| peer.open_streams() == 0)
            && steady.open_streams() == 1
            && moved.open_streams() == 1
    };
    while !settled() {
        assert!(start.elapsed() < LONG, "streams are left open, or missing");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    steady.flow_now();
    moved.flow_now();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Item::Flow(node, _) = follow.next().await {
            seen.push(node);
        }
    }
    seen.sort();
    assert_eq!(seen, ["moved", "steady"]);
}
