//! Services that the host translates in packets, as kube-proxy has it done: flows on both sides of
//! the translation have the service, and are joined.

mod scene;

use std::{
    net::{SocketAddr, UdpSocket},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::{
    record::{FlowRecord, Observation, Party},
    source::probes::ProbeConfig,
    translation::{End, Ends},
};
use probe_events::{TracePoint, TraceReason};
use testbed::{
    Pod, bind,
    exchange::Family::{self, V4, V6},
    wait,
};

use crate::{Rule, flows::ends};
use scene::*;

pub(crate) const RULES: &[Rule] = &[
    (
        "a_service_is_that_of_the_flows_on_both_sides_of_its_translation",
        both_sides,
    ),
    (
        "a_port_of_the_node_is_its_service_on_both_sides_of_its_translation",
        node_port,
    ),
    (
        "a_masqueraded_connection_to_a_service_is_that_of_its_client",
        masqueraded,
    ),
    (
        "a_backend_of_two_services_has_none_when_it_is_reached_directly",
        directly,
    ),
    (
        "a_connection_that_is_older_than_the_probes_has_its_service",
        older,
    ),
    ("of_many_connections_to_a_service_all_flows_have_it", many),
    ("news_that_were_lost_are_counted_and_made_up_for", overrun),
];

/// Both protocols, both families.
type Talk = fn(&Pod, &Pod, SocketAddr) -> Result<SocketAddr>;
const TALKS: [(Talk, Family); 4] = [
    (connection, V4),
    (connection, V6),
    (datagram, V4),
    (datagram, V6),
];

fn both_sides() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        for (name, service) in [("web", service(family)), ("other", other_service(family))] {
            let own = talk(client, server, service)?;
            let flows = reader.flows()?;
            let places = of_service(&flows, name, own, own, service, backend(family, server))?;
            ensure!(
                places == [true; 4],
                "{name}: both sides and directions, seen {places:?}: {flows:?}"
            );
        }
    }
    Ok(())
}

fn node_port() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    let node = observed.cluster.node("node-1")?;
    for (talk, family) in TALKS {
        let there = node_address(family, node)?;
        let own = talk(client, server, there)?;
        let flows = reader.flows()?;
        let places = of_service(&flows, "web", own, own, there, backend(family, server))?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
    }
    Ok(())
}

fn masqueraded() -> Result<()> {
    let observed = Observed::start(true)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        let (service, backend) = (service(family), backend(family, server));
        let own = talk(client, server, service)?;
        let flows = reader.flows()?;
        let mask = flows
            .iter()
            .find_map(|flow| ends(flow).filter(|(from, to)| *to == backend && *from != own))
            .context("no flow reaches the backend")?
            .0;
        let node = observed.cluster.node("node-1")?;
        ensure!(node.ips().contains(&mask.ip()), "not masqueraded: {mask}");
        let places = of_service(&flows, "web", own, mask, service, backend)?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
        for flow in &flows {
            if ends(flow) == Some((mask, backend)) {
                let pod = &flow.source.endpoint.pod_name;
                ensure!(&**pod == "web-0", "from {pod:?}: {flow:?}");
            }
        }
    }
    Ok(())
}

fn directly() -> Result<()> {
    let observed = Observed::start(false)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    for (talk, family) in TALKS {
        talk(client, server, service(family))?;
        reader.flows()?;
        let own = talk(client, server, backend(family, server))?;
        let flows = reader.flows()?;
        let seen: Vec<_> = flows.iter().filter(|flow| is_of(flow, own)).collect();
        ensure!(!seen.is_empty(), "nothing seen of {own}");
        for flow in seen {
            let nothing = name(&flow.source).is_none() && name(&flow.destination).is_none();
            ensure!(nothing && flow.translation.is_none(), "{flow:?}");
        }
    }
    Ok(())
}

fn older() -> Result<()> {
    let observed = Observed::start(false)?;
    let (client, server) = (observed.client()?, observed.server()?);
    let mut open = Vec::new();
    for family in [V4, V6] {
        let backend = backend(family, server);
        let listener = server.run(|| Ok(bind::tcp(backend)?))?;
        open.push((family, connected(client, &listener, service(family))?));
    }
    let mut reader = observed.probes(&ProbeConfig::default())?;
    for (family, (asking, answering)) in &mut open {
        let own = asking.local_addr()?;
        exchange(asking, answering)?;
        let flows = reader.flows()?;
        let (service, backend) = (service(*family), backend(*family, server));
        let places = of_service(&flows, "web", own, own, service, backend)?;
        ensure!(places == [true; 4], "seen {places:?}: {flows:?}");
    }
    Ok(())
}

/// Connections one after the other, while the flows are read.
const MANY: usize = 300;

