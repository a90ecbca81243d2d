//! Who it is: the demo's flows are found by every kind of name that they have.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flow_api::{
    flow::{Endpoint, Flow},
    observer::get_flows_response::ResponseTypes,
};
use testbed::{
    Cluster, wait,
    workload::{self, Scene},
};

use crate::{
    Rule,
    observed::with_relay,
    palomar::{observe, server, stdout},
};

pub(crate) const RULES: &[Rule] = &[(
    "flows_are_found_by_names_services_workloads_labels_and_nodes",
    filters,
)];

const TIMEOUT: Duration = Duration::from_secs(20);

type Fits = fn(&Flow) -> bool;

/// Filters as typed, and what every flow that comes must then fulfil.
const FILTERS: &[(&[&str], Fits)] = &[
    (&["--to-fqdn", "api.github.com"], |it| {
        it.destination_names
            .iter()
            .any(|name| name == "api.github.com")
    }),
    (&["--from-fqdn", "*.github.com"], |it| {
        it.source_names.iter().any(|name| name == "api.github.com")
    }),
    (&["--pod", "batch/mirror-0"], |it| {
        either(it, |side| side.pod_name == "mirror-0")
    }),
    (&["--to-service", "shop/api"], |it| {
        it.destination_service
            .as_ref()
            .is_some_and(|it| it.name == "api")
    }),
    (&["--workload", "Deployment/frontend"], |it| {
        either(it, |side| {
            side.workloads.iter().any(|it| it.name == "frontend")
        })
    }),
    (&["--label", "app=cart"], |it| {
        either(it, |side| side.labels.iter().any(|it| it == "k8s:app=cart"))
    }),
    (&["--namespace", "batch"], |it| {
        either(it, |side| side.namespace == "batch")
    }),
    (&["--node-name", "node-2"], |it| it.node_name == "node-2"),
    (&["--to-label", "fqdn:api.github.com"], |it| {
        it.destination
            .as_ref()
            .is_some_and(|it| it.identity > 1 << 24)
    }),
];

fn either(flow: &Flow, fits: impl Fn(&Endpoint) -> bool) -> bool {
    [&flow.source, &flow.destination]
        .into_iter()
        .flatten()
        .any(fits)
}

fn filters() -> Result<()> {
    with_relay(&workload::demo_spec(2), |cluster| {
        let scene = Scene::start(cluster)?;
        scene.warm_up()?;
        for (filter, fits) in FILTERS {
            selects(cluster, filter, *fits)?;
        }
        identity(cluster)?;
        line(cluster)
    })
}

/// A filter finds something, and only what it names.
fn selects(cluster: &Cluster, filter: &[&str], fits: Fits) -> Result<()> {
    let relay = cluster.relay_socket();
    let flows = wait::until(&format!("flows by {filter:?}"), TIMEOUT, || {
        let found = observe(&relay, filter)?;
        Ok((!found.is_empty()).then_some(found))
    })?;
    for response in flows {
        if let Some(ResponseTypes::Flow(flow)) = response.response_types {
            ensure!(fits(&flow), "{filter:?} found {flow:?}");
        }
    }
    Ok(())
}

/// The number that a flow tells finds the endpoint again.
fn identity(cluster: &Cluster) -> Result<()> {
    let relay = cluster.relay_socket();
    let found = observe(&relay, &["--to-pod", "shop/cache-0", "--last", "1"])?;
    let number = found.into_iter().find_map(|it| match it.response_types? {
        ResponseTypes::Flow(flow) => flow.destination.map(|it| it.identity),
        _ => None,
    });
    let number = number.context("nothing was sent to shop/cache-0")?;
    for response in observe(&relay, &["--to-identity", &number.to_string()])? {
        if let Some(ResponseTypes::Flow(flow)) = response.response_types {
            let pod = flow.destination.map(|it| it.pod_name);
            ensure!(pod.as_deref() == Some("cache-0"), "{number} is {pod:?}");
        }
    }
    Ok(())
}

/// One line of text names the peer outside and tells its identity.
fn line(cluster: &Cluster) -> Result<()> {
    let relay = server(&cluster.relay_socket());
    let printed = stdout(&[
        "observe",
        "--server",
        &relay,
        "--to-fqdn",
        "api.github.com",
        "--tcp-flags",
        "SYN",
    ])?;
    let is_wanted = |line: &str| {
        let (before, after) = line.split_once(" -> ").unwrap_or_default();
        before.contains(": batch/mirror-0:")
            && after.starts_with("api.github.com:443 (ID:")
            && after.ends_with("from-endpoint FORWARDED (TCP Flags: SYN)")
    };
    ensure!(printed.lines().any(is_wanted), "no such line in\n{printed}");
    Ok(())
}
