//! Each packet that a rule on a node ate is reported exactly once as dropped, by that node alone.

use anyhow::{Result, ensure};
use testbed::{
    Cluster, Spec,
    exchange::{self, Family},
};

use crate::{
    Rule, exact,
    observed::{ALL, all_seen, with_agents, with_relay},
    palomar,
    seen::{Point, Seen, Sighting},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "each_packet_dropped_on_the_clients_node_is_reported_once_and_there",
        || drops("node-1"),
    ),
    (
        "each_packet_dropped_on_the_servers_node_is_reported_once_and_there",
        || drops("node-2"),
    ),
    ("drops_are_found_by_verdict_and_by_reason", found_by_filters),
];

const PORT: u16 = 5432;
const PACKETS: usize = 200;

fn drops(node: &str) -> Result<()> {
    with_agents(&Spec::two_nodes(), |cluster| {
        let (web, db) = (cluster.pod("shop/web-0")?, cluster.pod("shop/db-0")?);
        cluster.node(node)?.drop_traffic(web, db, PORT)?;
        let mut expected = Seen::default();
        for family in [Family::V4, Family::V6] {
            for exchange in exchange::drops(web, db, family, PORT, PACKETS)? {
                // On its way the packet is seen where it came by, up to where it was dropped.
                let passed = |it: &Sighting| match it.point {
                    Point::FromEndpoint | Point::ToStack => true,
                    Point::ToNetwork | Point::FromNetwork => node == db.node(),
                    Point::FromStack | Point::ToEndpoint | Point::Dropped => false,
                };
                let requests = exact::ways(web, db, &exchange);
                let requests = requests.into_iter().filter(|it| it.is_reply == Some(false));
                for packet in requests {
                    if packet.point == Point::FromEndpoint {
                        expected.add(dropped(&packet, node, web.node()), 1);
                    }
                    if passed(&packet) {
                        expected.add(packet, 1);
                    }
                }
            }
        }
        all_seen(cluster, PORT)?.must_be(&expected)
    })
}

/// What the drop of `packet` on `node` is reported as.
fn dropped(packet: &Sighting, node: &str, client_node: &str) -> Sighting {
    Sighting {
        node: node.to_owned(),
        point: Point::Dropped,
        verdict: "DROPPED",
        direction: if node == client_node {
            "EGRESS"
        } else {
            "INGRESS"
        },
        // Hubble leaves this out of drops: it is not known whether there is a connection.
        is_reply: None,
        reason: "POLICY_DENIED NETFILTER_DROP".to_owned(),
        ..packet.clone()
    }
}

fn found_by_filters() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        let (web, db) = (cluster.pod("shop/web-0")?, cluster.pod("shop/db-0")?);
        cluster.node("node-1")?.drop_traffic(web, db, PORT)?;
        exchange::drops(web, db, Family::V4, PORT, 3)?;
        exchange::udp(web, db, Family::V4, 7000, 3)?;
        all_seen(cluster, PORT)?;

        for filter in [
            ["--verdict", "DROPPED"],
            ["--type", "drop"],
            ["--drop-reason-desc", "POLICY_DENIED"],
        ] {
            let seen = through_relay(cluster, &filter)?;
            let drops = seen.only(|it| it.destination.port() == PORT);
            ensure!(
                drops.len() == 3,
                "{filter:?}: {} drops, expected 3",
                drops.len()
            );
            let others = seen.only(|it| it.verdict != "DROPPED");
            ensure!(
                others.len() == 0,
                "{filter:?}: {} flows that were not dropped",
                others.len()
            );
        }
        Ok(())
    })
}

fn through_relay(cluster: &Cluster, filter: &[&str]) -> Result<Seen> {
    let mut arguments = vec!["--last", ALL, "--protocol", "udp"];
    arguments.extend(filter);
    let mut seen = Seen::default();
    let responses = palomar::observe(&cluster.relay_socket(), &arguments)?;
    seen.extend(responses.into_iter().filter(is_flow).collect())?;
    Ok(seen)
}

/// A relay says first which nodes take part.
fn is_flow(response: &flow_api::observer::GetFlowsResponse) -> bool {
    use flow_api::observer::get_flows_response::ResponseTypes;
    matches!(response.response_types, Some(ResponseTypes::Flow(_)))
}
