//! A group that is skipped has nothing of what is sought.

use std::{sync::Arc, thread};

use flow_api::{
    flow::{self, EventTypeFilter, Flow, Ip as FlowIp, Layer4, TrafficDirection, Verdict, layer4},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use flow_filter::{Filter, TcpFlags};
use probe_events::{TracePoint, TraceReason};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};

use super::*;
use crate::{
    record::{
        Counts, FlowRecord, Ip, KernelDrop, Observation, PacketHeaders, Party, PolicyVerdict, Rare,
        Transport,
    },
    ring::{FlowRing, Lost, Message, Read},
    view::matches,
};

/// Few of each, so that filters and flows meet; every kind of text that a filter may have.
const ADDRESSES: [&str; 6] = [
    "10.0.0.1",
    "10.0.0.2",
    "::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "fe80::1",
];
const SOUGHT_ADDRESSES: [&str; 12] = [
    "10.0.0.1",
    "10.0.0.2",
    "::1",
    "2001:db8::1",
    "2001:DB8::1",
    "::ffff:10.0.0.1",
    "::ffff:a00:1",
    "fe80::1",
    "fe80::1%eth0",
    "10.0.0.0/31",
    "2001:db8::/32",
    "::/0",
];
const PORTS: [u16; 6] = [0, 53, 80, 443, 8080, 65535];
const SOUGHT_PORTS: [&str; 7] = ["0", "53", "80", "080", "443", "00008080", "65535"];
const IDENTITIES: [u32; 4] = [0, 1, 2, u32::MAX];

/// Sets that are made for the first who asks.
fn eager(capacity: usize) -> Outlines {
    Outlines {
        asked: AtomicUsize::new(LOOKS * capacity),
        ..Outlines::new(capacity)
    }
}

#[test]
fn sets_are_made_once_some_have_gone_through_the_groups() {
    let outlines = Outlines::new(2 * GROUP);
    let slots: Vec<Slot> = (0..64).map(to_port).map(|event| Slot { event }).collect();
    let (sought, node) = (sought(port(100)).unwrap(), NodeFacts::default());
    let looks = (0..2 * LOOKS).map(|look| outlines.may_have(look % 2, &slots, &sought, &node));
    assert!(looks.into_iter().all(|may_have| may_have));
    assert_eq!(outlines.bytes(), 0);
    assert!(!outlines.may_have(0, &slots, &sought, &node));
}

fn record() -> FlowRecord {
    FlowRecord {
        time_ns: 0,
        uuid: 0,
        observation: Observation::Captured,
        packet: PacketHeaders::default(),
        tunnel: None,
        source: Party::default(),
        destination: Party::default(),
        direction: TrafficDirection::Egress,
        interface: None,
        socket_cookie: 0,
        counts: Counts::default(),
        process: None,
        translation: None,
        rare: None,
    }
}

fn to_port(destination_port: u16) -> Event {
    let mut flow = record();
    flow.packet.transport = Some(Transport::Udp {
        source_port: 1,
        destination_port,
    });
    Event::Flow(flow)
}

fn observation() -> impl Strategy<Value = Observation> {
    let (point, reason) = (TracePoint::FromEndpoint, TraceReason::New);
    prop_oneof![
        Just(Observation::Captured),
        Just(Observation::Closing { point, reason }),
        Just(Observation::Trace {
            point,
            reason,
            encrypted: true,
        }),
        Just(Observation::KernelDrop(Arc::new(KernelDrop {
            code: 133,
            reason: "NETFILTER_DROP".into(),
            function: None,
            netns_inode: 0,
        }))),
        Just(Observation::DatapathDrop {
            code: 130,
            file: 1,
            line: 1,
        }),
        (-1..2).prop_map(|verdict| Observation::PolicyVerdict(PolicyVerdict {
            verdict,
            is_ingress: true,
            is_audited: false,
            match_type: 0,
            auth_type: 0,
        })),
        Just(Observation::DebugCapture { point: 4 }),
        (0u8..5).prop_map(|point| Observation::Socket {
            point,
            cgroup_id: 7,
        }),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    (0..4, select(&PORTS[..]), select(&PORTS[..])).prop_map(
        |(kind, source_port, destination_port)| match kind {
            0 => Transport::Tcp {
                source_port,
                destination_port,
                flags: TcpFlags::default(),
            },
            1 => Transport::Udp {
                source_port,
                destination_port,
            },
            2 => Transport::Sctp {
                source_port,
                destination_port,
                chunk: None,
            },
            _ => Transport::Icmpv6 { kind: 128, code: 0 },
        },
    )
}

fn address() -> impl Strategy<Value = IpAddr> {
    select(&ADDRESSES[..]).prop_map(|text| text.parse().unwrap())
}

fn flow_record() -> impl Strategy<Value = Event> {
    let ip = (address(), address()).prop_map(|(source, destination)| Ip {
        source,
        destination,
    });
    let identities = (select(&IDENTITIES[..]), select(&IDENTITIES[..]));
    (
        observation(),
        option::of(transport()),
        option::of(ip),
        option::weighted(0.2, address()),
        identities,
    )
        .prop_map(|(observation, transport, ip, original, identities)| {
            let mut flow = record();
            flow.observation = observation;
            flow.packet.transport = transport;
            flow.packet.ip = ip;
            (flow.source.identity, flow.destination.identity) = identities;
            flow.rare = original.map(|original| {
                Box::new(Rare {
                    proxy_port: 0,
                    original_source: Some(original),
                    ip_trace_id: 0,
                    application: None,
                })
            });
            Event::Flow(flow)
        })
}

/// As others tell them: any text, and numbers that are none of ours.
fn message() -> impl Strategy<Value = Flow> {
    (select(&SOUGHT_ADDRESSES[..]), any::<u32>(), -1..9, -1..9).prop_map(
        |(source, destination_port, verdict, r#type)| Flow {
            verdict,
            event_type: (r#type >= 0).then_some(flow::CiliumEventType {
                r#type,
                sub_type: 0,
            }),
            ip: Some(FlowIp {
                source: source.to_owned(),
                ..FlowIp::default()
            }),
            l4: Some(Layer4 {
                protocol: Some(layer4::Protocol::Udp(flow::Udp {
                    destination_port: (destination_port % 100) | 0x1_0000,
                    ..flow::Udp::default()
                })),
            }),
            ..Flow::default()
        },
    )
}