fn many() -> Result<()> {
    let observed = Observed::start(true)?;
    let mut reader = observed.probes(&ProbeConfig::default())?;
    let (client, server) = (observed.client()?, observed.server()?);
    let (service, backend) = (service(V4), backend(V4, server));
    let mut flows = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let talking = scope.spawn(|| -> Result<()> {
            let listener = server.run(|| Ok(bind::tcp(backend)?))?;
            for _ in 0..MANY {
                talk(client, &listener, service)?;
            }
            Ok(())
        });
        while !talking.is_finished() {
            flows.extend(reader.flows()?);
        }
        talking
            .join()
            .map_err(|_| anyhow::anyhow!("the client panicked"))?
    })?;
    flows.extend(reader.flows()?);
    let mut seen = 0;
    for flow in &flows {
        let Some((from, to)) = ends(flow) else {
            continue;
        };
        let side = if to == service || to == backend {
            &flow.destination
        } else if from == service || from == backend {
            &flow.source
        } else {
            continue;
        };
        let is_translated = from == backend || to == backend;
        seen += 1;
        let is_known = name(side).as_deref() == Some("web");
        ensure!(
            is_known && (flow.translation.is_some() || !is_translated) || is_half_translated(flow),
            "not of the service, or not joined: {flow:?}"
        );
    }
    ensure!(seen >= 4 * MANY, "{seen} flows of {MANY} connections");
    Ok(())
}

/// A bridge that is given to firewalls shows the first packet before the kernel tells of the
/// connection.
fn is_half_translated(flow: &FlowRecord) -> bool {
    matches!(
        flow.observation,
        Observation::Trace {
            point: TracePoint::ToStack,
            reason: TraceReason::New,
            ..
        }
    )
}

fn overrun() -> Result<()> {
    const CONNECTIONS: usize = 200;
    let observed = Observed::start(false)?;
    let config = ProbeConfig {
        conntrack_queue_bytes: 2_048,
        ..ProbeConfig::default()
    };
    let mut reader = observed.probes(&config)?;
    let client = observed.client()?;
    let sockets: Vec<UdpSocket> = client.run(|| {
        (0..CONNECTIONS)
            .map(|_| {
                let socket = UdpSocket::bind((client.ipv4(), 0))?;
                socket.send_to(b"question", service(V4))?;
                Ok(socket)
            })
            .collect()
    })?;
    wait::until("all connections to be known", WITHIN, || {
        reader.flows()?;
        let counts = reader.statistics.snapshot().translations;
        ensure!(counts.overruns > 0, "nothing was lost: {counts:?}");
        Ok((counts.connections == CONNECTIONS as u64).then_some(()))
    })
    .with_context(|| format!("{:?}", reader.statistics.snapshot().translations))?;
    drop(sockets);
    Ok(())
}

/// Checks the flows of a connection to a service. Tells what there are: towards the service and
/// back, before the translation and behind it.
fn of_service(
    flows: &[FlowRecord],
    service_name: &str,
    client: SocketAddr,
    mask: SocketAddr,
    service: SocketAddr,
    backend: SocketAddr,
) -> Result<[bool; 4]> {
    let mut seen = [false; 6];
    let legs = [
        (client, service),
        (service, client),
        (mask, backend),
        (backend, mask),
        // A bridge that is given to firewalls, as Kubernetes has it, shows it half translated.
        (client, backend),
        (backend, client),
    ];
    for flow in flows {
        let Some(at) = legs.iter().position(|leg| ends(flow) == Some(*leg)) else {
            continue;
        };
        seen[at] = true;
        let (server, client_side) = match at % 2 {
            0 => (&flow.destination, &flow.source),
            _ => (&flow.source, &flow.destination),
        };
        let is_named = name(server).as_deref() == Some(service_name);
        ensure!(
            (is_named || is_half_translated(flow)) && name(client_side).is_none(),
            "not of {service_name}: {flow:?}"
        );
        match &flow.translation {
            Some(translation) => ensure!(
                translation.original == between(client, service)
                    && translation.translated == between(mask, backend),
                "joined with another: {flow:?}"
            ),
            // The first packet is seen before it is translated.
            None => ensure!(at == 0 || is_half_translated(flow), "not joined: {flow:?}"),
        }
    }
    let [a, b, c, d, ..] = seen;
    Ok([a, b, c, d])
}

fn between(source: SocketAddr, destination: SocketAddr) -> Ends {
    Ends {
        source: End::from(source),
        destination: End::from(destination),
    }
}

fn is_of(flow: &FlowRecord, client: SocketAddr) -> bool {
    ends(flow).is_some_and(|(from, to)| from == client || to == client)
}

fn name(party: &Party) -> Option<String> {
    let service = party.service.as_ref()?;
    (&*service.namespace == "shop").then(|| service.name.to_string())
}
