//! The cluster, and who is asked for in it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use flow_api::flow::TrafficDirection;
use flow_observer::{
    counters::Counters,
    decode::payload,
    enrich::{
        Directory, Inventory, NameTable, Snapshot,
        facts::{EndpointFact, Fact, Key, NamesFact, Port, Provider, ServiceFact},
    },
    record::{Counts, FlowRecord, Ip, Observation, PacketHeaders, Party, Transport, Workload},
};

pub(crate) const NODE: &str = "node-0";
pub(crate) const ENDPOINTS: u32 = 100_000;
pub(crate) const NAMES: u32 = 1_000_000;
pub(crate) const NODES: u32 = 400;
pub(crate) const REPLICAS: u32 = 20;
/// Pods of this node.
pub(crate) const LOCAL: u32 = ENDPOINTS / NODES;
/// Pairs of a pod and an address that are used over and over.
pub(crate) const HOT: usize = 2_000;
/// Events of a run of the loop.
pub(crate) const EVENTS: usize = 4096;

pub(crate) fn pod_ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | number).into()
}

/// An address outside of the cluster.
pub(crate) fn outside(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x5000_0000 + 7 * number).into()
}

/// A pod of this node.
pub(crate) fn local_ip(number: u32) -> IpAddr {
    pod_ip(number % LOCAL * NODES)
}

pub(crate) fn pod(number: u32, generation: u32) -> (Key, Fact) {
    let workload = number / REPLICAS;
    let namespace = format!("namespace-{}", workload % 500);
    let name = format!("workload-{workload}");
    let pod = format!("{name}-5d8f7c9b4-{number:05}");
    let key = format!("{namespace}/{pod}").into();
    let labels = [
        format!("k8s:app.kubernetes.io/name={name}"),
        format!("k8s:app.kubernetes.io/instance={namespace}-{name}"),
        format!("k8s:app.kubernetes.io/version={generation}"),
        "k8s:app.kubernetes.io/managed-by=Helm".to_owned(),
        "k8s:pod-template-hash=5d8f7c9b4".to_owned(),
        format!("k8s:io.cilium.k8s.policy.serviceaccount={name}"),
        format!("k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name={namespace}"),
    ];
    let fact = EndpointFact {
        ips: vec![pod_ip(number)],
        namespace,
        pod,
        labels: labels.into(),
        node: Some(format!("node-{}", number % NODES)),
        workload: Some(Workload {
            kind: "Deployment".to_owned(),
            name,
        }),
        ..EndpointFact::default()
    };
    (key, Fact::Endpoint(fact))
}

pub(crate) fn pods(generation: u32) -> Vec<(Key, Fact)> {
    (0..ENDPOINTS).map(|it| pod(it, generation)).collect()
}

/// A service for each workload.
pub(crate) fn services() -> Vec<(Key, Fact)> {
    let port = |ip, port| Port {
        ip,
        protocol: 6,
        port,
    };
    let service = |workload: u32| {
        let pods = workload * REPLICAS..(workload + 1) * REPLICAS;
        let fact = ServiceFact {
            namespace: format!("namespace-{}", workload % 500),
            name: format!("workload-{workload}"),
            frontends: vec![port(Ipv4Addr::from_bits(0xac10_0000 | workload).into(), 80)],
            backends: pods.map(|it| port(pod_ip(it), 8080)).collect(),
            ..ServiceFact::default()
        };
        (format!("workload-{workload}").into(), Fact::Service(fact))
    };
    (0..ENDPOINTS / REPLICAS).map(service).collect()
}

/// Names of a million addresses.
pub(crate) fn names() -> Vec<(Key, Fact)> {
    let names = |number: u32| {
        let fact = NamesFact {
            ips: vec![outside(number)],
            names: vec![name(number)],
        };
        (format!("{number}").into(), Fact::Names(fact))
    };
    (0..NAMES).map(names).collect()
}

pub(crate) fn directory() -> Directory {
    let directory = Directory::new(NODE, Inventory::default());
    directory.replace(Provider::Pods, pods(1));
    directory
}

