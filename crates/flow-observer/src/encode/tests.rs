//! What records are encoded to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_api::{
    flow::{Endpoint as EndpointMessage, TrafficDirection},
    frames::Frames,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use flow_filter::TcpFlags;
use probe_events::{TracePoint, TraceReason};
use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::SmallRng};

use super::*;
use crate::{
    record::{
        Endpoint, Ethernet, Interface, Ip, KernelDrop, Name, NameOrigin, Names, Observation,
        PacketHeaders, Party, PolicyVerdict, Rare, Service, Transport, Tunnel, TunnelProtocol,
        Workload,
    },
    ring::{Event, FlowRing, Read},
};

/// Makes records with everything that a record can have, or not.
struct Random(SmallRng);

impl Random {
    fn chance(&mut self) -> bool {
        self.0.random()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance().then(|| make(self))
    }

    fn number<T>(&mut self) -> T
    where
        rand::distr::StandardUniform: rand::distr::Distribution<T>,
    {
        self.0.random()
    }

    /// Of few letters, or as long as it takes to need two bytes of length; empty at times.
    fn text(&mut self) -> String {
        let length = match self.0.random_range(0..8) {
            0 => 0,
            1 => self.0.random_range(100..300),
            _ => self.0.random_range(1..40),
        };
        (0..length)
            .map(|_| self.0.random_range('a'..='ä'))
            .collect()
    }

    fn texts(&mut self) -> Vec<String> {
        (0..self.0.random_range(0..5))
            .map(|_| self.text())
            .collect()
    }

    fn ip(&mut self) -> Ip {
        let mut address = |is_v6: bool| -> IpAddr {
            match (self.0.random_range(0..8), is_v6) {
                (0, false) => Ipv4Addr::UNSPECIFIED.into(),
                (0, true) => Ipv6Addr::UNSPECIFIED.into(),
                (_, false) => Ipv4Addr::from_bits(self.0.random()).into(),
                (_, true) => Ipv6Addr::from_bits(self.0.random()).into(),
            }
        };
        let is_v6 = address(false).is_unspecified();
        Ip {
            source: address(is_v6),
            destination: address(is_v6),
        }
    }

    fn transport(&mut self) -> Transport {
        let (source_port, destination_port) = (self.number(), self.number());
        let (kind, code) = (self.number(), self.number());
        match self.0.random_range(0..7) {
            0 => Transport::Udp {
                source_port,
                destination_port,
            },
            1 => Transport::Sctp {
                source_port,
                destination_port,
                chunk: Some(kind),
            },
            2 => Transport::Icmpv4 { kind, code },
            3 => Transport::Icmpv6 { kind, code },
            4 => Transport::Vrrp {
                version: 2,
                kind,
                id: code,
                priority: self.number(),
            },
            5 => Transport::Igmp {
                kind,
                group: Ipv4Addr::from_bits(self.number()),
            },
            _ => Transport::Tcp {
                source_port,
                destination_port,
                flags: TcpFlags::from_bits(self.number()),
            },
        }
    }

    fn observation(&mut self) -> Observation {
        let point = TracePoint::ALL[self.0.random_range(0..TracePoint::ALL.len())];
        let reasons = [TraceReason::New, TraceReason::Reply, TraceReason::Unknown];
        let reason = reasons[self.0.random_range(0..reasons.len())];
        match self.0.random_range(0..8) {
            0 => Observation::Closing { point, reason },
            1 => Observation::Captured,
            2 => Observation::KernelDrop(Arc::new(KernelDrop {
                code: self.number(),
                reason: self.text().into(),
                function: self.maybe(|it| it.text().into()),
                netns_inode: 0,
            })),
            3 => Observation::DatapathDrop {
                code: self.number(),
                file: self.number(),
                line: self.number(),
            },
            4 => Observation::PolicyVerdict(PolicyVerdict {
                verdict: self.0.random_range(-200..200),
                is_ingress: self.chance(),
                is_audited: self.chance(),
                match_type: self.number(),
                auth_type: self.number(),
            }),
            5 => Observation::DebugCapture {
                point: self.number(),
            },
            6 => Observation::Socket {
                point: self.number(),
                cgroup_id: self.number(),
            },
            _ => Observation::Trace {
                point,
                reason,
                encrypted: self.chance(),
            },
        }
    }

    fn party(&mut self) -> Party {
        let endpoint = Endpoint {
            id: self.number(),
            identity: self.number(),
            cluster_name: self.text().into(),
            namespace: self.text().into(),
            pod_name: self.text().into(),
            labels: self.texts().into(),
            workloads: (0..self.0.random_range(0..3))
                .map(|_| Workload {
                    kind: self.text(),
                    name: self.text(),
                })
                .collect(),
            ..Endpoint::default()
        };
        let name = |text: String| Name {
            text: text.into(),
            origin: NameOrigin::Dns,
            told_ns: 0,
        };
        Party {
            endpoint: Arc::new(endpoint),
            identity: self.number(),
            names: self.maybe(|it| {
                let all = it.texts().into_iter().map(name).collect();
                Arc::new(Names { all })
            }),
            service: self.maybe(|it| {
                Arc::new(Service {
                    namespace: it.text().into(),
                    name: it.text().into(),
                })
            }),
        }
    }

