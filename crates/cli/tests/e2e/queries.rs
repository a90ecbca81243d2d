//! The command line's questions to an agent and to a relay: filters and ranges.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
use testbed::{
    Cluster, Spec,
    exchange::{self, Family},
    wait,
};

use crate::{
    Rule,
    observed::{ALL, all_seen, with_relay},
    palomar::{observe, run, server, stdout},
    seen::{Seen, Sighting},
};

pub(crate) const RULES: &[Rule] = &[
    ("filters_find_what_they_name_and_nothing_else", filters),
    ("last_and_first_count_from_the_right_end", last_and_first),
    ("since_and_until_bound_the_time", since_and_until),
    ("status_and_list_answer_on_agent_and_relay", status_and_list),
];

const UDP_PORT: u16 = 7000;
const TCP_PORT: u16 = 8080;
const DROPPED_PORT: u16 = 5432;
const TIMEOUT: Duration = Duration::from_secs(10);

/// UDP within node-1, TCP between the nodes over both families, and drops on node-2.
fn make_traffic(cluster: &Cluster) -> Result<()> {
    let pod = |name| cluster.pod(name);
    let (web, cart) = (pod("shop/web-0")?, pod("shop/cart-0")?);
    let (api, db) = (pod("shop/api-0")?, pod("shop/db-0")?);
    cluster
        .node("node-2")?
        .drop_traffic(web, db, DROPPED_PORT)?;
    exchange::udp(web, cart, Family::V4, UDP_PORT, 5)?;
    exchange::tcp(web, api, Family::V4, TCP_PORT, 5)?;
    exchange::tcp(web, api, Family::V6, TCP_PORT, 5)?;
    exchange::drops(web, db, Family::V4, DROPPED_PORT, 5)?;
    all_seen(cluster, DROPPED_PORT).map(drop)
}

type Fits = fn(&Sighting) -> bool;

/// Filters as typed, and what every flow that comes must then fulfil.
const FILTERS: &[(&[&str], Fits)] = &[
    (&["--pod", "shop/cart-0"], |it| {
        it.source_pod == "shop/cart-0" || it.destination_pod == "shop/cart-0"
    }),
    (
        &["--from-pod", "shop/web-0", "--to-pod", "shop/api-0"],
        |it| it.source_pod == "shop/web-0" && it.destination_pod == "shop/api-0",
    ),
    (&["--from-ip", "10.1.2.0/24"], |it| {
        it.source.ip().to_string().starts_with("10.1.2.")
    }),
    (&["--to-ip", "fd00:1:2::10"], |it| {
        it.destination.ip().to_string() == "fd00:1:2::10"
    }),
    (&["--verdict", "DROPPED"], |it| it.verdict == "DROPPED"),
    (&["--verdict", "FORWARDED", "--port", "5432"], |it| {
        it.verdict == "FORWARDED" && it.destination.port() == DROPPED_PORT
    }),
    (&["--protocol", "tcp"], |it| !it.flags.is_empty()),
    (&["--protocol", "udp"], |it| it.flags.is_empty()),
    (&["--to-port", "8080"], |it| {
        it.destination.port() == TCP_PORT
    }),
    (&["--from-port", "8080"], |it| it.source.port() == TCP_PORT),
    (&["--type", "drop"], |it| it.verdict == "DROPPED"),
    (&["--type", "trace:to-endpoint", "--port", "7000"], |it| {
        it.point == crate::seen::Point::ToEndpoint
    }),
    (&["--ipv6", "--protocol", "tcp"], |it| it.source.is_ipv6()),
    (&["--tcp-flags", "SYN"], |it| it.flags.contains("SYN")),
    (
        &["--traffic-direction", "ingress", "--port", "8080"],
        |it| it.direction == "INGRESS",
    ),
    (&["--label", "app=cart"], |it| {
        it.source_pod == "shop/cart-0" || it.destination_pod == "shop/cart-0"
    }),
    (&["--node-name", "node-2", "--port", "8080"], |it| {
        it.node == "node-2"
    }),
    (&["--port", "8080", "--not", "--ipv6"], |it| {
        it.source.is_ipv4()
    }),
];

fn filters() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        make_traffic(cluster)?;
        for (filter, fits) in FILTERS {
            let arguments = [filter, &["--last", ALL][..]].concat();
            let mut found = 0;
            for node in cluster.nodes() {
                found += all_fit(&cluster.agent_socket(node.name()), &arguments, *fits)?;
            }
            ensure!(found > 0, "{filter:?}: nothing on any agent");
            let merged = all_fit(&cluster.relay_socket(), &arguments, *fits)?;
            ensure!(
                found == merged,
                "{filter:?}: {found} on the agents, {merged} on the relay"
            );
        }
        by_identity(cluster)
    })
}

/// Identities are computed from labels: the test learns one from a flow and asks for it.
fn by_identity(cluster: &Cluster) -> Result<()> {
    let relay = cluster.relay_socket();
    let flows = flows(&relay, &["--last", ALL, "--from-pod", "shop/cart-0"])?;
    let identity = flows
        .iter()
        .find_map(|it| match &it.response_types {
            Some(ResponseTypes::Flow(flow)) => flow.source.as_ref().map(|it| it.identity),
            _ => None,
        })
        .context("no flow from shop/cart-0")?
        .to_string();
    let arguments = ["--last", ALL, "--identity", &identity, "--port", "7000"];
    let found = all_fit(&relay, &arguments, |it| {
        [&it.source_pod, &it.destination_pod]
            .iter()
            .any(|it| *it == "shop/cart-0")
    })?;
    ensure!(found > 0, "nothing by --identity {identity}");
    Ok(())
}

