//! Certificates, on both sides of a relay.

use std::fs;
use std::path::Path;

use flow_api::connect::{ClientIdentity, ConnectOptions, Target, TlsOptions, connect};
use flow_api::observer::observer_client::ObserverClient;
use flow_api::observer::{GetNodesRequest, Node, ServerStatusRequest};
use flow_api::relay::NodeState;
use flow_api::server::{TlsClientFiles, TlsError};
use relay::{Config, Relay, RelayError};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::{Authority, Client, Cluster, FakePeer, PeerList, config, tls_server};

const WILDCARD: &str = "*.default.hubble-grpc.cilium.io";
const RELAY: &str = "*.hubble-relay.cilium.io";

/// A peer that serves by TCP with a certificate for this name.
fn secured(name: &str, authority: &Authority, certified: &str, folder: &Path) -> FakePeer {
    let folder = folder.join(name);
    authority.write(certified, &folder);
    FakePeer::tcp(name, "127.0.0.1:0", Some(tls_server(&folder)))
}

fn with_certificates(folder: &Path) -> Config {
    Config {
        peer_tls: Some(TlsClientFiles::Folder(folder.to_owned())),
        ..config()
    }
}

async fn nodes(client: &mut Client) -> Vec<Node> {
    let answer = client.grpc.get_nodes(GetNodesRequest {}).await.unwrap();
    answer.into_inner().nodes
}

#[tokio::test]
async fn nodes_are_verified_by_their_names_and_by_the_clusters_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    let dir = TempDir::new().unwrap();
    let good = secured("good.one", &ours, WILDCARD, dir.path());
    let east = secured("east/a", &ours, "*.east.hubble-grpc.cilium.io", dir.path());
    let stranger = secured("stranger", &other, WILDCARD, dir.path());
    let misnamed = secured(
        "misnamed",
        &ours,
        "*.east.hubble-grpc.cilium.io",
        dir.path(),
    );
    let plain = FakePeer::tcp("plain", "127.0.0.1:0", None);
    let socket = FakePeer::new("socket");
    ours.write(RELAY, &dir.path().join("relay"));
    let mut config = with_certificates(&dir.path().join("relay"));
    config.peers = [&good, &east, &stranger, &misnamed, &plain, &socket]
        .map(FakePeer::listed)
        .to_vec();
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(3).await;
    client.unavailable_nodes(3).await;

    let found: Vec<_> = nodes(&mut client)
        .await
        .into_iter()
        .filter(|node| node.state() == NodeState::NodeConnected)
        .map(|node| (node.name, node.tls.unwrap().server_name))
        .collect();
    let expected = [
        ("east/a", "a.east.hubble-grpc.cilium.io"),
        ("good.one", "good-one.default.hubble-grpc.cilium.io"),
        ("socket", ""),
    ];
    assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[tokio::test]
async fn the_name_that_a_peer_service_tells_is_the_one_that_counts() {
    let ours = Authority::new();
    let dir = TempDir::new().unwrap();
    let peer = secured("a", &ours, "elsewhere.example", dir.path());
    let list = PeerList::of(&[]);
    let entry = |name: &str, server_name: &str| (name.into(), peer.address(), server_name.into());
    list.announce(vec![
        entry("a", "elsewhere.example"),
        entry("b", "a.default.hubble-grpc.cilium.io"),
        entry("c", ""),
    ]);
    ours.write(RELAY, &dir.path().join("relay"));
    let mut config = with_certificates(&dir.path().join("relay"));
    config.peer_service = Some(list.address().parse().unwrap());
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    client.connected_nodes(1).await;
    client.unavailable_nodes(2).await;
    let first = nodes(&mut client).await.remove(0);
    assert_eq!(first.state(), NodeState::NodeConnected);
    assert!(first.tls.unwrap().enabled);
}

#[tokio::test]
async fn certificates_that_come_or_change_are_used_by_the_next_connection() {
    let (first, second) = (Authority::new(), Authority::new());
    let dir = TempDir::new().unwrap();
    let relay_folder = dir.path().join("relay");
    let mut peer = secured("a", &first, WILDCARD, dir.path());
    let mut config = with_certificates(&relay_folder);
    config.peers = vec![peer.listed()];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.unavailable_nodes(1).await;

    first.write(RELAY, &relay_folder);
    client.connected_nodes(1).await;

    // The peer comes back with certificates of another authority.
    peer.kill();
    client.unavailable_nodes(1).await;
    second.write(WILDCARD, &dir.path().join("a"));
    peer.start();
    fs::write(relay_folder.join("tls.crt"), "broken").unwrap();
    client.unavailable_nodes(1).await;
    second.write(RELAY, &relay_folder);
    client.connected_nodes(1).await;
}

#[tokio::test]
async fn certificates_that_are_broken_at_the_start_are_told_with_the_file() {
    let dir = TempDir::new().unwrap();
    Authority::new().write(RELAY, dir.path());
    fs::write(dir.path().join("ca.crt"), "nothing").unwrap();
    let mut config = with_certificates(dir.path());
    config.peers = vec!["a=192.0.2.1".parse().unwrap()];
    let error = Relay::bind(config).await.unwrap_err();
    let RelayError::PeerTls(TlsError::Unexpected { file, .. }) = error else {
        panic!("a file that is no certificate: {error}");
    };
    assert_eq!(file, dir.path().join("ca.crt"));
}

#[tokio::test]
async fn clients_need_a_certificate_by_tcp_and_none_at_the_socket() {
    let authority = Authority::new();
    let dir = TempDir::new().unwrap();
    authority.write("ui.hubble-relay.cilium.io", &dir.path().join("server"));
    authority.write("client", &dir.path().join("client"));
    let peer = FakePeer::new("a");
    let socket = dir.path().join("relay.sock");
    let config = Config {
        listen: vec![
            "127.0.0.1:0".parse().unwrap(),
            format!("unix://{}", socket.display()).parse().unwrap(),
        ],
        tls: Some(tls_server(&dir.path().join("server"))),
        peers: vec![peer.listed()],
        ..config()
    };
    let relay = Relay::bind(config).await.unwrap();
    let [tcp, unix] = relay.addresses() else {
        panic!("two addresses");
    };
    let (tcp, unix) = (tcp.clone(), unix.clone());
    assert!(matches!(tcp, Target::Tls { .. }));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(relay.serve(shutdown.clone()));
    Client::connect(&unix).await.connected_nodes(1).await;

    let file = |name: &str| dir.path().join("client").join(name);
    let with = |client| ConnectOptions {
        tls: Some(TlsOptions {
            ca_files: vec![file("ca.crt")],
            client,
            server_name: Some("ui.hubble-relay.cilium.io".to_owned()),
            ..TlsOptions::default()
        }),
        ..ConnectOptions::default()
    };
    let identity = ClientIdentity {
        cert_file: file("tls.crt"),
        key_file: file("tls.key"),
    };
    let channel = connect(&tcp, &with(Some(identity))).await.unwrap();
    let mut grpc = ObserverClient::new(channel);
    let status = grpc.server_status(ServerStatusRequest {}).await.unwrap();
    assert_eq!(status.into_inner().num_connected_nodes, Some(1));

    // TLS 1.3 tells a client that it is refused with the first answer.
    let refused = match connect(&tcp, &with(None)).await {
        Err(_) => true,
        Ok(channel) => ObserverClient::new(channel)
            .server_status(ServerStatusRequest {})
            .await
            .is_err(),
    };
    assert!(refused);

    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(!socket.exists());
}