pub(crate) fn snapshot() -> Arc<Snapshot> {
    let directory = directory();
    directory.replace(Provider::Services, services());
    directory.snapshot()
}

/// Numbers at random (xorshift).
pub(crate) fn random() -> impl FnMut() -> u32 {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    }
}

/// Both ends of events, at random. Many more than one run takes, so that no run sees what the one
/// before left in the caches.
pub(crate) fn ends(
    of: u32,
    address: fn(u32) -> IpAddr,
    other: fn(u32) -> IpAddr,
) -> Vec<[IpAddr; 2]> {
    let mut next = random();
    (0..64 * EVENTS)
        .map(|_| [address(next() % ENDPOINTS), other(next() % of)])
        .collect()
}

pub(crate) fn as_ip(ends: Vec<[IpAddr; 2]>) -> Vec<Ip> {
    let ip = |[source, destination]: [IpAddr; 2]| Ip {
        source,
        destination,
    };
    ends.into_iter().map(ip).collect()
}

/// Pods of this node and the addresses whose names they were told. As many events as there are names:
/// few of them come again before most others were looked up.
pub(crate) fn told_ends() -> Vec<[IpAddr; 2]> {
    let mut next = random();
    (0..256 * EVENTS)
        .map(|_| next() % NAMES)
        .map(|it| [local_ip(it), outside(it)])
        .collect()
}

/// The same, of few of which all events are.
pub(crate) fn hot_ends() -> Vec<[IpAddr; 2]> {
    let mut next = random();
    let few = &told_ends()[..HOT];
    (0..64 * EVENTS)
        .map(|_| few[next() as usize % HOT])
        .collect()
}

pub(crate) fn name(number: u32) -> String {
    format!("host-{number}.example.com")
}

/// The answer of a DNS server that this is the address of the host with this number.
pub(crate) fn answer(number: u32) -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in name(number).split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    // The end of the name; an address, of the Internet, both in the question and in the answer, whose
    // name is that of the question. It holds for a minute.
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    if let IpAddr::V4(ip) = outside(number) {
        message.extend(ip.octets());
    }
    message
}

/// A flow of which nothing is known but the ends.
pub(crate) fn flow(snapshot: &Snapshot, [source, destination]: [IpAddr; 2]) -> FlowRecord {
    FlowRecord {
        time_ns: 1,
        uuid: 0,
        observation: Observation::Trace {
            point: probe_events::TracePoint::ToEndpoint,
            reason: probe_events::TraceReason::Unknown,
            encrypted: false,
        },
        packet: PacketHeaders {
            ip: Some(Ip {
                source,
                destination,
            }),
            transport: Some(Transport::Udp {
                source_port: 53,
                destination_port: 40_000,
            }),
            ..PacketHeaders::default()
        },
        source: of_snapshot(snapshot, source),
        destination: of_snapshot(snapshot, destination),
        direction: TrafficDirection::Unknown,
        tunnel: None,
        interface: None,
        socket_cookie: 0,
        counts: Counts::default(),
        process: None,
        translation: None,
        rare: None,
    }
}

/// What the pods of this node were told: each of a million addresses has a name, which one pod knows.
pub(crate) fn told(snapshot: &Snapshot, counters: &Arc<Counters>) -> NameTable {
    let resolver = outside(NAMES);
    let mut names = NameTable::new(Arc::clone(counters));
    let mut scratch = payload::Scratch::default();
    for number in 0..NAMES {
        let flow = flow(snapshot, [resolver, local_ip(number)]);
        let transport = flow.packet.transport.expect("it is UDP");
        let message = answer(number);
        let application = payload::parse(&transport, &message, &mut scratch)
            .expect("the message is sound")
            .expect("it is DNS");
        names.hear(&application, &flow);
    }
    names
}

pub(crate) fn of_snapshot(snapshot: &Snapshot, ip: IpAddr) -> Party {
    snapshot.look_up(ip).party()
}

/// The number of an address outside of the cluster.
pub(crate) fn number_outside(ip: IpAddr) -> Option<u32> {
    let IpAddr::V4(ip) = ip else {
        return None;
    };
    Some(ip.to_bits().checked_sub(0x5000_0000)? / 7)
}