/// The flows that `arguments` find at `socket`, each checked by `fits`.
fn all_fit(socket: &Path, arguments: &[&str], fits: Fits) -> Result<usize> {
    // Neighbour discovery and the like has no ports to look at.
    let is_udp_or_tcp = |it: &GetFlowsResponse| match &it.response_types {
        Some(ResponseTypes::Flow(flow)) => {
            use flow_api::flow::layer4::Protocol;
            let protocol = flow.l4.as_ref().and_then(|it| it.protocol.as_ref());
            matches!(protocol, Some(Protocol::Tcp(_) | Protocol::Udp(_)))
        }
        _ => false,
    };
    let mut seen = Seen::default();
    seen.extend(
        flows(socket, arguments)?
            .into_iter()
            .filter(is_udp_or_tcp)
            .collect(),
    )?;
    for (sighting, _) in seen.iter() {
        ensure!(fits(sighting), "{arguments:?} found {sighting}");
    }
    Ok(seen.len())
}

fn last_and_first() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        make_traffic(cluster)?;
        let agent = cluster.agent_socket("node-1");
        let ask = |arguments: &[&str]| flows(&agent, &[&["--port", "8080"], arguments].concat());
        let all = ask(&["--last", ALL])?;
        ensure!(all.len() > 10, "{} flows on port 8080", all.len());
        ensure!(
            ask(&["--first", ALL])? == all,
            "--first and --last differ on everything"
        );
        ensure!(
            ask(&["--last", "3"])? == all[all.len() - 3..],
            "--last 3 is not the end"
        );
        ensure!(
            ask(&["--first", "3"])? == all[..3],
            "--first 3 is not the beginning"
        );

        // A relay asks each node for as many.
        let relay = flows(&cluster.relay_socket(), &["--port", "8080", "--last", "3"])?;
        ensure!(
            relay.len() == 6,
            "{} flows of two nodes, expected 3 of each",
            relay.len()
        );
        Ok(())
    })
}

fn since_and_until() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        make_traffic(cluster)?;
        for socket in [cluster.agent_socket("node-1"), cluster.relay_socket()] {
            let all = flows(&socket, &["--port", "8080", "--last", ALL])?;
            // In the middle, and of a time of its own, so that both sides have something.
            let middle = all[all.len() / 2]
                .time
                .context("a response without a time")?;
            let middle_text = middle.to_string();
            let middle = (middle.seconds, middle.nanos);
            let bounded = |bound: &str| flows(&socket, &["--port", "8080", bound, &middle_text]);

            let since = bounded("--since")?;
            let until = bounded("--until")?;
            for response in &since {
                ensure!(
                    time(response)? >= middle,
                    "{response:?} is before --since {middle_text}"
                );
            }
            for response in &until {
                ensure!(
                    time(response)? <= middle,
                    "{response:?} is after --until {middle_text}"
                );
            }
            let at_middle = all
                .iter()
                .filter(|it| time(it).is_ok_and(|it| it == middle))
                .count();
            ensure!(
                since.len() + until.len() == all.len() + at_middle,
                "{} since and {} until, of {} with {at_middle} at {middle_text}",
                since.len(),
                until.len(),
                all.len()
            );
        }
        Ok(())
    })
}

fn status_and_list() -> Result<()> {
    with_relay(&Spec::two_nodes(), |cluster| {
        make_traffic(cluster)?;
        for socket in [cluster.agent_socket("node-1"), cluster.relay_socket()] {
            let server = server(&socket);
            let status = stdout(&["status", "--server", &server])?;
            ensure!(
                status.contains("Healthcheck"),
                "unexpected status:\n{status}"
            );
            ensure!(
                status.contains("Current/Max Flows"),
                "unexpected status:\n{status}"
            );
        }
        let relay = server(&cluster.relay_socket());
        wait::until("both nodes in the status", TIMEOUT, || {
            let status = stdout(&["status", "--server", &relay])?;
            Ok(status.contains("Connected Nodes: 2/2").then_some(()))
        })?;
        let agent = server(&cluster.agent_socket("node-1"));
        let namespaces = stdout(&["list", "namespaces", "--server", &agent])?;
        ensure!(
            namespaces.contains("shop"),
            "no shop among the namespaces:\n{namespaces}"
        );
        let nobody = run(&["status", "--server", "unix:///nonexistent/observer.sock"])?;
        ensure!(!nobody.status.success(), "a status of nobody");
        Ok(())
    })
}

/// [`observe`] without what a relay says about its nodes.
fn flows(socket: &Path, arguments: &[&str]) -> Result<Vec<GetFlowsResponse>> {
    let mut responses = observe(socket, arguments)?;
    responses.retain(|it| matches!(it.response_types, Some(ResponseTypes::Flow(_))));
    Ok(responses)
}

fn time(response: &GetFlowsResponse) -> Result<(i64, i32)> {
    response
        .time
        .map(|it| (it.seconds, it.nanos))
        .context("a response without a time")
}
