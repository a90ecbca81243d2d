//! What the optional programs know arrives in flows.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flow_observer::{
    assemble::Assembler,
    counters::Counters,
    enrich::{Directory, Inventory},
    record::{FlowRecord, Observation, Transport},
    ring::Event,
    source::probes::{self, ProbeConfig},
};
use probe_events::TracePoint;
use testbed::{
    Cluster, Spec,
    exchange::{self, Family},
};

use crate::{Rule, tcp::drop_first};

pub(crate) const RULES: &[Rule] = &[
    (
        "flows_that_leave_a_pod_tell_the_process_at_both_ends",
        both_ends,
    ),
    (
        "a_retransmission_is_told_by_exactly_one_flow_of_its_connection",
        retransmission,
    ),
];

const PORT: u16 = 7000;
const LIMIT: usize = 4096;
/// How long flows may take.
const WITHIN: Duration = Duration::from_secs(10);

fn both_ends() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, cart) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let flows = flows_of(&cluster, || {
        for family in [Family::V4, Family::V6] {
            exchange::tcp(web, cart, family, PORT, 3)?;
            exchange::udp(web, cart, family, PORT, 3)?;
        }
        Ok(())
    })?;
    for pod in [web, cart] {
        let sent: Vec<_> = flows
            .iter()
            .filter(|flow| leaves(flow, pod.ips()))
            .collect();
        ensure!(!sent.is_empty(), "no flow leaves {}", pod.name());
        for flow in sent {
            ensure!(
                flow.process.as_ref().map(|process| process.pid) == Some(std::process::id())
                    || is_last_word(flow),
                "no process, or another: {flow:?}"
            );
        }
    }
    Ok(())
}

/// What a connection sends after its process has closed it belongs to no socket any more.
fn is_last_word(flow: &FlowRecord) -> bool {
    flow.socket_cookie == 0
}

fn leaves(flow: &FlowRecord, ips: [IpAddr; 2]) -> bool {
    let from_endpoint = matches!(
        flow.observation,
        Observation::Trace {
            point: TracePoint::FromEndpoint,
            ..
        }
    );
    from_endpoint && flow.packet.ip.is_some_and(|ip| ips.contains(&ip.source))
}

fn retransmission() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    drop_first(cluster.node("node-1")?, "psh")?;
    let flows = flows_of(&cluster, || {
        exchange::tcp(web, api, Family::V4, PORT, 2)?;
        Ok(())
    })?;
    let told: u32 = flows.iter().map(|flow| flow.counts.tcp_retransmits).sum();
    let resets: u32 = flows.iter().map(|flow| flow.counts.tcp_resets_sent).sum();
    ensure!(
        (told, resets) == (1, 0),
        "{told} retransmissions and {resets} resets"
    );
    Ok(())
}

/// The flows to and from [`PORT`] that the first node's agent would make of what `traffic` does.
fn flows_of(
    cluster: &Cluster,
    traffic: impl FnOnce() -> Result<()> + Send,
) -> Result<Vec<FlowRecord>> {
    let node = cluster.node("node-1")?.clone();
    node.namespace().run(|| {
        let mut probes = probes::start(&ProbeConfig::default())?;
        let mut assembler = Assembler::new(
            Box::new(probes.names),
            Directory::new("node-1", Inventory::default()),
            probes.attacher.devices(),
            Arc::new(Counters::default()),
        );
        traffic()?;
        let mut flows = Vec::new();
        let deadline = Instant::now() + WITHIN;
        loop {
            let (events, _) = assembler.collect(&mut probes.reader, Duration::ZERO, LIMIT)?;
            // All is in the ring before the traffic has ended.
            if events.is_empty() || Instant::now() > deadline {
                return Ok(flows);
            }
            flows.extend(events.into_iter().filter_map(|event| match event {
                Event::Flow(flow) if has_port(&flow) => Some(flow),
                _ => None,
            }));
        }
    })
}

fn has_port(flow: &FlowRecord) -> bool {
    matches!(
        flow.packet.transport,
        Some(
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            } | Transport::Udp {
                source_port,
                destination_port,
            }
        ) if source_port == PORT || destination_port == PORT
    )
}
