//! From records to flows in the ring: time and allocations of a whole event.
//!
//! A source in memory hands out batches of records, as the reader of the kernel's ring does when
//! there is much to read. Two stages are measured: `flow` makes flows of a batch without knowing
//! anybody, `event` is the whole way of the agent's thread, with some hundred endpoints known, into
//! a ring that is full and evicts as much as it takes in. Times and allocations are those of a batch
//! or of [`BATCHES`]; per event, look at the items per second. The allocations that there are belong
//! to the batch: the memory that its events lie in.

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use flow_observer::{
    assemble::Assembler,
    enrich::{Directory, Inventory, inventory},
    pipeline::Pipeline,
    record::FlowRecord,
    ring::{Event, FlowRing, MAX_BATCH, Read},
    source::{HostFacts, LocalDevices, Progress, RawEvent, Source, SourceError},
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Batches of a run of the loop: short, so that few runs are interrupted on a busy machine.
const BATCHES: usize = 4;
/// Pods that the inventory knows, half of them on this node.
const ENDPOINTS: u16 = 300;
/// As many flows as an agent keeps when nobody asks for more.
const RING_CAPACITY: usize = 4095;
const NODE: &str = "node-1";

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Trace records of our own probes.
    Own,
    /// Trace records of Cilium.
    CiliumTrace,
    /// Drop records of Cilium.
    CiliumDrop,
    /// Policy verdicts of Cilium.
    CiliumPolicyVerdict,
}

const KINDS: [Kind; 4] = [
    Kind::Own,
    Kind::CiliumTrace,
    Kind::CiliumDrop,
    Kind::CiliumPolicyVerdict,
];

