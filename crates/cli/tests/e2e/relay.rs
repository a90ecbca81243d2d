//! The relay: one stream out of many agents, also while an agent dies and comes back.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use flow_api::{
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    relay::NodeState,
};
use testbed::{Cluster, Spec, workload};

use crate::{
    Rule,
    observed::with_relay,
    palomar::{Follow, observe, server, stdout},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_follow_survives_the_death_of_an_agent_and_sees_it_return",
        survives,
    ),
    (
        "a_finite_query_to_the_relay_is_in_the_order_of_time",
        ordered,
    ),
    ("the_relay_lists_every_node_with_its_state", lists_nodes),
];

/// How long a change may take to show: peers are looked at every few seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
const PORT: u16 = 7000;

fn survives() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        let _traffic = traffic_within_each_node(cluster)?;
        let follow = Follow::start(&cluster.relay_socket(), &["--protocol", "udp"])?;
        follow.wait_for("a flow of node-1", TIMEOUT, |it| is_flow_of(it, "node-1"))?;
        follow.wait_for("a flow of node-2", TIMEOUT, |it| is_flow_of(it, "node-2"))?;

        cluster.kill_agent("node-2")?;
        let status = follow.wait_for("word that node-2 is gone", TIMEOUT, |it| {
            lost_nodes(it).iter().any(|node| node.ends_with("node-2"))
        })?;
        ensure!(
            !lost_nodes(&status).iter().any(|it| it.ends_with("node-1")),
            "{status:?}"
        );
        follow.wait_for("a flow of node-1 after that", TIMEOUT, |it| {
            is_flow_of(it, "node-1") && seconds(it) > seconds(&status)
        })?;

        cluster.restart_agent("node-2")?;
        follow.wait_for("a flow of node-2 after its return", TIMEOUT, |it| {
            is_flow_of(it, "node-2") && seconds(it) > seconds(&status)
        })?;
        Ok(())
    })
}

fn ordered() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        let _traffic = traffic_within_each_node(cluster)?;
        let relay = cluster.relay_socket();
        let flows = testbed::wait::until("flows of both nodes", TIMEOUT, || {
            let mut flows = observe(&relay, &["--last", "1000", "--protocol", "udp"])?;
            flows.retain(|it| matches!(it.response_types, Some(ResponseTypes::Flow(_))));
            let of = |node| flows.iter().filter(|it| is_flow_of(it, node)).count();
            Ok((of("node-1") > 10 && of("node-2") > 10).then_some(flows))
        })?;
        let times: Vec<_> = flows.iter().map(time).collect();
        ensure!(times.is_sorted(), "not in the order of time: {times:?}");
        Ok(())
    })
}

fn lists_nodes() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        let server = server(&cluster.relay_socket());
        let nodes = || stdout(&["list", "nodes", "--server", &server]);
        let state = |text: &str, node: &str| {
            let line = text
                .lines()
                .find(|line| line.contains(node))
                .unwrap_or_default();
            line.split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .to_owned()
        };
        let text = nodes()?;
        for node in ["node-1", "node-2"] {
            ensure!(
                state(&text, node) == "Connected",
                "{node} is not connected:\n{text}"
            );
        }
        cluster.kill_agent("node-2")?;
        testbed::wait::until("node-2 not connected", TIMEOUT, || {
            let text = nodes()?;
            ensure!(
                state(&text, "node-1") == "Connected",
                "node-1 is not connected:\n{text}"
            );
            Ok((state(&text, "node-2") != "Connected").then_some(()))
        })
    })
}

/// Something to see on each node, now and for as long as the result lives: UDP between the two pods
/// of each.
fn traffic_within_each_node(cluster: &Cluster) -> Result<Vec<workload::Workload>> {
    let mut workloads = Vec::new();
    for node in cluster.nodes() {
        let [client, server] = node.pods() else {
            anyhow::bail!("{} has not two pods", node.name())
        };
        workloads.push(workload::serve_udp(server, PORT)?);
        let to = SocketAddr::new(server.ipv4().into(), PORT);
        workloads.push(workload::send_datagrams(
            client,
            vec![to],
            Duration::from_millis(50),
        )?);
    }
    Ok(workloads)
}

fn is_flow_of(response: &GetFlowsResponse, node: &str) -> bool {
    matches!(response.response_types, Some(ResponseTypes::Flow(_)))
        && response.node_name.ends_with(node)
}

/// The nodes that a response says are not connected; none for any other response.
fn lost_nodes(response: &GetFlowsResponse) -> &[String] {
    match &response.response_types {
        Some(ResponseTypes::NodeStatus(status))
            if status.state_change() != NodeState::NodeConnected =>
        {
            &status.node_names
        }
        _ => &[],
    }
}

fn time(response: &GetFlowsResponse) -> (i64, i32) {
    response
        .time
        .map(|it| (it.seconds, it.nanos))
        .unwrap_or_default()
}

fn seconds(response: &GetFlowsResponse) -> i64 {
    time(response).0
}