fn told(response_types: ResponseTypes) -> Event {
    Event::Recorded(in_a_box(GetFlowsResponse {
        response_types: Some(response_types),
        ..GetFlowsResponse::default()
    }))
}

fn in_a_box<T>(message: T) -> Message<T> {
    Message {
        time_ns: 0,
        message: Box::new(message),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let lost = Lost {
        time_ns: 0,
        count: 3,
        cpu: 0,
    };
    prop_oneof![
        200 => flow_record(),
        1 => message().prop_map(|flow| Event::Message(in_a_box(flow))),
        1 => message().prop_map(|flow| told(ResponseTypes::Flow(flow))),
        1 => Just(told(ResponseTypes::LostEvents(flow::LostEvent::default()))),
        1 => Just(Event::Lost(lost)),
        1 => Just(Event::Agent(in_a_box(flow::AgentEvent::default()))),
        1 => Just(Event::Debug(in_a_box(flow::DebugEvent::default()))),
    ]
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![3 => Just(Vec::new()), 2 => vec(select(of), 1..3)]
}

fn texts(of: &'static [&str]) -> impl Strategy<Value = Vec<String>> {
    some(of).prop_map(|texts| texts.into_iter().map(str::to_owned).collect())
}

fn filter() -> impl Strategy<Value = FlowFilter> {
    let event_type = || {
        let of = [-1, 0, 1, 2, 4, 5, 129];
        (select(of.to_vec()), any::<bool>(), 0..2).prop_map(|(r#type, match_sub_type, sub_type)| {
            EventTypeFilter {
                r#type,
                match_sub_type,
                sub_type,
            }
        })
    };
    (
        (texts(&SOUGHT_PORTS), texts(&SOUGHT_PORTS)),
        (texts(&SOUGHT_ADDRESSES), texts(&SOUGHT_ADDRESSES)),
        (some(&IDENTITIES), some(&IDENTITIES)),
        some(&[-1, 0, 1, 2, 7, 8]),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(event_type(), 1..3)],
        texts(&["udp", "tcp"]),
    )
        .prop_map(
            |(ports, ips, identities, verdict, event_type, protocol)| FlowFilter {
                source_port: ports.0,
                destination_port: ports.1,
                source_ip: ips.0,
                destination_ip: ips.1,
                source_identity: identities.0,
                destination_identity: identities.1,
                verdict,
                event_type,
                protocol,
                ..FlowFilter::default()
            },
        )
}

/// Whether a reader of flows must get it.
fn is_wanted(slot: &Slot, filter: &Filter, node: &NodeFacts) -> bool {
    let event = &slot.event;
    event.is_loss() || (event.is_flow_or_closing() && matches(filter, event, node))
}

proptest! {
    /// Readers who see different parts of a group come in any order.
    #[test]
    fn a_group_without_what_is_sought_has_no_event_that_is_wanted(
        events in vec(event(), 1..=GROUP),
        asked in vec((vec(filter(), 0..3), vec(filter(), 0..2), any::<Index>()), 1..12),
    ) {
        let node = NodeFacts::default();
        let slots: Vec<_> = events.into_iter().map(|event| Slot { event }).collect();
        let outlines = eager(GROUP);
        for (allow, deny, seen) in asked {
            let filter = Filter::compile(&allow, &deny).unwrap();
            let Some(sought) = Sought::of(&allow) else { continue };
            let seen = &slots[..=seen.index(slots.len())];
            if !outlines.may_have(0, seen, &sought, &node) {
                for slot in seen {
                    prop_assert!(!is_wanted(slot, &filter, &node), "{:?}", slot.event);
                }
            }
        }
    }
}

