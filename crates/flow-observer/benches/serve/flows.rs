//! The flows: 85 % of packets between pods, 5 % dropped by a policy, 7 % HTTP and 3 % DNS requests;
//! of all, 12 % to names outside and 8 % by UDP. 2,000 pods of 320 workloads in 20 namespaces, four
//! labels each.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use flow_api::flow::{self, Flow, TrafficDirection, layer4::Protocol, layer7::Record};
use flow_filter::TcpFlags;
use flow_observer::{
    record::{
        Endpoint, Ethernet, FlowRecord, Interface, Ip, Name, NameOrigin, Names, Observation,
        PacketHeaders, Party, PolicyVerdict, Transport, Workload,
    },
    ring::{Event, FlowRing, MAX_BATCH, Message},
};
use probe_events::{TracePoint, TraceReason};
use prost_types::Timestamp;

pub(super) const FLOWS: usize = 65_535;
const PODS: u32 = 2_000;
const NAMESPACES: u32 = 20;
const WORKLOADS: u32 = 320;

/// Fills a ring. Tells how many bytes the flows' shared metadata take, about.
pub(super) fn fill(ring: &FlowRing) -> usize {
    fill_by(ring, 1)
}

/// The same with other flows for each seed.
pub(super) fn fill_by(ring: &FlowRing, seed: u64) -> usize {
    let labels: Vec<Arc<[String]>> = (0..WORKLOADS).map(labels).collect();
    let pods: Vec<Arc<Endpoint>> = (0..PODS)
        .map(|number| Arc::new(pod(number, &labels[(number % WORKLOADS) as usize])))
        .collect();
    let names: Vec<Arc<Names>> = (0..200).map(names).collect();
    let interface = Arc::new(Interface {
        index: 7,
        name: "lxc1234567890".into(),
    });
    let world = Arc::new(Endpoint {
        identity: 2,
        labels: Arc::new(["reserved:world".to_owned()]),
        ..Endpoint::default()
    });
    let mut random = fastrand(seed);
    let mut next = || {
        random = fastrand(random);
        random >> 16
    };
    let flows: Vec<u64> = (0..FLOWS as u64).map(|_| next()).collect();
    for (batch, randoms) in flows.chunks(MAX_BATCH / 4).enumerate() {
        let events = randoms.iter().enumerate().map(|(index, &random)| {
            let number = (batch * MAX_BATCH / 4 + index) as u64;
            let from = &pods[random as usize % pods.len()];
            let is_outside = (random >> 12) % 100 < 12;
            let (to, named) = if is_outside {
                let named = &names[(random >> 20) as usize % names.len()];
                (&world, Some(Arc::clone(named)))
            } else {
                (&pods[(random >> 24) as usize % pods.len()], None)
            };
            let mut destination = Party::of(to);
            destination.names = named;
            let record = record(number, random, Party::of(from), destination, &interface);
            match (random >> 5) % 100 {
                0..7 => message(&record, http()),
                7..10 => message(&record, dns()),
                10..15 => Event::Flow(FlowRecord {
                    observation: Observation::PolicyVerdict(PolicyVerdict {
                        verdict: -133,
                        is_ingress: false,
                        is_audited: false,
                        match_type: 0,
                        auth_type: 0,
                    }),
                    ..record
                }),
                _ => Event::Flow(record),
            }
        });
        ring.publish(&mut events.collect());
    }
    let texts = |it: &[String]| {
        it.iter()
            .map(|it| it.len() + size_of::<String>())
            .sum::<usize>()
    };
    labels.iter().map(|it| texts(it)).sum::<usize>() + pods.len() * (size_of::<Endpoint>() + 90)
}

/// A linear congruential generator: the same flows in every run.
fn fastrand(state: u64) -> u64 {
    state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}

fn labels(workload: u32) -> Arc<[String]> {
    Arc::new([
        format!("k8s:app.kubernetes.io/name=service-{workload}"),
        format!("k8s:io.cilium.k8s.policy.serviceaccount=service-{workload}"),
        format!(
            "k8s:io.kubernetes.pod.namespace=namespace-{}",
            workload % NAMESPACES
        ),
        format!("k8s:version=v{}", workload % 7),
    ])
}

fn pod(number: u32, labels: &Arc<[String]>) -> Endpoint {
    let workload = number % WORKLOADS;
    Endpoint {
        id: 100 + number,
        identity: 20_000 + workload,
        cluster_name: "default".into(),
        namespace: format!("namespace-{}", workload % NAMESPACES).into(),
        pod_name: format!("service-{workload}-6d4cf56db6-{number:05}").into(),
        labels: Arc::clone(labels),
        workloads: vec![Workload {
            kind: "Deployment".to_owned(),
            name: format!("service-{workload}"),
        }],
        ..Endpoint::default()
    }
}

