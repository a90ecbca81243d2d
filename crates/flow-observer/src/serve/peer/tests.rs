//! What relays hear of the nodes.

use std::sync::Arc;

use futures::StreamExt as _;

use super::*;

fn name(cluster: &str, name: &str) -> NodeName {
    NodeName {
        cluster: cluster.to_owned(),
        name: name.to_owned(),
    }
}

fn announcing() -> Announcing {
    Announcing {
        own: name("default", "own"),
        socket: "/run/observer.sock".into(),
        listen: None,
        with_tls: false,
        prefer_ipv6: false,
    }
}

fn agent(address: &str, ips: &[&str]) -> AgentFact {
    AgentFact {
        address: address.to_owned(),
        ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

fn nodes(agents: &[(&str, AgentFact)]) -> Nodes {
    let named = |(node, agent): &(&str, AgentFact)| (name("default", node), agent.clone());
    Arc::new(agents.iter().map(named).collect())
}

/// The address of each node.
fn addresses(announcing: &Announcing, nodes: &Nodes) -> Vec<(String, String)> {
    let announced = announcing.announce(nodes).into_iter();
    announced.map(|(name, it)| (name, it.address)).collect()
}

#[test]
fn the_best_address_of_the_preferred_family_is_announced_with_the_own_port() {
    let nodes = nodes(&[
        ("both", agent("", &["fd00::1", "192.0.2.1", "192.0.2.2"])),
        ("nowhere", agent("", &[])),
        ("six", agent("", &["fd00::6"])),
        ("told", agent("unix:///run/it.sock", &["192.0.2.9"])),
    ]);
    let row = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    let plain = announcing();
    assert_eq!(
        addresses(&plain, &nodes),
        [
            row("both", "192.0.2.1"),
            row("nowhere", ""),
            row("own", "unix:///run/observer.sock"),
            row("six", "fd00::6"),
            row("told", "unix:///run/it.sock"),
        ]
    );
    let six = Announcing {
        listen: Some("[2001:db8::7]:4245".parse().unwrap()),
        prefer_ipv6: true,
        ..plain
    };
    assert_eq!(
        addresses(&six, &nodes),
        [
            row("both", "[fd00::1]:4245"),
            row("nowhere", ""),
            row("own", "[2001:db8::7]:4245"),
            row("six", "[fd00::6]:4245"),
            row("told", "unix:///run/it.sock"),
        ]
    );
}

#[test]
fn the_own_node_is_reached_by_tcp_once_its_address_is_known() {
    let listening = Announcing {
        listen: Some("0.0.0.0:4244".parse().unwrap()),
        ..announcing()
    };
    let address = |nodes| listening.announce(&nodes)["own"].address.clone();
    assert_eq!(address(nodes(&[])), "unix:///run/observer.sock");
    assert_eq!(
        address(nodes(&[("own", agent("", &["192.0.2.7"]))])),
        "192.0.2.7:4244"
    );
}

#[test]
fn clusters_are_told_in_names_and_dots_become_hyphens_in_those_of_certificates() {
    let announcing = Announcing {
        own: name("my.cluster", "node.one"),
        listen: Some("192.0.2.7:4244".parse().unwrap()),
        with_tls: true,
        ..announcing()
    };
    let others = nodes(&[("two", agent("192.0.2.2:1", &[]))]);
    let announced = announcing.announce(&others);
    let server_name = |name: &str| announced[name].server_name.clone().unwrap();
    assert_eq!(
        server_name("my.cluster/node.one"),
        "node-one.my-cluster.hubble-grpc.cilium.io"
    );
    assert_eq!(server_name("two"), "two.default.hubble-grpc.cilium.io");
}

#[tokio::test(start_paused = true)]
async fn clients_hear_all_nodes_and_then_what_changes_gathered() {
    let four = |ip: &str| agent("", &[ip]);
    let (sender, receiver) =
        watch::channel(nodes(&[("a", four("192.0.2.1")), ("b", four("192.0.2.2"))]));
    let shutdown = CancellationToken::new();
    let service = PeerService {
        nodes: receiver,
        announcing: announcing(),
        shutdown: shutdown.clone(),
    };
    let stream = service.notify(Request::new(NotifyRequest {})).await;
    let mut stream = stream.unwrap().into_inner();
    let mut heard = async |count| {
        let mut heard = Vec::new();
        while heard.len() < count {
            let change = stream.next().await.unwrap().unwrap();
            heard.push((change.r#type().as_str_name(), change.name, change.address));
        }
        heard
    };
    let row = |kind, name: &str, address: &str| (kind, name.to_owned(), address.to_owned());
    assert_eq!(
        heard(3).await,
        [
            row("PEER_ADDED", "a", "192.0.2.1"),
            row("PEER_ADDED", "b", "192.0.2.2"),
            row("PEER_ADDED", "own", "unix:///run/observer.sock"),
        ]
    );
    // What comes and goes within the same moment is never told.
    sender.send_replace(nodes(&[("short", four("192.0.2.9"))]));
    sender.send_replace(nodes(&[("b", four("192.0.2.3")), ("c", four("192.0.2.4"))]));
    assert_eq!(
        heard(3).await,
        [
            row("PEER_DELETED", "a", "192.0.2.1"),
            row("PEER_UPDATED", "b", "192.0.2.3"),
            row("PEER_ADDED", "c", "192.0.2.4"),
        ]
    );
    shutdown.cancel();
    assert!(stream.next().await.is_none(), "a clean end");
}

#[tokio::test(start_paused = true)]
async fn more_changes_than_a_client_can_be_told_end_its_stream() {
    let (sender, receiver) = watch::channel(nodes(&[]));
    let service = PeerService {
        nodes: receiver,
        announcing: announcing(),
        shutdown: CancellationToken::new(),
    };
    let stream = service.notify(Request::new(NotifyRequest {})).await;
    let mut stream = stream.unwrap().into_inner();
    assert_eq!(stream.next().await.unwrap().unwrap().name, "own");
    let many = (0..=MOST_WAITING)
        .map(|number| (name("default", &number.to_string()), AgentFact::default()));
    sender.send_replace(Arc::new(many.collect()));
    let last = stream.next().await.unwrap().unwrap_err();
    assert_eq!(
        (last.code(), last.message()),
        (tonic::Code::Unknown, TOO_MANY)
    );
    assert!(stream.next().await.is_none());
}
