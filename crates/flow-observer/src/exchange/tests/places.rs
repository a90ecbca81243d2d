//! Where messages are told, and that each is told once.

use super::*;

/// What a node tells of packets, in one batch and then at rest.
fn told(packets: &[Seen]) -> Vec<(String, TrafficDirection, String, String)> {
    let mut node = Node::new();
    let flows = [node.see(packets), node.rest()].concat();
    let told = flows.iter().map(|flow| {
        let ip = flow.ip.as_ref().unwrap();
        (
            lines(std::slice::from_ref(flow))[0].to_owned(),
            flow.traffic_direction(),
            ip.source.clone(),
            ip.destination.clone(),
        )
    });
    told.collect()
}

fn row(
    line: &str,
    direction: TrafficDirection,
    source: &str,
    destination: &str,
) -> (String, TrafficDirection, String, String) {
    let address = |it: &str| it.split(':').next().unwrap().to_owned();
    (
        line.to_owned(),
        direction,
        address(source),
        address(destination),
    )
}

const ANSWERED: &str = "HTTP/1.1 200 9ms (GET http://shop/cart)";

#[test]
fn between_pods_of_a_node_messages_are_told_at_the_client() {
    let ask = tcp(CLIENT, SERVER, ASK, GET);
    let answer = tcp(SERVER, CLIENT, ANSWER, OK);
    let told = told(&[
        seen(FromEndpoint, 1, 10, &ask),
        seen(ToStack, 9, 10, &ask),
        seen(FromStack, 9, 11, &ask),
        seen(ToEndpoint, 2, 11, &ask),
        seen(FromEndpoint, 2, 18, &answer),
        seen(ToEndpoint, 1, 19, &answer),
    ]);
    assert_eq!(
        told,
        [
            row(ASKED, TrafficDirection::Egress, CLIENT, SERVER),
            row(ANSWERED, TrafficDirection::Egress, SERVER, CLIENT),
        ]
    );
}

#[test]
fn of_a_client_elsewhere_messages_are_told_at_the_server() {
    let ask = tcp(REMOTE, SERVER, ASK, GET);
    let answer = tcp(SERVER, REMOTE, ANSWER, OK);
    let told = told(&[
        seen(FromNetwork, 3, 10, &ask),
        seen(ToEndpoint, 2, 11, &ask),
        seen(FromEndpoint, 2, 20, &answer),
        seen(ToNetwork, 3, 20, &answer),
    ]);
    assert_eq!(
        told,
        [
            row(ASKED, TrafficDirection::Ingress, REMOTE, SERVER),
            row(ANSWERED, TrafficDirection::Ingress, SERVER, REMOTE),
        ]
    );
}

#[test]
fn a_client_knows_a_service_by_its_own_address() {
    const SERVICE: &str = "10.96.0.1:80";
    let told = told(&[
        seen(FromEndpoint, 1, 10, &tcp(CLIENT, SERVICE, ASK, GET)),
        seen(ToEndpoint, 2, 11, &tcp(CLIENT, SERVER, ASK, GET)),
        seen(FromEndpoint, 2, 18, &tcp(SERVER, CLIENT, ANSWER, OK)),
        seen(ToEndpoint, 1, 19, &tcp(SERVICE, CLIENT, ANSWER, OK)),
    ]);
    assert_eq!(
        told,
        [
            row(ASKED, TrafficDirection::Egress, CLIENT, SERVICE),
            row(ANSWERED, TrafficDirection::Egress, SERVICE, CLIENT),
        ]
    );
}

#[test]
fn a_client_behind_the_nodes_address_is_told_under_its_own() {
    const MASKED: &str = "192.168.0.1:61000";
    let answer = tcp(WORLD, MASKED, ANSWER, OK);
    let told = told(&[
        seen(FromEndpoint, 1, 10, &tcp(CLIENT, WORLD, ASK, GET)),
        seen(ToNetwork, 3, 11, &tcp(MASKED, WORLD, ASK, GET)),
        seen(FromNetwork, 3, 18, &answer),
        seen(ToEndpoint, 1, 19, &tcp(WORLD, CLIENT, ANSWER, OK)),
    ]);
    assert_eq!(
        told,
        [
            row(ASKED, TrafficDirection::Egress, CLIENT, WORLD),
            row(ANSWERED, TrafficDirection::Egress, WORLD, CLIENT),
        ]
    );
}