fn sought(filter: FlowFilter) -> Option<Sought> {
    Sought::of(&[filter])
}

fn port(port: u16) -> FlowFilter {
    FlowFilter {
        destination_port: vec![port.to_string()],
        ..FlowFilter::default()
    }
}

#[test]
fn nearly_every_group_without_a_port_is_skipped() {
    let node = NodeFacts::default();
    let slots: Vec<_> = (0..GROUP as u16)
        .map(|at| Slot {
            event: to_port(20_000 + at),
        })
        .collect();
    let outlines = eager(GROUP);
    let may_have = |number| outlines.may_have(0, &slots, &sought(port(number)).unwrap(), &node);
    assert!((20_000..20_000 + GROUP as u16).all(may_have));
    // 64 of the 2,048 bits are for ports.
    let in_vain = (30_000..31_000).filter(|&number| may_have(number)).count();
    assert!(in_vain < 80, "{in_vain} of 1000");
}

#[test]
fn a_filter_that_does_not_ask_for_what_is_known_skips_nothing() {
    let many: Vec<_> = (0..=MAX_VALUES).map(|it| it.to_string()).collect();
    let pod = FlowFilter {
        source_pod: vec!["default/".to_owned()],
        ..FlowFilter::default()
    };
    let many_ports = FlowFilter {
        destination_port: many,
        ..FlowFilter::default()
    };
    let prefix = FlowFilter {
        source_ip: vec!["10.0.0.1".to_owned(), "10.0.0.0/8".to_owned()],
        ..FlowFilter::default()
    };
    for filter in [FlowFilter::default(), pod.clone(), many_ports, prefix] {
        assert!(sought(filter.clone()).is_none(), "{filter:?}");
    }
    assert!(Sought::of(&[]).is_none());
    assert!(Sought::of(&[port(80), pod.clone()]).is_none());
    assert!(Sought::of(&vec![port(80); MAX_RULES + 1]).is_none());
    let both = FlowFilter {
        verdict: vec![Verdict::Dropped.into()],
        ..pod
    };
    assert!(sought(both).is_some());
}

#[test]
fn a_loss_is_in_whatever_is_sought() {
    let node = NodeFacts::default();
    let lost = Event::Lost(Lost {
        time_ns: 0,
        count: 1,
        cpu: 0,
    });
    let told = told(ResponseTypes::LostEvents(flow::LostEvent::default()));
    for event in [lost, told] {
        let slots = [to_port(1), event].map(|event| Slot { event });
        let outlines = eager(GROUP);
        let sought = sought(port(80)).unwrap();
        assert!(!outlines.may_have(0, &slots[..1], &sought, &node));
        assert!(outlines.may_have(0, &slots, &sought, &node));
    }
}

#[test]
fn a_set_takes_little_beside_its_flows_and_nothing_without_a_reader() {
    const EVENTS: usize = 16 * GROUP;
    let outlines = eager(EVENTS);
    assert_eq!(outlines.bytes(), 0);
    let (slots, node) = ([Slot { event: to_port(1) }], NodeFacts::default());
    outlines.may_have(0, &slots, &sought(port(1)).unwrap(), &node);
    assert!(outlines.bytes() <= 5 * EVENTS as u64);
}

/// Each of them seeks another port, and looks at groups that are growing under its eyes.
#[test]
fn readers_who_come_at_the_same_time_find_all_that_they_seek() {
    const WRITTEN: u64 = 20_000;
    const PORTS: u64 = 97;
    let ring = FlowRing::new(WRITTEN as usize);
    let node = NodeFacts::default();
    let read = |wanted: u64| {
        let wanted = wanted as u16;
        let sought = sought(port(wanted)).unwrap();
        let (mut position, mut found) = (0, 0);
        while position < WRITTEN {
            let Read::Batch(batch) = ring.read(position) else {
                thread::yield_now();
                continue;
            };
            let (_, origin) = batch.encoded();
            while position < batch.end() {
                let in_group = GROUP - (position - origin) as usize % GROUP;
                let slots = batch.from(position);
                let slots = &slots[..slots.len().min(in_group)];
                if batch.may_have(position, &sought, &node) {
                    let is_it = |slot: &&Slot| slot.event == to_port(wanted);
                    found += slots.iter().filter(is_it).count() as u64;
                }
                position += slots.len() as u64;
            }
        }
        found
    };
    thread::scope(|scope| {
        let readers = [0, 0, 1, 50, 96].map(|wanted| (wanted, scope.spawn(move || read(wanted))));
        let mut written = 0;
        for size in (1..9).cycle() {
            let end = WRITTEN.min(written + size);
            ring.publish(
                &mut (written..end)
                    .map(|it| to_port((it % PORTS) as u16))
                    .collect(),
            );
            written = end;
            if written == WRITTEN {
                break;
            }
        }
        for (wanted, reader) in readers {
            let expected = WRITTEN / PORTS + u64::from(WRITTEN % PORTS > wanted);
            assert_eq!(reader.join().unwrap(), expected, "port {wanted}");
        }
    });
}