fn names(number: u32) -> Arc<Names> {
    let name = Name {
        text: format!("api-{number}.example.com").into(),
        origin: NameOrigin::Dns,
        told_ns: 0,
    };
    Arc::new(Names { all: vec![name] })
}

fn record(
    number: u64,
    random: u64,
    source: Party,
    destination: Party,
    interface: &Arc<Interface>,
) -> FlowRecord {
    let address =
        |bits: u64| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 | bits as u32 & 0xf_ffff));
    let source_port = 1024 + (random % 60_000) as u16;
    let transport = if (random >> 33) % 100 < 8 {
        Transport::Udp {
            source_port,
            destination_port: 53,
        }
    } else {
        Transport::Tcp {
            source_port,
            destination_port: 8080,
            flags: TcpFlags::from_bits([0x02, 0x12, 0x10, 0x18][random as usize % 4]),
        }
    };
    FlowRecord {
        time_ns: 1_750_000_000_000_000_000 + number as i64 * 20_000,
        uuid: u128::from(random) << 64 | u128::from(number),
        observation: Observation::Trace {
            point: TracePoint::FromEndpoint,
            reason: TraceReason::Established,
            encrypted: false,
        },
        packet: PacketHeaders {
            ethernet: Some(Ethernet {
                source: [0x0a, 1, 2, 3, 4, 5],
                destination: [0x0a, 5, 4, 3, 2, random as u8],
            }),
            ip: Some(Ip {
                source: address(random),
                destination: address(random >> 20),
            }),
            transport: Some(transport),
            ..PacketHeaders::default()
        },
        tunnel: None,
        source,
        destination,
        direction: TrafficDirection::Egress,
        interface: Some(Arc::clone(interface)),
        socket_cookie: 0,
        counts: Default::default(),
        process: None,
        translation: None,
        rare: None,
    }
}

/// The request of an application, which comes as a message.
#[expect(deprecated, reason = "clients still read the deprecated fields")]
fn message(packet: &FlowRecord, layer7: flow::Layer7) -> Event {
    let party = |party: &Party| flow::Endpoint {
        id: party.endpoint.id,
        identity: party.identity,
        cluster_name: party.endpoint.cluster_name.to_string(),
        namespace: party.endpoint.namespace.to_string(),
        labels: party.endpoint.labels.to_vec(),
        pod_name: party.endpoint.pod_name.to_string(),
        workloads: Vec::new(),
    };
    let ip = packet.packet.ip.map(|ip| flow::Ip {
        source: ip.source.to_string(),
        destination: ip.destination.to_string(),
        ip_version: 1,
        ..flow::Ip::default()
    });
    let time = Timestamp {
        seconds: packet.time_ns / 1_000_000_000,
        nanos: (packet.time_ns % 1_000_000_000) as i32,
    };
    let tcp = flow::Tcp {
        source_port: 40_000,
        destination_port: 8080,
        flags: None,
    };
    Event::Message(Message {
        time_ns: packet.time_ns,
        message: Box::new(Flow {
            time: Some(time),
            uuid: "3f2504e0-4f89-41d3-9a0c-0305e82c3301".to_owned(),
            verdict: 1,
            ip,
            l4: Some(flow::Layer4 {
                protocol: Some(Protocol::Tcp(tcp)),
            }),
            source: Some(party(&packet.source)),
            destination: Some(party(&packet.destination)),
            r#type: flow::FlowType::L7.into(),
            event_type: Some(flow::CiliumEventType {
                r#type: 129,
                sub_type: 0,
            }),
            node_name: "node-1".to_owned(),
            l7: Some(layer7),
            summary: "HTTP/1.1 GET http://service/api/v1/items".to_owned(),
            ..Flow::default()
        }),
    })
}

fn http() -> flow::Layer7 {
    let http = flow::Http {
        code: 200,
        method: "GET".to_owned(),
        url: "http://service/api/v1/items".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: Vec::new(),
    };
    flow::Layer7 {
        r#type: flow::L7FlowType::Response.into(),
        latency_ns: 1_234_567,
        record: Some(Record::Http(http)),
    }
}

fn dns() -> flow::Layer7 {
    let dns = flow::Dns {
        query: "api-7.example.com.".to_owned(),
        ips: vec!["192.0.2.7".to_owned()],
        ttl: 30,
        qtypes: vec!["A".to_owned()],
        rrtypes: vec!["A".to_owned()],
        ..flow::Dns::default()
    };
    flow::Layer7 {
        r#type: flow::L7FlowType::Response.into(),
        latency_ns: 0,
        record: Some(Record::Dns(dns)),
    }
}
