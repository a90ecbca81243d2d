//! Records in, flows as clients see them out.

mod names;
mod records;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use flow_api::flow::{self, Flow, TrafficDirection, Verdict};

use crate::{
    assemble::Assembler,
    counters::Counters,
    decode::cilium::tests::gob,
    encode::{NodeFacts, flow_message},
    enrich::{
        Directory, Inventory,
        facts::Port,
        inventory::{self, Endpoint, Workload},
    },
    ring::Event,
    source::{HostFacts, LocalDevices, Progress, RawEvent, Source, SourceError},
};
use records::*;

struct NoFacts;

impl HostFacts for NoFacts {}

/// Hands out one record.
struct OneRecord(Vec<u8>);

impl Source for OneRecord {
    fn poll(
        &mut self,
        _patience: Duration,
        _limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        let bytes = &self.0;
        sink(RawEvent::Cilium { cpu: 3, bytes });
        Ok(Progress::Ended)
    }
}

struct Node {
    assembler: Assembler,
    counters: Arc<Counters>,
}

impl Node {
    fn new() -> Self {
        let pod = |ip: [u8; 4], pod: &str, node: &str| Endpoint {
            ips: vec![ip.into()],
            namespace: "shop".to_owned(),
            pod: pod.to_owned(),
            labels: [("app".to_owned(), "web".to_owned())].into(),
            node: Some(node.to_owned()),
            workload: Some(Workload {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
            }),
            ..Endpoint::default()
        };
        let inventory = Inventory {
            nodes: vec![inventory::Node {
                name: "n1".to_owned(),
                labels: [("zone".to_owned(), "a".to_owned())].into(),
                ..inventory::Node::default()
            }],
            endpoints: vec![pod(POD, "web-0", "n1"), pod(OTHER, "web-1", "n2")],
            services: vec![inventory::Service {
                namespace: "shop".to_owned(),
                name: "api".to_owned(),
                frontends: vec![Port {
                    ip: WORLD.into(),
                    protocol: 6,
                    port: 443,
                }],
                backends: Vec::new(),
            }],
            ..Inventory::default()
        };
        let devices = LocalDevices {
            names: [(9, "eth0".into())].into_iter().collect(),
            ..LocalDevices::default()
        };
        let counters = Arc::new(Counters::default());
        let assembler = Assembler::new(
            Box::new(NoFacts),
            Arc::new(Directory::new("n1", inventory)),
            Arc::new(ArcSwap::from_pointee(devices)),
            Arc::clone(&counters),
        );
        Self {
            assembler,
            counters,
        }
    }

    fn event(&mut self, record: Vec<u8>) -> Option<Event> {
        let mut events = Vec::new();
        self.assembler
            .collect(&mut OneRecord(record), Duration::ZERO, 1, &mut events)
            .unwrap();
        events.pop()
    }

    /// The flow of a record, as a client sees it.
    fn flow(&mut self, record: Vec<u8>) -> Flow {
        match self.event(record) {
            Some(Event::Flow(flow)) => flow_message(&flow, &NodeFacts::default()),
            Some(Event::Message(flow)) => *flow.message,
            other => panic!("no flow: {other:?}"),
        }
    }
}