    fn record(&mut self) -> FlowRecord {
        let directions = [
            TrafficDirection::Unknown,
            TrafficDirection::Ingress,
            TrafficDirection::Egress,
        ];
        FlowRecord {
            time_ns: self.number(),
            uuid: self.number(),
            observation: self.observation(),
            packet: PacketHeaders {
                ethernet: self.maybe(|it| Ethernet {
                    source: it.number(),
                    destination: it.number(),
                }),
                ip: self.maybe(Self::ip),
                transport: self.maybe(Self::transport),
                ..PacketHeaders::default()
            },
            tunnel: self.maybe(|it| {
                Arc::new(Tunnel {
                    protocol: TunnelProtocol::Vxlan,
                    vni: it.0.random_range(0..1 << 24),
                    ip: it.ip(),
                    transport: it.transport(),
                })
            }),
            source: self.party(),
            destination: self.party(),
            direction: directions[self.0.random_range(0..3)],
            interface: self.maybe(|it| {
                Arc::new(Interface {
                    index: it.number(),
                    name: it.text().into(),
                })
            }),
            socket_cookie: self.number(),
            rare: self.maybe(|it| {
                Box::new(Rare {
                    proxy_port: it.number(),
                    original_source: it.maybe(|it| it.ip().source),
                    ip_trace_id: it.number(),
                    application: None,
                })
            }),
            counts: Default::default(),
            process: None,
            translation: None,
        }
    }
}

/// A record with anything that a record can have.
pub(crate) fn record(seed: u64) -> FlowRecord {
    Random(SmallRng::seed_from_u64(seed)).record()
}

fn node() -> NodeFacts {
    NodeFacts {
        name: "cluster/node-1".to_owned(),
        directory: None,
    }
}

fn encoded(record: &FlowRecord) -> Vec<u8> {
    let (node, mut bytes) = (node(), Vec::new());
    let around = Surroundings::now(&node);
    flow::put_flow(record, &around, Everything, &mut Writer::new(&mut bytes));
    bytes
}

proptest! {
    #[test]
    fn a_record_becomes_the_bytes_that_prost_makes_of_the_same_flow(seed: u64) {
        let record = record(seed);
        let bytes = encoded(&record);
        let message = Flow::decode(&*bytes).unwrap();
        prop_assert_eq!(&message.time, &Some(timestamp(record.time_ns)));
        prop_assert_eq!(&message.uuid, &uuid_text(record.uuid));
        prop_assert_eq!(message.encode_to_vec(), bytes);
    }

    #[test]
    fn readers_share_what_was_encoded_and_each_gets_what_it_wants(
        wanted in prop::collection::vec((any::<u64>(), 0usize..=GROUP), 1..12),
        count in 1usize..=GROUP,
    ) {
        // Of a size that has its segments as large as a group.
        let ring = FlowRing::new(16 * GROUP);
        ring.publish(&mut (0..count as u64).map(|seed| Event::Flow(record(seed))).collect());
        let Read::Batch(batch) = ring.read(0) else { panic!("no batch") };
        let node = node();
        let around = Surroundings::now(&node);
        let mut all = 0;
        for (wanted, seen) in wanted {
            // A reader sees the first events, or all of them.
            let seen = if seen == 0 { count } else { seen.min(count) };
            let wanted = wanted & (u64::MAX >> (GROUP - seen));
            let (encoded, _) = batch.encoded();
            let frames = encoded.frames(0, &batch.from(0)[..seen], 0, wanted, &around);
            let responses: Vec<_> = Frames::new(frames).collect();
            let mut expected = Vec::new();
            for slot in ones(wanted).map(|event| &batch.from(0)[event]) {
                let mut bytes = Vec::new();
                put_response(&slot.event, &around, &mut Writer::new(&mut bytes));
                expected.push(bytes);
            }
            prop_assert_eq!(responses, expected);
            all |= wanted;
            prop_assert!(encoded.has(0, all));
        }
        // Once each, however often it was asked for.
        let each = |event: usize| {
            let mut bytes = Vec::new();
            put_response(&batch.from(0)[event].event, &around, &mut Writer::new(&mut bytes));
            bytes.len() + flow_api::frames::PREFIX
        };
        prop_assert_eq!(batch.encoded().0.bytes(), ones(all).map(each).sum::<usize>() as u64);
    }
}

#[test]
fn a_response_has_the_time_and_the_node_of_its_flow() {
    let record = record(1);
    let node = node();
    let mut bytes = Vec::new();
    let around = Surroundings::now(&node);
    let event = Event::Flow(record.clone());
    put_response(&event, &around, &mut Writer::new(&mut bytes));
    let response = GetFlowsResponse::decode(&*bytes).unwrap();
    assert_eq!(response.time, Some(timestamp(record.time_ns)));
    assert_eq!(response.node_name, node.name);
    let Some(ResponseTypes::Flow(flow)) = &response.response_types else {
        panic!("{response:?}")
    };
    assert_eq!((&flow.time, &flow.node_name), (&response.time, &node.name));
    assert_ne!(flow.source, Some(EndpointMessage::default()));
    assert_eq!(response.encode_to_vec(), bytes);
}

#[test]
fn times_before_and_after_1970_are_seconds_plus_nanoseconds() {
    let time = |seconds, nanos| Timestamp { seconds, nanos };
    assert_eq!(timestamp(1_500_000_000), time(1, 500_000_000));
    assert_eq!(timestamp(-1), time(-1, 999_999_999));
}

#[test]
fn a_uuid_is_written_in_its_canonical_form() {
    assert_eq!(uuid_text(1), "00000000-0000-0000-0000-000000000001");
    let digits = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
    assert_eq!(uuid_text(digits), "01234567-89ab-cdef-0123-456789abcdef");
}
