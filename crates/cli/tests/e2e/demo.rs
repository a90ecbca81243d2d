//! `palomar demo`, from its first line to what it leaves on the machine.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
use nix::sys::signal::Signal;

use crate::{
    Rule,
    left::Left,
    palomar::{self, Follow},
    seen::{Point, Seen},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "the_demo_shows_a_cluster_at_work_and_leaves_nothing_behind",
        demo,
    ),
    (
        "ctrl_c_ends_the_demo_well_and_it_leaves_nothing_behind",
        interrupted,
    ),
    ("what_a_killed_demo_leaves_is_swept_up", killed),
];

/// How long a demo may take until its first flow is printed.
const START_TIMEOUT: Duration = Duration::from_secs(60);
fn demo() -> Result<()> {
    let before = Left::now();
    let printed = palomar::stdout(&["demo", "--for", "8s", "-o", "json"])?;
    before.wait_until_restored()?;

    let mut responses = palomar::parse(&printed)?;
    responses.retain(|it| matches!(it.response_types, Some(ResponseTypes::Flow(_))));
    let times: Vec<_> = responses
        .iter()
        .map(|it| it.time.map(|it| (it.seconds, it.nanos)))
        .collect();
    ensure!(times.is_sorted(), "not in the order of time");
    responses.retain(is_of_the_scene);
    let mut seen = Seen::default();
    seen.extend(responses)?;

    let all = |what: fn(&crate::seen::Sighting) -> String| -> BTreeSet<String> {
        seen.iter().map(|(it, _)| what(it)).collect()
    };
    let nodes = all(|it| it.node.clone());
    ensure!(nodes.len() >= 2, "flows of {nodes:?} only");
    let verdicts = all(|it| it.verdict.to_owned());
    ensure!(
        verdicts == set(["DROPPED", "FORWARDED"]),
        "verdicts {verdicts:?}"
    );
    let directions = all(|it| it.direction.to_owned());
    ensure!(
        directions.is_superset(&set(["EGRESS", "INGRESS"])),
        "traffic directions {directions:?}"
    );
    let replies = all(|it| format!("{:?}", it.is_reply));
    ensure!(
        replies.is_superset(&set(["Some(true)", "Some(false)"])),
        "replies {replies:?}"
    );

    // Who calls whom, on which port and by which name on either side.
    for (from, to, port) in [
        ("shop/frontend-0", "kube-system/coredns-0", 53),
        ("shop/frontend-0", "shop/api-0", 8080),
        ("shop/cart-0", "shop/cache-0", 11211),
    ] {
        let calls = seen.only(|it| {
            it.point == Point::ToEndpoint
                && (it.source_pod == from && it.destination_pod == to)
                && it.destination.port() == port
        });
        ensure!(
            calls.len() > 0,
            "nothing of {from} arrived at {to} port {port}"
        );
    }
    let drops = seen.only(|it| it.point == Point::Dropped && it.destination.port() == 5432);
    ensure!(drops.len() > 0, "no drops on the way to the database");
    for (drop, _) in drops.iter() {
        ensure!(
            (drop.source_pod.as_str(), drop.destination_pod.as_str())
                == ("batch/crawler-0", "shop/db-0"),
            "a drop of others: {drop}"
        );
    }
    Ok(())
}

fn interrupted() -> Result<()> {
    let before = Left::now();
    let demo = Follow::run(&["demo", "-o", "json"])?;
    demo.wait_for("a flow", START_TIMEOUT, is_of_the_scene)?;
    let status = demo.end_by(Signal::SIGINT)?;
    ensure!(status.success(), "ended with {status}");
    before.wait_until_restored()
}

fn killed() -> Result<()> {
    let before = Left::now();
    let demo = Follow::run(&["demo", "-o", "json"])?;
    demo.wait_for("a flow", START_TIMEOUT, is_of_the_scene)?;
    demo.end_by(Signal::SIGKILL)?;
    // Agents and relay die with it; the names of namespaces stay until somebody looks.
    testbed::sweep()?;
    before.wait_until_restored()
}

/// A packet of TCP or UDP between pods: not neighbour discovery and the like, which has no ports, nor
/// the requests in packets.
fn is_of_the_scene(response: &GetFlowsResponse) -> bool {
    use flow_api::flow::layer4::Protocol;
    let Some(ResponseTypes::Flow(flow)) = &response.response_types else {
        return false;
    };
    let protocol = flow.l4.as_ref().and_then(|it| it.protocol.as_ref());
    flow.l7.is_none() && matches!(protocol, Some(Protocol::Tcp(_) | Protocol::Udp(_)))
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}