#[test]
fn a_trace_is_a_forwarded_flow() {
    let flow = Node::new().flow(Trace::OUT.record());
    assert_eq!(flow.verdict(), Verdict::Forwarded);
    assert_eq!(flow.r#type(), flow::FlowType::L3L4);
    assert_eq!(flow.traffic_direction(), TrafficDirection::Egress);
    assert_eq!(flow.is_reply, Some(false));
    assert_eq!(
        flow.trace_observation_point(),
        flow::TraceObservationPoint::ToStack
    );
    assert_eq!(flow.trace_reason(), flow::TraceReason::New);
    let source = flow.source.unwrap();
    assert_eq!((source.id, source.identity), (u32::from(POD_ID), 25_001));
    assert_eq!((&*source.pod_name, &*source.namespace), ("web-0", "shop"));
    assert_eq!(source.workloads.len(), 1);
    let destination = flow.destination.unwrap();
    assert_eq!((destination.id, destination.identity), (0, 2));
    assert_eq!(destination.labels, ["reserved:world"]);
    let interface = flow.interface.unwrap();
    assert_eq!((interface.index, &*interface.name), (9, "eth0"));
    assert_eq!(flow.ip_trace_id.unwrap().trace_id, 7);
    assert_eq!((flow.proxy_port, flow.socket_cookie), (0, 0));
}

#[test]
fn points_and_reasons_have_hubbles_numbers() {
    for (point, expected) in [(0, 101), (1, 1), (5, 5), (13, 13)] {
        let record = Trace {
            point,
            ..Trace::OUT
        };
        let flow = Node::new().flow(record.record());
        assert_eq!(flow.trace_observation_point, expected);
        assert_eq!(flow.event_type.unwrap().sub_type, i32::from(point));
    }
    let reasons = [
        (0, 1, Some(false)),
        (1, 2, Some(false)),
        (2, 3, Some(true)),
        (3, 4, Some(false)),
        (4, 5, Some(false)),
        (5, 0, None),
        (6, 6, None),
        (7, 7, None),
        (8, 8, Some(false)),
    ];
    for (reason, expected, is_reply) in reasons {
        for encrypted in [0, 0x80] {
            let record = Trace {
                reason: reason | encrypted,
                ..Trace::OUT
            };
            let flow = Node::new().flow(record.record());
            assert_eq!((flow.trace_reason, flow.is_reply), (expected, is_reply));
            assert_eq!(flow.ip.unwrap().encrypted, encrypted != 0);
        }
    }
}

#[test]
fn direction_follows_from_whose_endpoint_it_is_once_that_is_known() {
    let mut node = Node::new();
    let answer_of_a_stranger = Trace {
        point: 1,
        ..Trace::BACK
    };
    let mut direction = |trace: Trace| node.flow(trace.record()).traffic_direction();
    assert_eq!(direction(answer_of_a_stranger), TrafficDirection::Unknown);
    assert_eq!(direction(Trace::BACK), TrafficDirection::Egress);
    assert_eq!(direction(answer_of_a_stranger), TrafficDirection::Egress);
    let request = Trace {
        reason: 0,
        ..Trace::BACK
    };
    assert_eq!(direction(request), TrafficDirection::Ingress);
    let answer = Trace {
        reason: 2,
        ..Trace::OUT
    };
    assert_eq!(direction(answer), TrafficDirection::Ingress);
    let nobodys = Trace {
        source_id: 0,
        ..Trace::OUT
    };
    assert_eq!(direction(nobodys), TrafficDirection::Unknown);
}

#[test]
fn a_source_that_was_translated_is_who_it_was_before() {
    let trace = Trace {
        original: POD,
        from: [192, 0, 2, 1],
        ..Trace::OUT
    };
    let flow = Node::new().flow(trace.record());
    assert_eq!(flow.source.unwrap().pod_name, "web-0");
    let ip = flow.ip.unwrap();
    assert_eq!((&*ip.source, &*ip.source_xlated), ("10.0.1.7", "192.0.2.1"));
    let unchanged = Trace {
        original: POD,
        ..Trace::OUT
    };
    let ip = Node::new().flow(unchanged.record()).ip.unwrap();
    assert_eq!((&*ip.source, &*ip.source_xlated), ("10.0.1.7", ""));
}

#[test]
fn a_trace_to_the_proxy_tells_the_proxys_port() {
    let trace = Trace {
        point: 1,
        destination_id: 15_001,
        ..Trace::OUT
    };
    let flow = Node::new().flow(trace.record());
    assert_eq!(
        (flow.verdict(), flow.proxy_port),
        (Verdict::Forwarded, 15_001)
    );
}

#[test]
#[expect(deprecated, reason = "the fields are still served")]
fn a_drop_tells_reason_place_and_direction() {
    let mut node = Node::new();
    let flow = node.flow(drop_record(POD_ID, 0, POD, WORLD));
    assert_eq!((flow.verdict(), flow.is_reply), (Verdict::Dropped, None));
    assert_eq!((flow.drop_reason, flow.drop_reason_desc), (181, 181));
    let file = flow.file.clone().unwrap();
    assert_eq!((&*file.name, file.line), ("bpf_lxc.c", 640));
    assert_eq!(flow.interface, None, "the device is not told");
    assert_eq!(flow.traffic_direction(), TrafficDirection::Egress);
    assert_eq!(flow.summary, "UDP");
    let flow = node.flow(drop_record(POD_ID, POD_ID.into(), WORLD, POD));
    assert_eq!(flow.traffic_direction(), TrafficDirection::Ingress);
    assert_eq!(flow.destination.unwrap().id, u32::from(POD_ID));
    let flow = node.flow(drop_record(0, 0, POD, WORLD));
    assert_eq!(flow.traffic_direction(), TrafficDirection::Unknown);
}

#[test]
fn a_policy_verdict_is_about_its_endpoint_and_a_remote_identity() {
    const INGRESS: u8 = 0x11;
    const AUDITED: u8 = 0x40;
    let cases = [
        (-133, INGRESS, Verdict::Dropped, 133, None),
        (0, INGRESS, Verdict::Forwarded, 0, Some(false)),
        (0, INGRESS | AUDITED, Verdict::Audit, 0, Some(false)),
        (
            15_001,
            INGRESS | AUDITED,
            Verdict::Redirected,
            0,
            Some(false),
        ),
    ];
    for (number, flags, verdict, reason, is_reply) in cases {
        let flow = Node::new().flow(verdict_record(number, flags));
        assert_eq!((flow.verdict(), flow.drop_reason_desc), (verdict, reason));
        assert_eq!(flow.is_reply, is_reply);
        assert_eq!((flow.policy_match_type, flow.auth_type), (2, 1));
        assert_eq!(flow.traffic_direction(), TrafficDirection::Ingress);
        assert_eq!(flow.source.unwrap().identity, 2);
        assert_eq!(flow.destination.unwrap().id, u32::from(POD_ID));
        assert_eq!(flow.event_type.unwrap().r#type, 5);
    }
    let flow = Node::new().flow(verdict_record(0, 2));
    assert_eq!(flow.traffic_direction(), TrafficDirection::Egress);
    assert_eq!(flow.destination.unwrap().identity, 2);
    assert_eq!(flow.source.unwrap().id, u32::from(POD_ID));
}

#[test]
fn a_capture_tells_a_device_or_the_proxys_port() {
    let flow = Node::new().flow(capture_record(4, 9));
    assert_eq!((flow.verdict(), flow.is_reply), (Verdict::Unknown, None));
    assert_eq!(flow.debug_capture_point, 4);
    assert_eq!(flow.interface.unwrap().name, "eth0");
    let flow = Node::new().flow(capture_record(8, 15_001u32.to_be()));
    assert_eq!((flow.interface, flow.proxy_port), (None, 15_001));
}

#[test]
#[expect(deprecated, reason = "the fields are still served")]
fn a_translated_socket_has_another_side_and_no_packet() {
    let flow = Node::new().flow(socket_record(1));
    assert_eq!(
        (flow.verdict(), flow.sock_xlate_point),
        (Verdict::Traced, 1)
    );
    assert_eq!(flow.r#type(), flow::FlowType::Sock);
    assert_eq!((flow.socket_cookie, flow.cgroup_id), (77, 4096));
    assert_eq!((&*flow.summary, flow.is_reply), ("TCP", None));
    let ip = flow.ip.unwrap();
    assert_eq!((&*ip.source, &*ip.destination), ("", "10.0.1.9"));
    assert_eq!(flow.destination.unwrap().pod_name, "web-1");
    let flow = Node::new().flow(socket_record(4));
    assert_eq!(flow.verdict(), Verdict::Translated);
    let ip = flow.ip.unwrap();
    assert_eq!((&*ip.source, &*ip.destination), ("10.0.1.9", ""));
    let Some(flow::layer4::Protocol::Tcp(tcp)) = flow.l4.unwrap().protocol else {
        panic!("no tcp");
    };
    assert_eq!((tcp.source_port, tcp.destination_port), (80, 0));
    assert_eq!(tcp.flags, None);
}

#[test]
fn a_request_is_a_flow_of_this_node_with_the_names_of_its_addresses() {
    let mut node = Node::new();
    let flow = node.flow(gob!("http_request").to_vec());
    assert_eq!((&*flow.node_name, flow.uuid.len()), ("n1", 36));
    let emitter = flow.emitter.unwrap();
    assert_eq!(emitter.name, "Palomar");
    // Not when the proxy saw it, but when we did.
    assert!(flow.time.unwrap().seconds > 1_772_360_430);
    let source = flow.source.unwrap();
    assert_eq!((source.id, &*source.pod_name), (4242, "web-0"));
    assert_eq!(source.workloads[0].name, "web");
    assert_eq!(flow.destination.unwrap().pod_name, "web-1");
    // The record told whose number that is.
    let trace = Trace {
        source_id: 4242,
        point: 11,
        ..Trace::OUT
    };
    let flow = node.flow(trace.record());
    assert_eq!(flow.traffic_direction(), TrafficDirection::Egress);
}

#[test]
fn agent_and_debug_records_are_events_of_their_own() {
    let mut node = Node::new();
    let Some(Event::Agent(event)) = node.event(gob!("policy_updated").to_vec()) else {
        panic!("no agent event");
    };
    assert_eq!(event.message.r#type(), flow::AgentEventType::PolicyUpdated);
    node.flow(Trace::BACK.record());
    let mut debug = vec![2, 5];
    debug.extend(POD_ID.to_ne_bytes());
    debug.extend([0; 16]);
    let Some(Event::Debug(event)) = node.event(debug) else {
        panic!("no debug event");
    };
    assert_eq!(event.message.cpu, Some(3));
    let source = event.message.source.unwrap();
    assert_eq!((source.id, &*source.pod_name), (u32::from(POD_ID), "web-0"));
    assert!(source.workloads.is_empty());
}

#[test]
fn what_makes_no_flow_is_counted_by_reason() {
    let mut node = Node::new();
    let mut short = Trace::OUT.record();
    short.truncate(56 + 14 + 10);
    let mut beyond = Trace::OUT.record();
    beyond[1] = 99;
    let mut cut = Trace::OUT.record();
    cut.truncate(40);
    for record in [
        short,
        beyond,
        cut,
        vec![6; 64],
        gob!("bad_timestamp").to_vec(),
    ] {
        assert_eq!(node.event(record), None);
    }
    let counted: Vec<_> = node.counters.undecodable_records().into_iter().collect();
    let expected = [
        ("bad_timestamp", 1),
        ("short_packet", 1),
        ("truncated_record", 1),
        ("unknown_number", 1),
        ("unknown_type", 1),
    ];
    assert_eq!(counted, expected);
}

#[test]
fn a_record_without_packet_bytes_is_a_flow_of_identities() {
    let mut record = Trace::OUT.record();
    record.truncate(56);
    let flow = Node::new().flow(record);
    assert_eq!((flow.ip, flow.l4), (None, None));
    assert_eq!(flow.source.unwrap().identity, 25_001);
    assert_eq!(flow.destination.unwrap().labels, ["reserved:world"]);
}