fn pod(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

/// A batch of records, each from one pod to another.
fn records(kind: Kind) -> Vec<Vec<u8>> {
    let between = |index: usize| {
        let from = index as u16 % ENDPOINTS;
        let to = (from + 1 + index as u16 % 7) % ENDPOINTS;
        let packet = support::tcp_between(pod(from), pod(to), &[0x55; 40]);
        match kind {
            Kind::Own => support::trace_record(&packet),
            Kind::CiliumTrace => support::cilium_trace(&packet),
            Kind::CiliumDrop => support::cilium_drop(&packet),
            Kind::CiliumPolicyVerdict => support::cilium_policy_verdict(&packet),
        }
    };
    (0..MAX_BATCH).map(between).collect()
}

/// The same records again and again; says that it has ended after so many batches.
struct Replayed {
    kind: Kind,
    records: Vec<Vec<u8>>,
    batches: usize,
    handed_out: usize,
}

impl Source for Replayed {
    fn poll(
        &mut self,
        _patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        for bytes in self.records.iter().take(limit) {
            sink(match self.kind {
                Kind::Own => RawEvent::Record(bytes),
                _ => RawEvent::Cilium { cpu: 0, bytes },
            });
        }
        self.handed_out += 1;
        Ok(if self.handed_out.is_multiple_of(self.batches) {
            Progress::Ended
        } else {
            Progress::More
        })
    }
}

/// A host without the optional programs, that translates nothing.
struct NoFacts;

impl HostFacts for NoFacts {
    fn has_processes(&self) -> bool {
        false
    }

    fn has_translations(&self) -> bool {
        false
    }
}

fn inventory() -> Inventory {
    let endpoint = |number: u16| inventory::Endpoint {
        ips: vec![IpAddr::V4(pod(number))],
        namespace: format!("namespace-{}", number % 20),
        pod: format!("pod-{number}"),
        labels: BTreeMap::from([
            ("app".to_owned(), format!("app-{}", number % 50)),
            ("tier".to_owned(), "backend".to_owned()),
        ]),
        node: Some(
            if number.is_multiple_of(2) {
                NODE
            } else {
                "node-2"
            }
            .to_owned(),
        ),
        workload: Some(inventory::Workload {
            kind: "Deployment".to_owned(),
            name: format!("app-{}", number % 50),
        }),
        ..inventory::Endpoint::default()
    };
    Inventory {
        endpoints: (0..ENDPOINTS).map(endpoint).collect(),
        ..Inventory::default()
    }
}

fn assembler(inventory: Inventory) -> Assembler {
    let devices = LocalDevices {
        names: [(7, "eth0".into())].into_iter().collect(),
        ..LocalDevices::default()
    };
    Assembler::new(
        Box::new(NoFacts),
        Arc::new(Directory::new(NODE, inventory)),
        Arc::new(ArcSwap::from_pointee(devices)),
        Arc::default(),
    )
}

fn flow_of(event: &Event) -> &FlowRecord {
    match event {
        Event::Flow(flow) => flow,
        other => unreachable!("no flow: {other:?}"),
    }
}

fn items() -> ItemsCount {
    ItemsCount::new(BATCHES * MAX_BATCH)
}

/// The bytes of the records, once.
#[divan::bench(args = KINDS)]
fn floor_copy_of_the_records(bencher: Bencher<'_, '_>, kind: Kind) {
    let records = records(kind);
    let mut copy = [0; 256];
    bencher.counter(items()).bench_local(|| {
        for _ in 0..BATCHES {
            for record in black_box(&records) {
                black_box(&mut copy)[..record.len()].copy_from_slice(record);
            }
        }
    });
    assert_eq!(copy[..records[0].len()][..2], records[0][..2]);
}

/// The flows of the records, made by hand beforehand and copied: no flow can cost less.
#[divan::bench(args = KINDS)]
fn floor_copy_of_the_flows(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut assembler = assembler(Inventory::default());
    let mut source = replayed(kind, 1);
    let mut events = Vec::new();
    assembler
        .collect(&mut source, Duration::ZERO, MAX_BATCH, &mut events)
        .expect("the source is sound");
    assert_eq!(events.len(), MAX_BATCH);
    bencher.counter(items()).bench_local(|| {
        for _ in 0..BATCHES {
            black_box(black_box(&events).clone());
        }
    });
}

fn replayed(kind: Kind, batches: usize) -> Replayed {
    Replayed {
        kind,
        records: records(kind),
        batches,
        handed_out: 0,
    }
}

/// Decoded, and made a flow whose ends nobody knows. What becomes of the flow is not counted here.
#[divan::bench(args = KINDS, sample_size = 1, sample_count = 1000)]
fn flow(bencher: Bencher<'_, '_>, kind: Kind) {
    let mut assembler = assembler(Inventory::default());
    let mut source = replayed(kind, 1);
    // As in the agent, memory that was emptied elsewhere is filled again.
    let kept = RefCell::new(Vec::new());
    bencher
        .counter(ItemsCount::new(MAX_BATCH))
        .with_inputs(|| {
            let mut events = kept.take();
            events.clear();
            events
        })
        .bench_local_values(|mut events| {
            assembler
                .collect(&mut source, Duration::ZERO, MAX_BATCH, &mut events)
                .expect("the source is sound");
            assert_eq!(events.len(), MAX_BATCH);
            assert!(flow_of(&events[MAX_BATCH - 1]).packet.transport.is_some());
            kept.replace(events)
        });
}

/// Decoded, enriched and published, by the agent's own loop.
#[divan::bench(args = KINDS, sample_size = 1, sample_count = 1000)]
fn event(bencher: Bencher<'_, '_>, kind: Kind) {
    let ring = Arc::new(FlowRing::new(RING_CAPACITY));
    let mut pipeline = Pipeline {
        source: Box::new(replayed(kind, BATCHES)),
        assembler: assembler(inventory()),
        ring: Arc::clone(&ring),
        namespaces: Arc::default(),
        counters: Arc::default(),
    };
    let stop = AtomicBool::new(false);
    let mut run = || {
        let before = ring.end();
        pipeline.run(&stop).expect("the source is sound");
        assert_eq!(ring.end() - before, (BATCHES * MAX_BATCH) as u64);
    };
    // Beforehand, so that the ring is full.
    for _ in 0..RING_CAPACITY.div_ceil(BATCHES * MAX_BATCH) {
        run();
    }
    bencher.counter(items()).bench_local(run);

    let Read::Batch(batch) = ring.read(ring.end() - 1) else {
        unreachable!("the ring has kept its newest batch");
    };
    let last = flow_of(&batch.from(ring.end() - 1)[0].event);
    let index = MAX_BATCH as u16 - 1;
    let from = index % ENDPOINTS;
    let expected = (
        format!("pod-{from}"),
        format!("pod-{}", (from + 1 + index % 7) % ENDPOINTS),
    );
    assert_eq!(*last.source.endpoint.pod_name, expected.0);
    assert_eq!(*last.destination.endpoint.pod_name, expected.1);
}
