//! The probes in a node of a cluster, and what they reported.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::{
    decode::{Decoded, Detail, decode},
    record::Transport,
    source::{
        Progress, RawEvent, Source as _,
        probes::{self, ProbeConfig, Probes},
    },
};
use probe_events::TracePoint;
use testbed::{Cluster, Node, Pod, Spec};

/// Records per poll; any number will do.
const LIMIT: usize = 4096;
/// How long what was caused before may take to be read.
const SETTLED: Duration = Duration::from_millis(200);
/// How long the probes may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `test` on a node with two pods and the probes.
pub(crate) fn on_node(
    config: &ProbeConfig,
    test: impl FnOnce(&mut Watch, &Pod, &Pod) -> Result<()>,
) -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let (client, server) = (cluster.pod("shop/web-0")?, cluster.pod("shop/cart-0")?);
    let mut watch = start(cluster.node(client.node())?, config)?;
    test(&mut watch, client, server)
}

/// Runs a program in `pod`, which must succeed.
pub(crate) fn run(pod: &Pod, program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    let status = pod.spawn(command)?.wait()?;
    ensure!(
        status.success(),
        "{program} {arguments:?} ended with {status}"
    );
    Ok(())
}

/// Probes at work in a node, and what they have said so far.
pub(crate) struct Watch {
    pub(crate) probes: Probes,
    pub(crate) seen: Vec<Decoded>,
    pub(crate) lost: u64,
}

/// Starts the probes in `node`.
pub(crate) fn start(node: &Node, config: &ProbeConfig) -> Result<Watch> {
    let probes = node
        .namespace()
        .run(|| probes::start(config).context("cannot start the probes"))?;
    Ok(Watch {
        probes,
        seen: Vec::new(),
        lost: 0,
    })
}

impl Watch {
    /// Reads until nothing more comes.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < SETTLED {
            if self.poll()?.0 > 0 {
                quiet_since = Instant::now();
            }
        }
        Ok(())
    }

    /// Ends the probes and reads what they leave.
    pub(crate) fn end(&mut self) -> Result<()> {
        let began = Instant::now();
        self.probes.reader.finish();
        while self.poll()?.1 == Progress::More {
            ensure!(began.elapsed() < END_TIMEOUT, "the probes do not end");
        }
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Result<(usize, Progress)> {
        let mut records = Vec::new();
        let mut lost = 0;
        let progress = self
            .probes
            .reader
            .poll(Duration::from_millis(20), LIMIT, &mut |event| match event {
                RawEvent::Record(bytes) => records.push(decode(bytes)),
                RawEvent::Lost { count, .. } => lost += count,
                _ => {}
            })?;
        self.lost += lost;
        let count = records.len();
        for record in records {
            self.seen.push(record?);
        }
        Ok((count, progress))
    }

    /// Packets and bytes that `from` sent from `port`, as counted at `point`: in trace records,
    /// in those of the answers, and in what was left at the end.
    pub(crate) fn counted(&self, point: TracePoint, from: IpAddr, port: u16) -> (u64, u64) {
        let mut sum = (0, 0);
        let mut add = |packets, bytes| {
            sum.0 += packets;
            sum.1 += bytes;
        };
        for record in &self.seen {
            match &record.detail {
                Detail::Trace {
                    point: at, detail, ..
                } => {
                    let Some((source, destination)) = ends(record) else {
                        continue;
                    };
                    if *at == point && source == (from, port) {
                        add(detail.packets, detail.bytes);
                    } else if *at == opposite(point) && destination == (from, port) {
                        add(detail.other_packets, detail.other_bytes);
                    }
                }
                Detail::Expired(detail) => {
                    let key = &detail.key;
                    if detail.point_a == point as u8
                        && (address(key.address_a), key.port_a) == (from, port)
                    {
                        add(detail.packets_a, detail.bytes_a);
                    }
                    if detail.point_b == point as u8
                        && (address(key.address_b), key.port_b) == (from, port)
                    {
                        add(detail.packets_b, detail.bytes_b);
                    }
                }
                Detail::Drop(_) => {}
            }
        }
        sum
    }

    /// Trace records of packets that `from` sent from `port`, at `point`.
    pub(crate) fn traces(&self, point: TracePoint, from: IpAddr, port: u16) -> Vec<&Decoded> {
        self.seen
            .iter()
            .filter(|record| {
                matches!(&record.detail, Detail::Trace { point: at, .. } if *at == point)
                    && ends(record).is_some_and(|(source, _)| source == (from, port))
            })
            .collect()
    }
}

/// Where the answers to what passes a point pass.
fn opposite(point: TracePoint) -> TracePoint {
    match point {
        TracePoint::FromEndpoint => TracePoint::ToEndpoint,
        TracePoint::ToEndpoint => TracePoint::FromEndpoint,
        TracePoint::FromNetwork => TracePoint::ToNetwork,
        TracePoint::ToNetwork => TracePoint::FromNetwork,
        TracePoint::FromStack => TracePoint::ToStack,
        TracePoint::ToStack => TracePoint::FromStack,
        TracePoint::FromHost => TracePoint::ToHost,
        TracePoint::ToHost => TracePoint::FromHost,
        TracePoint::FromOverlay => TracePoint::ToOverlay,
        TracePoint::ToOverlay => TracePoint::FromOverlay,
        other => other,
    }
}

type End = (IpAddr, u16);

pub(crate) fn ends(record: &Decoded) -> Option<(End, End)> {
    let ip = record.packet.headers.ip?;
    let (from, to) = match record.packet.headers.transport? {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | Transport::Udp {
            source_port,
            destination_port,
        }
        | Transport::Sctp {
            source_port,
            destination_port,
            ..
        } => (source_port, destination_port),
        _ => (0, 0),
    };
    Some(((ip.source, from), (ip.destination, to)))
}

pub(crate) fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}
