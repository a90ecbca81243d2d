//! What the optional programs know arrives in flows.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use flow_api::flow::Verdict;
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
    Cluster, Spec, bind,
    exchange::{self, Family},
};

use crate::{
    Rule,
    socket::retransmitted,
    tcp::drop_first,
    translation::{backend, service, translate_to},
};

pub(crate) const RULES: &[Rule] = &[
    (
        "flows_that_leave_a_pod_or_reach_a_server_tell_its_process",
        both_ends,
    ),
    (
        "a_retransmission_is_told_by_exactly_one_flow_of_its_connection",
        retransmission,
    ),
    (
        "a_translation_is_one_traced_and_one_translated_flow_of_the_pod",
        translated,
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
    let arrived: Vec<_> = flows.iter().filter(|flow| reaches_server(flow)).collect();
    ensure!(
        !arrived.is_empty()
            && arrived
                .iter()
                .all(|flow| pid(flow) == Some(std::process::id())),
        "requests without the process they are for: {arrived:?}"
    );
    for pod in [web, cart] {
        let sent: Vec<_> = flows
            .iter()
            .filter(|flow| leaves(flow, pod.ips()))
            .collect();
        ensure!(!sent.is_empty(), "no flow leaves {}", pod.name());
        for flow in sent {
            ensure!(
                pid(flow) == Some(std::process::id()) || is_last_word(flow),
                "no process, or another: {flow:?}"
            );
        }
    }
    Ok(())
}

fn pid(flow: &FlowRecord) -> Option<u32> {
    flow.process.as_ref().map(|process| process.pid)
}

fn reaches_server(flow: &FlowRecord) -> bool {
    let to_endpoint = matches!(
        flow.observation,
        Observation::Trace {
            point: TracePoint::ToEndpoint,
            ..
        }
    );
    to_endpoint && ends(flow).is_some_and(|(_, destination)| destination.port() == PORT)
}

/// What a connection sends after its process has closed it may belong to no socket any more: an
/// acknowledgement, never what opens it or carries data.
fn is_last_word(flow: &FlowRecord) -> bool {
    const SYN_OR_PSH: u16 = 0x002 | 0x008;
    matches!(
        flow.packet.transport,
        Some(Transport::Tcp { flags, .. }) if flags.bits() & SYN_OR_PSH == 0
    ) && flow.socket_cookie == 0
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
    let there = SocketAddr::new(api.ipv4().into(), PORT);
    let mut expected = 0;
    let flows = flows_of(&cluster, || {
        let listener = api.run(|| Ok(bind::tcp(there)?))?;
        let mut client = web.run(|| Ok(TcpStream::connect(there)?))?;
        let (mut server, _) = listener.accept()?;
        client.write_all(b"lost")?;
        server.read_exact(&mut [0; 4])?;
        expected = retransmitted(&client)?;
        Ok(())
    })?;
    let told: Vec<u32> = flows
        .iter()
        .map(|flow| flow.counts.tcp_retransmits)
        .filter(|&count| count > 0)
        .collect();
    ensure!(
        expected > 0 && told == [expected],
        "told {told:?}, the kernel counts {expected}"
    );
    ensure!(
        flows.iter().all(|flow| flow.counts.tcp_resets_sent == 0),
        "resets that never were"
    );
    Ok(())
}

fn translated() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (web, api) = (cluster.pod("shop/web-0")?, cluster.pod("shop/api-0")?);
    let _translation = translate_to(api)?;
    for family in [Family::V4, Family::V6] {
        let (service, backend) = (service(family), backend(family, api));
        let _listener = api.run(|| Ok(bind::tcp(backend)?))?;
        let flows = flows_of(&cluster, || {
            web.run(|| Ok(TcpStream::connect(service)?))?;
            Ok(())
        })?;
        let told: Vec<_> = flows
            .iter()
            .filter_map(|flow| match flow.observation {
                Observation::Socket { point, .. } => {
                    Some((point, flow.verdict(), ends(flow)?.0, ends(flow)?.1))
                }
                _ => None,
            })
            .collect();
        let own = SocketAddr::new(family.address(web), 0);
        let expected = [
            (1, Verdict::Traced, own, service),
            (2, Verdict::Translated, own, backend),
        ];
        ensure!(told == expected, "told {told:?}, expected {expected:?}");
    }
    Ok(())
}

/// The flows of TCP and UDP that the first node's agent would make of what `traffic` does.
fn flows_of(
    cluster: &Cluster,
    traffic: impl FnOnce() -> Result<()> + Send,
) -> Result<Vec<FlowRecord>> {
    let node = cluster.node("node-1")?.clone();
    node.namespace().run(|| {
        let mut probes = probes::start(&ProbeConfig::default())?;
        let mut assembler = Assembler::new(
            Box::new(probes.names),
            Arc::new(Directory::new("node-1", Inventory::default())),
            probes.attacher.devices(),
            Arc::new(Counters::default()),
        );
        traffic()?;
        let (mut flows, mut events) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + WITHIN;
        loop {
            assembler.collect(&mut probes.reader, Duration::ZERO, LIMIT, &mut events)?;
            // All is in the ring before the traffic has ended.
            if events.is_empty() || Instant::now() > deadline {
                return Ok(flows);
            }
            flows.extend(events.drain(..).filter_map(|event| match event {
                Event::Flow(flow) if ends(&flow).is_some() => Some(flow),
                _ => None,
            }));
        }
    })
}

/// Source and destination, of what has ports.
pub(crate) fn ends(flow: &FlowRecord) -> Option<(SocketAddr, SocketAddr)> {
    let ip = flow.packet.ip?;
    match flow.packet.transport? {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | Transport::Udp {
            source_port,
            destination_port,
        } => Some((
            SocketAddr::new(ip.source, source_port),
            SocketAddr::new(ip.destination, destination_port),
        )),
        _ => None,
    }
}