#[test]
fn what_comes_to_a_port_of_the_node_is_told_at_the_server_behind_it() {
    const PORT: &str = "192.168.0.1:30080";
    // As it comes, and with the node as the client.
    for (client, behind) in [(WORLD, WORLD), (WORLD, "192.168.0.1:61000")] {
        let told = told(&[
            seen(FromNetwork, 3, 10, &tcp(client, PORT, ASK, GET)),
            seen(ToEndpoint, 2, 11, &tcp(behind, SERVER, ASK, GET)),
            seen(FromEndpoint, 2, 20, &tcp(SERVER, behind, ANSWER, OK)),
            seen(ToNetwork, 3, 21, &tcp(PORT, client, ANSWER, OK)),
        ]);
        assert_eq!(
            told,
            [
                row(ASKED, TrafficDirection::Ingress, behind, SERVER),
                row(ANSWERED, TrafficDirection::Ingress, SERVER, behind),
            ]
        );
    }
}

#[test]
fn what_is_for_the_node_itself_is_told_a_batch_later_or_with_its_answer() {
    let ask = seen(FromNetwork, 3, 10, &tcp(WORLD, HOST, ASK, GET));
    let answer = seen(ToNetwork, 3, 19, &tcp(HOST, WORLD, ANSWER, OK));
    let mut node = Node::new();
    assert!(node.see(std::slice::from_ref(&ask)).is_empty());
    assert_eq!(lines(&node.rest()), [ASKED]);
    assert_eq!(lines(&node.see(std::slice::from_ref(&answer))), [ANSWERED]);
    assert_eq!(
        told(&[ask, answer]),
        [
            row(ASKED, TrafficDirection::Ingress, WORLD, HOST),
            row(ANSWERED, TrafficDirection::Ingress, HOST, WORLD),
        ]
    );
}

#[test]
fn the_nodes_own_requests_are_told_at_its_devices() {
    const OWN: &str = "192.168.0.1:40000";
    let told_outside = told(&[
        seen(ToNetwork, 3, 10, &tcp(OWN, WORLD, ASK, GET)),
        seen(FromNetwork, 3, 19, &tcp(WORLD, OWN, ANSWER, OK)),
    ]);
    assert_eq!(
        told_outside,
        [
            row(ASKED, TrafficDirection::Egress, OWN, WORLD),
            row(ANSWERED, TrafficDirection::Egress, WORLD, OWN),
        ]
    );
    let (from, to) = ("127.0.0.1:40000", "127.0.0.1:80");
    let (ask, answer) = (tcp(from, to, ASK, GET), tcp(to, from, ANSWER, OK));
    let told_on_loopback = told(&[
        seen(FromHost, 1, 10, &ask),
        seen(ToHost, 1, 10, &ask),
        seen(FromHost, 1, 19, &answer),
        seen(ToHost, 1, 19, &answer),
    ]);
    assert_eq!(
        told_on_loopback,
        [
            row(ASKED, TrafficDirection::Egress, from, to),
            row(ANSWERED, TrafficDirection::Egress, to, from),
        ]
    );
}

#[test]
fn pods_that_nobody_knows_are_told_where_they_are_seen_first() {
    const UNKNOWN: &str = "10.0.1.99:40000";
    const MASKED: &str = "192.168.0.1:61000";
    let told = told(&[
        seen(FromEndpoint, 1, 10, &tcp(UNKNOWN, WORLD, ASK, GET)),
        seen(ToNetwork, 3, 10, &tcp(MASKED, WORLD, ASK, GET)),
        seen(FromNetwork, 3, 19, &tcp(WORLD, MASKED, ANSWER, OK)),
        seen(ToEndpoint, 1, 19, &tcp(WORLD, UNKNOWN, ANSWER, OK)),
    ]);
    assert_eq!(
        told,
        [
            row(ASKED, TrafficDirection::Egress, UNKNOWN, WORLD),
            row(ANSWERED, TrafficDirection::Egress, WORLD, UNKNOWN),
        ]
    );
}

#[test]
fn a_segment_that_is_sent_again_is_not_told_again() {
    let ask = tcp(CLIENT, WORLD, ASK, GET);
    let answer = tcp(WORLD, CLIENT, ANSWER, OK);
    let told = told(&[
        seen(FromEndpoint, 1, 10, &ask),
        seen(FromEndpoint, 1, 210, &ask),
        seen(ToEndpoint, 1, 230, &answer),
        seen(ToEndpoint, 1, 9_000, &answer),
    ]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1].0, "HTTP/1.1 200 220ms (GET http://shop/cart)");
}

#[test]
fn the_same_bytes_of_other_clients_are_other_messages() {
    let packets: Vec<_> = (0..4)
        .map(|number| {
            let client = format!("203.0.113.9:{}", 40_000 + number);
            seen(ToEndpoint, 2, 10, &tcp(&client, SERVER, ASK, GET))
        })
        .collect();
    assert_eq!(told(&packets).len(), 4);
}
