use std::time::Duration;

use flow_api::flow::{FlowType, Verdict, layer4::Protocol};
use probe_events::{HOOK_RECORD_VERSION, KIND_SOCKET, KIND_TCP, ProcessInfo};

use super::*;
use crate::{
    counters::Counters,
    encode::{NodeFacts, flow_message},
    enrich::{Directory, Inventory},
    source::{HostFacts, Progress, RawEvent, Source, SourceError},
};

/// The namespace that is this node's.
const OURS: u64 = 4_026;

struct Facts;

impl HostFacts for Facts {
    fn namespace(&mut self, netns_cookie: u64) -> Option<Arc<Namespace>> {
        (netns_cookie == OURS).then(|| {
            Arc::new(Namespace {
                addresses: vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1])],
                is_own: false,
            })
        })
    }
}

/// Hands out records, the last one first.
struct Records(Vec<Vec<u8>>);

impl Source for Records {
    fn poll(
        &mut self,
        _patience: Duration,
        _limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        while let Some(record) = self.0.pop() {
            sink(RawEvent::Hook(&record));
        }
        Ok(Progress::Ended)
    }
}

fn assembler(counters: &Arc<Counters>) -> Assembler {
    Assembler::new(
        Box::new(Facts),
        Arc::new(Directory::new("node", Inventory::default())),
        Arc::default(),
        Arc::clone(counters),
    )
}

fn assembled(record: Vec<u8>, counters: &Arc<Counters>) -> Vec<Event> {
    let mut records = Records(vec![record]);
    let mut events = Vec::new();
    assembler(counters)
        .collect(&mut records, Duration::ZERO, 1, &mut events)
        .unwrap();
    events
}

/// A TCP connection to 10.96.0.10:80 of process 77 in cgroup 12.
fn socket_record(point: u8, netns_cookie: u64) -> Vec<u8> {
    let mut bytes = vec![KIND_SOCKET, HOOK_RECORD_VERSION, point, TCP, 4, 0];
    bytes.extend(80u16.to_ne_bytes());
    for word in [1_000, 99, netns_cookie, 12] {
        bytes.extend(u64::to_ne_bytes(word));
    }
    bytes.extend(77u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(b"curl\0\0\0\0\0\0\0\0\0\0\0\0");
    bytes.extend([10, 96, 0, 10]);
    bytes.extend([0; 12]);
    bytes
}

#[test]
fn a_translation_is_a_flow_between_the_pod_and_the_address() {
    let node = NodeFacts {
        name: "node".to_owned(),
        directory: None,
    };
    let cases = [
        (1, Verdict::Traced, "10.0.0.1", "10.96.0.10", (0, 80)),
        (2, Verdict::Translated, "10.0.0.1", "10.96.0.10", (0, 80)),
        (3, Verdict::Traced, "10.96.0.10", "10.0.0.1", (80, 0)),
        (4, Verdict::Translated, "10.96.0.10", "10.0.0.1", (80, 0)),
    ];
    for (point, verdict, source, destination, ports) in cases {
        let events = assembled(socket_record(point, OURS), &Arc::default());
        let [Event::Flow(record)] = &events[..] else {
            panic!("point {point}: {events:?}");
        };
        assert_eq!(record.process.as_ref().map(|it| it.pid), Some(77));

        let flow = flow_message(record, &node);
        let ip = flow.ip.as_ref().unwrap();
        assert_eq!((&*ip.source, &*ip.destination), (source, destination));
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) else {
            panic!("point {point}: {flow:?}");
        };
        assert_eq!((tcp.source_port, tcp.destination_port), ports);
        assert_eq!(tcp.flags, None);
        assert_eq!(flow.verdict(), verdict);
        assert_eq!(flow.r#type(), FlowType::Sock);
        let event = flow.event_type.as_ref().unwrap();
        assert_eq!((event.r#type, event.sub_type), (7, i32::from(point)));
        assert_eq!(flow.sock_xlate_point as u8, point);
        assert_eq!((flow.socket_cookie, flow.cgroup_id), (99, 12));
        assert_eq!(decode::summary::summary(record), "TCP");
        assert_eq!(flow.is_reply, None);
    }
}

#[test]
fn a_socket_of_another_node_is_counted_and_not_shown() {
    let counters = Arc::new(Counters::default());
    assert!(assembled(socket_record(1, OURS + 1), &counters).is_empty());
    let elsewhere = counters
        .stages()
        .into_iter()
        .find(|count| count.what == "sockets_elsewhere");
    assert_eq!(elsewhere.map(|count| count.count), Some(1));
}

#[test]
fn a_record_that_makes_no_sense_is_counted_by_reason() {
    let counters = Arc::new(Counters::default());
    assert!(assembled(vec![KIND_TCP, HOOK_RECORD_VERSION], &counters).is_empty());
    assert_eq!(
        counters.undecodable_records().get("truncated_hook_record"),
        Some(&1)
    );
}

fn event(point: TranslationPoint, protocol: u8) -> SocketEvent {
    SocketEvent {
        point,
        protocol,
        time_ns: 0,
        socket_cookie: 1,
        netns_cookie: 1,
        process: ProcessInfo::default(),
        peer: SocketAddr::from(([10, 96, 0, 10], 80)),
    }
}

#[test]
fn on_the_way_back_the_other_end_is_the_source() {
    let own = IpAddr::from([10, 0, 0, 1]);
    let back = headers(&event(TranslationPoint::PreReverse, UDP), own);
    let udp = Transport::Udp {
        source_port: 80,
        destination_port: 0,
    };
    assert_eq!(back.transport, Some(udp));
    assert_eq!(back.ip.map(|ip| ip.destination), Some(own));
}

#[test]
fn a_sockets_own_address_is_the_first_that_reaches_its_peer() {
    let addresses = [
        "127.0.0.1",
        "::1",
        "fe80::1",
        "10.0.0.1",
        "fd00::1",
        "10.0.0.2",
    ];
    let namespace = Namespace {
        addresses: addresses.map(|address| address.parse().unwrap()).to_vec(),
        is_own: false,
    };
    let own = |peer: &str| {
        own_address(&namespace, peer.parse().unwrap()).map(|address| address.to_string())
    };
    assert_eq!(own("10.96.0.10").as_deref(), Some("10.0.0.1"));
    assert_eq!(own("fd96::1").as_deref(), Some("fd00::1"));
    assert_eq!(own("127.0.0.1").as_deref(), Some("127.0.0.1"));
    let empty = Namespace::default();
    assert_eq!(own_address(&empty, IpAddr::from([10, 96, 0, 10])), None);
}
