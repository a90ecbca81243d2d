//! A node that sees packets, and what it tells of them.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use flow_api::flow::{self, Flow, layer7::Record};
use probe_events::{KIND_TRACE, RECORD_VERSION, TracePoint, TraceReason};

use crate::{
    assemble::Assembler,
    counters::Counters,
    enrich::{Directory, Inventory, inventory::Endpoint},
    exchange::Options,
    ring::Event,
    source::{HostFacts, LocalDevices, Progress, RawEvent, Source, SourceError},
};

/// Pods of this node, of another one, this node, and anybody.
pub(super) const CLIENT: &str = "10.0.1.7:40000";
pub(super) const SERVER: &str = "10.0.1.8:80";
pub(super) const REMOTE: &str = "10.0.2.9:40000";
pub(super) const HOST: &str = "192.168.0.1:80";
pub(super) const WORLD: &str = "203.0.113.5:80";

const MILLISECOND: u64 = 1_000_000;

/// A packet at a place, milliseconds after the beginning.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) point: TracePoint,
    pub(super) ifindex: u32,
    pub(super) at_ms: u64,
    pub(super) packet: Vec<u8>,
}

pub(super) fn seen(point: TracePoint, ifindex: u32, at_ms: u64, packet: &[u8]) -> Seen {
    Seen {
        point,
        ifindex,
        at_ms,
        packet: packet.to_vec(),
    }
}

pub(super) struct Node {
    assembler: Assembler,
    counters: Arc<Counters>,
}

struct NoFacts;

impl HostFacts for NoFacts {}

struct Records(Vec<Vec<u8>>);

impl Source for Records {
    fn poll(
        &mut self,
        _patience: Duration,
        _limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        for record in self.0.drain(..) {
            sink(RawEvent::Record(&record));
        }
        Ok(Progress::More)
    }
}

impl Node {
    pub(super) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let pod = |address: &str, pod: &str, node: &str| Endpoint {
            ips: vec![address.parse::<SocketAddr>().unwrap().ip()],
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            labels: [("app".to_owned(), pod.to_owned())].into(),
            node: Some(node.to_owned()),
            ..Endpoint::default()
        };
        let inventory = Inventory {
            endpoints: vec![
                pod(CLIENT, "client-0", "n1"),
                pod(SERVER, "server-0", "n1"),
                pod(REMOTE, "remote-0", "n2"),
            ],
            ..Inventory::default()
        };
        let devices = LocalDevices {
            addresses: vec![
                HOST.parse::<SocketAddr>().unwrap().ip(),
                IpAddr::from([127, 0, 0, 1]),
            ],
            ..LocalDevices::default()
        };
        let counters = Arc::new(Counters::default());
        let assembler = Assembler::new(
            Box::new(NoFacts),
            Arc::new(Directory::new("n1", inventory)),
            Arc::new(ArcSwap::from_pointee(devices)),
            Arc::clone(&counters),
        )
        .with_exchanges(options);
        Self {
            assembler,
            counters,
        }
    }

    /// The flows of layer 7 that one batch brings.
    pub(super) fn see(&mut self, packets: &[Seen]) -> Vec<Flow> {
        let mut records = Records(packets.iter().map(record).collect());
        let limit = packets.len();
        let mut events = Vec::new();
        self.assembler
            .collect(&mut records, Duration::ZERO, limit, &mut events)
            .unwrap();
        let messages = events.into_iter().filter_map(|event| match event {
            Event::Message(flow) => Some(*flow.message),
            _ => None,
        });
        messages.collect()
    }

    /// What waits for two batches without packets.
    pub(super) fn rest(&mut self) -> Vec<Flow> {
        [self.see(&[]), self.see(&[])].concat()
    }

    pub(super) fn counted(&self, kind: &str) -> u64 {
        let counts = self.counters.stages();
        let found = counts
            .iter()
            .find(|it| it.what == "exchange" && it.kind == kind);
        found.map_or(0, |it| it.count)
    }

    pub(super) fn tables_are_bounded(&self) -> bool {
        self.assembler.exchanges().tables_are_bounded()
    }
}

fn record(seen: &Seen) -> Vec<u8> {
    let mut record = vec![KIND_TRACE, RECORD_VERSION, 0, seen.point as u8];
    record.extend(seen.ifindex.to_ne_bytes());
    record.extend((seen.at_ms * MILLISECOND).to_ne_bytes());
    record.extend((seen.packet.len() as u32).to_ne_bytes());
    record.extend((seen.packet.len() as u16).to_ne_bytes());
    record.extend([0; 2]);
    record.extend([TraceReason::Established as u8, 0, 0, 0, 0, 0, 0, 0]);
    for number in [99u64, 1, 100, 0, 0] {
        record.extend(number.to_ne_bytes());
    }
    record.extend(&seen.packet);
    record
}

/// Ethernet, IPv4 and a protocol's payload.
fn packet(source: SocketAddr, destination: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source.ip(), destination.ip()) else {
        panic!("not IPv4: {source} {destination}");
    };
    let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// A segment at a place of the stream, whose sender has received what is before another place.
pub(super) fn tcp(
    source: &str,
    destination: &str,
    (sequence, acknowledgment): (u32, u32),
    payload: impl AsRef<[u8]>,
) -> Vec<u8> {
    let (source, destination): (SocketAddr, SocketAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    let mut segment = source.port().to_be_bytes().to_vec();
    segment.extend(destination.port().to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend(acknowledgment.to_be_bytes());
    segment.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload.as_ref());
    packet(source, destination, 6, &segment)
}

pub(super) fn udp(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
    let (source, destination): (SocketAddr, SocketAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    let mut datagram = source.port().to_be_bytes().to_vec();
    datagram.extend(destination.port().to_be_bytes());
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    packet(source, destination, 17, &datagram)
}

/// The lines that clients print.
#[expect(deprecated, reason = "the field is still served")]
pub(super) fn lines(flows: &[Flow]) -> Vec<&str> {
    flows.iter().map(|flow| &*flow.summary).collect()
}

pub(super) fn http(flow: &Flow) -> &flow::Http {
    match &flow.l7.as_ref().unwrap().record {
        Some(Record::Http(http)) => http,
        other => panic!("no http: {other:?}"),
    }
}

pub(super) fn dns(flow: &Flow) -> &flow::Dns {
    match &flow.l7.as_ref().unwrap().record {
        Some(Record::Dns(dns)) => dns,
        other => panic!("no dns: {other:?}"),
    }
}

pub(super) fn latency_ns(flow: &Flow) -> u64 {
    flow.l7.as_ref().unwrap().latency_ns
}
