//! Each packet of a known exchange is reported exactly once per trace point, with the right facts.

use anyhow::{Result, ensure};
use testbed::{
    Pod, Spec,
    exchange::{self, Exchange, Family},
};

use crate::{
    Rule,
    observed::{all_seen, with_agents},
    seen::{Point, Seen, Sighting},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "each_udp_packet_between_nodes_is_seen_once_per_trace_point",
        || udp("shop/api-0"),
    ),
    (
        "each_udp_packet_within_a_node_is_seen_once_per_trace_point",
        || udp("shop/cart-0"),
    ),
    (
        "each_tcp_segment_between_nodes_is_seen_once_per_trace_point",
        || tcp("shop/api-0"),
    ),
    (
        "each_tcp_segment_within_a_node_is_seen_once_per_trace_point",
        || tcp("shop/cart-0"),
    ),
];

const CLIENT: &str = "shop/web-0";
const PORT: u16 = 7000;
/// Enough that a packet reported twice in a hundred would show.
const UDP_ROUNDS: usize = 100;
const TCP_ROUNDS: usize = 30;

fn udp(server: &str) -> Result<()> {
    with_agents(&Spec::two_nodes(), |cluster| {
        let (client, server) = (cluster.pod(CLIENT)?, cluster.pod(server)?);
        let mut expected = Seen::default();
        for family in [Family::V4, Family::V6] {
            let exchange = exchange::udp(client, server, family, PORT, UDP_ROUNDS)?;
            for packet in ways(client, server, &exchange) {
                expected.add(packet, exchange.rounds);
            }
        }
        all_seen(cluster, PORT)?.must_be(&expected)
    })
}

fn tcp(server: &str) -> Result<()> {
    with_agents(&Spec::two_nodes(), |cluster| {
        let (client, server) = (cluster.pod(CLIENT)?, cluster.pod(server)?);
        let mut exchanges = Vec::new();
        for family in [Family::V4, Family::V6] {
            exchanges.push(exchange::tcp(client, server, family, PORT, TCP_ROUNDS)?);
        }
        let seen = all_seen(cluster, PORT)?;

        let mut expected = Seen::default();
        for exchange in &exchanges {
            for packet in ways(client, server, exchange) {
                let syn = if packet.is_reply == Some(true) {
                    "SYN ACK"
                } else {
                    "SYN"
                };
                let flagged = |flags: &str| Sighting {
                    flags: flags.to_owned(),
                    ..packet.clone()
                };
                expected.add(flagged(syn), 1);
                expected.add(flagged("PSH ACK"), exchange.rounds);
                expected.add(flagged("FIN ACK"), 1);
            }
        }
        seen.only(|it| it.flags != "ACK").must_be(&expected)?;

        // How many bare ACKs there are is up to the kernel; that all trace points of one way agree
        // on it is not.
        let acks = seen.only(|it| it.flags == "ACK");
        let mut agreed = Seen::default();
        for exchange in &exchanges {
            for packet in ways(client, server, exchange) {
                let times = acks
                    .iter()
                    .filter(|(it, _)| it.point == Point::FromEndpoint && it.source == packet.source)
                    .map(|(_, times)| times)
                    .sum();
                ensure!(times > 0, "no ACK from {}", packet.source);
                agreed.add(
                    Sighting {
                        flags: "ACK".to_owned(),
                        ..packet
                    },
                    times,
                );
            }
        }
        acks.must_be(&agreed)
    })
}

/// Where a request and its reply pass, and what is true of them there.
pub(crate) fn ways(client: &Pod, server: &Pod, exchange: &Exchange) -> Vec<Sighting> {
    let request = Sighting {
        node: client.node().to_owned(),
        point: Point::FromEndpoint,
        source: exchange.client,
        source_pod: client.name().to_owned(),
        destination: exchange.server,
        destination_pod: server.name().to_owned(),
        verdict: "FORWARDED",
        direction: "EGRESS",
        is_reply: Some(false),
        flags: String::new(),
        reason: String::new(),
    };
    let reply = Sighting {
        source: request.destination,
        source_pod: request.destination_pod.clone(),
        destination: request.source,
        destination_pod: request.source_pod.clone(),
        is_reply: Some(true),
        ..request.clone()
    };
    // Direction is an endpoint's view of the connection: out of the client, into the server. A
    // node's own device has no such view.
    let at = |packet: &Sighting, pod: &Pod, point| Sighting {
        node: pod.node().to_owned(),
        point,
        direction: match point {
            Point::FromNetwork | Point::ToNetwork | Point::FromStack | Point::ToStack => {
                "TRAFFIC_DIRECTION_UNKNOWN"
            }
            _ if pod.name() == client.name() => "EGRESS",
            _ => "INGRESS",
        },
        ..packet.clone()
    };
    let mut ways = vec![
        at(&request, client, Point::FromEndpoint),
        at(&request, server, Point::ToEndpoint),
        at(&reply, server, Point::FromEndpoint),
        at(&reply, client, Point::ToEndpoint),
    ];
    if client.node() != server.node() {
        // Through the bridge, whose own device is the pods' gateway.
        ways.extend([
            at(&request, client, Point::ToStack),
            at(&request, client, Point::ToNetwork),
            at(&request, server, Point::FromNetwork),
            at(&request, server, Point::FromStack),
            at(&reply, server, Point::ToStack),
            at(&reply, server, Point::ToNetwork),
            at(&reply, client, Point::FromNetwork),
            at(&reply, client, Point::FromStack),
        ]);
    }
    ways
}
