//! Where much is known, records wait for each other; nobody can tell by what comes of them.

mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use flow_observer::{
    assemble::Assembler,
    enrich::{
        Directory, Inventory,
        facts::{Change, EndpointFact, Fact, NamesFact, Provider},
    },
    ring::Event,
    source::{HostFacts, Progress, RawEvent, Source, SourceError},
};

struct NoFacts;

impl HostFacts for NoFacts {}

#[derive(Clone, Debug)]
enum Raw {
    Own(Vec<u8>),
    Cilium(Vec<u8>),
    Lost(u64),
}

/// All at once.
struct Batch(Vec<Raw>);

impl Source for Batch {
    fn poll(
        &mut self,
        _patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        for raw in self.0.iter().take(limit) {
            sink(match raw {
                Raw::Own(bytes) => RawEvent::Record(bytes),
                Raw::Cilium(bytes) => RawEvent::Cilium { cpu: 0, bytes },
                &Raw::Lost(count) => RawEvent::Lost { cpu: 0, count },
            });
        }
        Ok(Progress::Ended)
    }
}

fn pod(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// Knows ten pods, and `names` of others.
fn assembler(names: u16) -> Assembler {
    let directory = Directory::new("node", Inventory::default());
    let pods = (0..10).map(|number| {
        let fact = EndpointFact {
            ips: vec![pod(number).into()],
            namespace: "shop".to_owned(),
            pod: format!("pod-{number}"),
            ..EndpointFact::default()
        };
        Change::Put(format!("{number}").into(), Fact::Endpoint(fact))
    });
    directory.apply(Provider::Pods, pods);
    let names = (0..names).map(|number| {
        let [high, low] = number.to_be_bytes();
        let fact = NamesFact {
            ips: vec![IpAddr::from([192, 0, high, low])],
            names: vec![format!("host-{number}")],
        };
        Change::Put(format!("{number}").into(), Fact::Names(fact))
    });
    directory.apply(Provider::Inventory, names);
    Assembler::new(
        Box::new(NoFacts),
        Arc::new(directory),
        Arc::default(),
        Arc::default(),
    )
}

/// Who talks to whom, or what was lost.
fn shown(event: &Event) -> String {
    match event {
        Event::Flow(flow) => {
            let ip = flow.packet.ip.map(|ip| (ip.source, ip.destination));
            let [source, destination] = [&flow.source, &flow.destination].map(|party| {
                let names = party.names.iter().flat_map(|names| &names.all);
                let names: Vec<&str> = names.map(|name| &*name.text).collect();
                format!("{} {} {names:?}", party.endpoint.pod_name, party.identity)
            });
            format!("{ip:?} {source} -> {destination}, {:?}", flow.observation)
        }
        Event::Lost(lost) => format!("lost {}", lost.count),
        // Without the time of reading.
        Event::Debug(debug) => format!("{:?}", debug.message),
        other => unreachable!("no record says this: {other:?}"),
    }
}

fn events(names: u16, batches: &[Vec<Raw>]) -> Vec<String> {
    let mut assembler = assembler(names);
    let events = batches.iter().flat_map(|batch| {
        let mut source = Batch(batch.clone());
        let mut events = Vec::new();
        assembler
            .collect(&mut source, Duration::ZERO, 1024, &mut events)
            .expect("the source is sound");
        events
    });
    events.map(|event| shown(&event)).collect()
}

/// What a capture file, tunnels and a broken probe would have, too; `len` of them.
fn mixed(len: usize) -> Vec<Raw> {
    let record = |number: usize| {
        let [low, high] = [number as u8, (number >> 8) as u8];
        let other = Ipv4Addr::new(192, 0, high, low);
        let packet = support::tcp_between(pod(low % 12), other, &[low; 40]);
        match number % 11 {
            0 => Raw::Cilium(support::cilium_trace(&packet)),
            1 => Raw::Cilium(support::cilium_drop(&packet)),
            2 => Raw::Cilium(support::cilium_policy_verdict(&packet)),
            3 => Raw::Lost(number as u64 + 1),
            4 => Raw::Own(vec![low; number % 90]),
            5 => Raw::Cilium(vec![low; number % 90]),
            6 => {
                let inner = support::ipv6(6, &support::tcp(443, 2, &[]));
                Raw::Own(support::trace_record(&support::ethernet(
                    support::IPV6,
                    &inner,
                )))
            }
            // More than waits at all.
            7 if number.is_multiple_of(3) => {
                let mut record = support::trace_record(&packet);
                record.resize(100_000, 0);
                Raw::Own(record)
            }
            _ => Raw::Own(support::trace_record(&packet)),
        }
    };
    (0..len).map(record).collect()
}

#[test]
fn records_that_wait_become_the_same_events_in_the_same_order() {
    for len in [1, 2, 31, 32, 33, 700] {
        let all = mixed(len);
        // Nothing waits where little is known, and nothing can where each record is a batch.
        let alone: Vec<Vec<Raw>> = all.iter().map(|raw| vec![raw.clone()]).collect();
        let expected = events(2_000, &alone);
        assert_eq!(events(2_000, std::slice::from_ref(&all)), expected, "{len}");
        assert_eq!(events(900, &alone), events(900, &[all]), "{len}");
        if len == 700 {
            assert!(expected.len() > 500);
            assert!(expected.iter().any(|it| it.contains("host-514")));
        }
    }
}
