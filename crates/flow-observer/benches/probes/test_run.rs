//! Part `test-run`: a program run on one packet over and over by `BPF_PROG_TEST_RUN`.
//!
//! The least that a run can take: everything is in the caches, and there is one connection.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use aya::programs::SchedClassifier;
use flow_observer::{
    decode::{Decoded, Detail, decode},
    source::{
        Progress, RawEvent, Source as _,
        probes::{self, Aggregation, ProbeConfig, Probes},
    },
};
use testbed::Node;

use crate::{
    cluster,
    figures::Figures,
    programs::{Floor, attached, classifier, test_run},
};

const ROUNDS: usize = 15;
/// Runs of what writes no records: enough that how a measurement begins does not count.
const RUNS: u32 = 200_000;
/// Runs of what writes one each: what they leave fits into the ring without anybody being woken.
const RECORDED_RUNS: u32 = 4_000;
/// Records per poll; any number will do.
const LIMIT: usize = 4_096;
const PACKET_BYTES: usize = 256;
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 1);
const CLIENT_PORT: u16 = 40_000;
/// The one of the probes' programs that is run.
const PROGRAM: &str = "from_endpoint";

pub(crate) fn run() -> Result<()> {
    let cluster = cluster()?;
    let node = cluster.nodes().first().context("a cluster without nodes")?;
    let mut floors = Vec::new();
    for name in ["nothing", "flow", "record"] {
        floors.push((Floor::load(name)?, Figures::default()));
    }
    let mut observed: Vec<(Observed, Figures)> = Vec::new();
    for aggregation in [Aggregation::Medium, Aggregation::None] {
        let known: Vec<u32> = observed.iter().map(|(it, _)| it.id).collect();
        let one = Observed::start(node, aggregation, &known)?;
        observed.push((one, Figures::default()));
    }
    let packet = packet();
    for _ in 0..ROUNDS {
        for (floor, figures) in &mut floors {
            let runs = if floor.name() == "record" {
                RECORDED_RUNS
            } else {
                RUNS
            };
            let took = test_run(floor.program()?, &packet, runs)?;
            figures.add(took.as_nanos() as f64);
            floor.drain();
        }
        for (observed, figures) in &mut observed {
            let took = test_run(&observed.program, &packet, observed.runs)?;
            figures.add(took.as_nanos() as f64);
            observed.drain()?;
        }
    }
    for (observed, _) in &mut observed {
        observed.end()?;
        let expected = ROUNDS as u64 * u64::from(observed.runs);
        ensure!(
            observed.packets == expected,
            "{} packets of {expected} counted",
            observed.packets
        );
    }

    let [(_, nothing), (_, flow), (_, record)] = &floors[..] else {
        bail!("the floor has three programs");
    };
    let [(_, aggregated), (_, reported)] = &observed[..] else {
        bail!("two aggregations are compared");
    };
    println!(
        "ns per run, median of {ROUNDS} rounds of {RUNS} runs, {RECORDED_RUNS} where each leaves a \
         record (smallest to largest)"
    );
    println!("  no program at all            {nothing}");
    println!("  least: flow table            {flow}");
    println!("  least: flow table and record {record}");
    println!(
        "  aggregated packet            {aggregated}  {}",
        ratio(aggregated, flow)
    );
    println!(
        "  reported packet              {reported}  {}",
        ratio(reported, record)
    );
    Ok(())
}

pub(crate) fn ratio(of: &Figures, to: &Figures) -> String {
    format!("{:.2} times the least", of.median() / to.median())
}

/// TCP from a pod to another, in the middle of a connection.
pub(crate) fn packet() -> Vec<u8> {
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    packet.extend([0x45, 0]);
    packet.extend((PACKET_BYTES as u16 - 14).to_be_bytes());
    packet.extend([0, 7, 0, 0, 64, 6, 0, 0]);
    packet.extend(CLIENT.octets());
    packet.extend([10, 1, 1, 2]);
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(80u16.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    packet.resize(PACKET_BYTES, 0x55);
    packet
}

/// Probes whose records are counted by the thread that runs them.
struct Observed {
    probes: Probes,
    program: SchedClassifier,
    id: u32,
    runs: u32,
    packets: u64,
}

impl Observed {
    /// Starts probes beside those whose programs are `known`.
    fn start(node: &Node, aggregation: Aggregation, known: &[u32]) -> Result<Self> {
        let config = ProbeConfig {
            aggregation,
            sockets: false,
            tcp: false,
            ..ProbeConfig::default()
        };
        let probes = node
            .namespace()
            .run(|| probes::start(&config).context("cannot start the probes"))?;
        let info = attached(node)?
            .into_iter()
            .find(|it| it.name_as_str() == Some(PROGRAM) && !known.contains(&it.id()))
            .with_context(|| format!("{PROGRAM} is not attached"))?;
        let id = info.id();
        Ok(Self {
            probes,
            program: classifier(info)?,
            id,
            runs: match aggregation {
                Aggregation::None => RECORDED_RUNS,
                _ => RUNS,
            },
            packets: 0,
        })
    }

    /// Takes what is in the ring.
    fn drain(&mut self) -> Result<()> {
        while self.poll()?.0 {}
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.probes.reader.finish();
        while self.poll()?.1 == Progress::More {}
        Ok(())
    }

    /// Whether there was something, and whether there will be more.
    fn poll(&mut self) -> Result<(bool, Progress)> {
        let (packets, mut any) = (&mut self.packets, false);
        let progress = self
            .probes
            .reader
            .poll(Duration::from_millis(2), LIMIT, &mut |event| {
                let RawEvent::Record(bytes) = event else {
                    return;
                };
                any = true;
                *packets += decode(bytes).map_or(0, |decoded| packets_of(&decoded));
            })?;
        Ok((any, progress))
    }
}

/// How many of our packets a record stands for. Namespaces are never quite silent: the kernel
/// looks for neighbours.
fn packets_of(decoded: &Decoded) -> u64 {
    let is_ours = decoded.packet.headers.ip.map(|ip| ip.source) == Some(CLIENT.into());
    match &decoded.detail {
        Detail::Trace { detail, .. } if is_ours => detail.packets,
        Detail::Expired(detail)
            if [detail.key.port_a, detail.key.port_b].contains(&CLIENT_PORT) =>
        {
            detail.packets_a + detail.packets_b
        }
        _ => 0,
    }
}
