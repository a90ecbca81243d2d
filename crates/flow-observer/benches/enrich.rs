//! Who is who among 100,000 endpoints and a million names: look-ups, changes, and what it takes in
//! memory.
//!
//! A cluster of 400 nodes: each pod has an address, a namespace, a workload of 20 replicas and the
//! labels that Kubernetes gives it. The 250 pods of this node have asked for 4,000 names each, and
//! the answers were heard. Look-ups go to random addresses, so that little of what they need is in the
//! processor's caches. Floors: plain hash maps that know the same.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::VecDeque,
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use divan::{Bencher, counter::ItemsCount};
use flow_api::flow::TrafficDirection;
use flow_observer::{
    counters::Counters,
    decode::payload,
    enrich::{
        Directory, Identities, Inventory, NameTable, Snapshot, WARMED,
        facts::{Change, EndpointFact, Fact, Key, NamesFact, Port, Provider, ServiceFact},
        warm,
    },
    record::{
        Counts, Endpoint, FlowRecord, Ip, Names, Observation, PacketHeaders, Party, Transport,
        Workload,
    },
};
use foldhash::HashMap;

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(
    unsafe_code,
    reason = "an allocator that hands everything on to the system's"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn main() {
    memory();
    divan::main();
}

const NODE: &str = "node-0";
const ENDPOINTS: u32 = 100_000;
const NAMES: u32 = 1_000_000;
const NODES: u32 = 400;
const REPLICAS: u32 = 20;
/// Pods of this node.
const LOCAL: u32 = ENDPOINTS / NODES;
/// Pairs of a pod and an address that are used over and over.
const HOT: usize = 2_000;
/// Events that come in one batch. One alone waits for memory by itself.
const BATCHES: [usize; 3] = [1, 32, 1024];
/// Events of a run of the loop.
const EVENTS: usize = 4096;

fn pod_ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 | number).into()
}

/// An address outside of the cluster.
fn outside(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x5000_0000 + 7 * number).into()
}

/// A pod of this node.
fn local_ip(number: u32) -> IpAddr {
    pod_ip(number % LOCAL * NODES)
}

fn pod(number: u32, generation: u32) -> (Key, Fact) {
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

fn pods(generation: u32) -> Vec<(Key, Fact)> {
    (0..ENDPOINTS).map(|it| pod(it, generation)).collect()
}

/// A service for each workload.
fn services() -> Vec<(Key, Fact)> {
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
fn names() -> Vec<(Key, Fact)> {
    let names = |number: u32| {
        let fact = NamesFact {
            ips: vec![outside(number)],
            names: vec![name(number)],
        };
        (format!("{number}").into(), Fact::Names(fact))
    };
    (0..NAMES).map(names).collect()
}

fn directory() -> Directory {
    let directory = Directory::new(NODE, Inventory::default());
    directory.replace(Provider::Pods, pods(1));
    directory
}

fn snapshot() -> Arc<Snapshot> {
    let directory = directory();
    directory.replace(Provider::Services, services());
    directory.snapshot()
}

/// Numbers at random (xorshift).
fn random() -> impl FnMut() -> u32 {
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
fn ends(of: u32, address: fn(u32) -> IpAddr, other: fn(u32) -> IpAddr) -> Vec<[IpAddr; 2]> {
    let mut next = random();
    (0..64 * EVENTS)
        .map(|_| [address(next() % ENDPOINTS), other(next() % of)])
        .collect()
}

fn as_ip(ends: Vec<[IpAddr; 2]>) -> Vec<Ip> {
    let ip = |[source, destination]: [IpAddr; 2]| Ip {
        source,
        destination,
    };
    ends.into_iter().map(ip).collect()
}

/// Pods of this node and the addresses whose names they were told. As many events as there are names:
/// few of them come again before most others were looked up.
fn told_ends() -> Vec<[IpAddr; 2]> {
    let mut next = random();
    (0..256 * EVENTS)
        .map(|_| next() % NAMES)
        .map(|it| [local_ip(it), outside(it)])
        .collect()
}

/// The same, of few of which all events are.
fn hot_ends() -> Vec<[IpAddr; 2]> {
    let mut next = random();
    let few = &told_ends()[..HOT];
    (0..64 * EVENTS)
        .map(|_| few[next() as usize % HOT])
        .collect()
}

fn name(number: u32) -> String {
    format!("host-{number}.example.com")
}

/// The answer of a DNS server that this is the address of the host with this number.
fn answer(number: u32) -> Vec<u8> {
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
fn flow(snapshot: &Snapshot, [source, destination]: [IpAddr; 2]) -> FlowRecord {
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
fn told(snapshot: &Snapshot, counters: &Arc<Counters>) -> NameTable {
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

/// What is kept, in bytes, beside what a plain map of the same would keep.
fn memory() {
    let bytes = |make: &dyn Fn() -> Box<dyn Send>| {
        let before = IN_USE.load(Ordering::Relaxed);
        let made = make();
        let after = IN_USE.load(Ordering::Relaxed);
        drop(made);
        after - before
    };
    let directory_of = |providers: &'static [Provider]| {
        move || -> Box<dyn Send> {
            let directory = Directory::new(NODE, Inventory::default());
            for &provider in providers {
                let facts = match provider {
                    Provider::Pods => pods(1),
                    Provider::Services => services(),
                    _ => names(),
                };
                directory.replace(provider, facts);
            }
            Box::new(directory)
        }
    };
    let empty = bytes(&directory_of(&[]));
    let facts = bytes(&|| Box::new(pods(1)));
    let known = bytes(&directory_of(&[Provider::Pods])) - empty;
    let served = bytes(&directory_of(&[Provider::Pods, Provider::Services])) - empty - known;
    let named = bytes(&directory_of(&[Provider::Inventory])) - empty;
    let each = |bytes: usize, of: u32| bytes / of as usize;
    println!("a directory that knows nothing: {empty} bytes");
    println!(
        "the facts themselves: {} bytes per endpoint",
        each(facts, ENDPOINTS)
    );
    println!("endpoint: {} bytes", each(known, ENDPOINTS));
    println!("backend of a service: {} bytes", each(served, ENDPOINTS));
    println!("address with a fixed name: {} bytes", each(named, NAMES));
    let (snapshot, counters) = (snapshot(), Arc::default());
    let told = bytes(&|| Box::new(told(&snapshot, &counters)));
    println!("address with a name from DNS: {} bytes", each(told, NAMES));
}

/// Goes through events, a run's worth at a time.
fn look_up(bencher: Bencher<'_, '_>, ends: Vec<[IpAddr; 2]>, party: impl Fn(IpAddr) -> Party) {
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for [source, destination] in runs.next().into_iter().flatten() {
            black_box((party(*source), party(*destination)));
        }
    });
}

fn of_snapshot(snapshot: &Snapshot, ip: IpAddr) -> Party {
    snapshot.look_up(ip).party()
}

/// The same endpoints in one plain map.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn floor_plain_map(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let plain: HashMap<IpAddr, Arc<Endpoint>> = (0..ENDPOINTS)
        .map(|it| (pod_ip(it), Arc::clone(snapshot.endpoint(pod_ip(it)))))
        .collect();
    look_up(bencher, ends(ENDPOINTS, pod_ip, pod_ip), |ip| {
        plain.get(&ip).map_or_else(Party::default, Party::of)
    });
}

/// Between two pods.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn both_ends_pods(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let ends = ends(ENDPOINTS, pod_ip, pod_ip);
    let to = of_snapshot(&snapshot, ends[0][1]);
    assert!(to.endpoint.pod_name.starts_with("workload-"));
    look_up(bencher, ends, |ip| of_snapshot(&snapshot, ip));
}

/// The same as the assembler does it, in batches, where nobody was told any names.
#[divan::bench(args = BATCHES, sample_size = 1, sample_count = 2000)]
fn both_ends_pods_in_batches(bencher: Bencher<'_, '_>, batch: usize) {
    let snapshot = snapshot();
    let names = NameTable::new(Arc::default());
    let ends = as_ip(ends(ENDPOINTS, pod_ip, pod_ip));
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for batch in runs.next().into_iter().flat_map(|run| run.chunks(batch)) {
            for some in batch.chunks(WARMED) {
                warm(&snapshot, &names, some);
                for ip in some {
                    let party = |address| of_snapshot(&snapshot, address);
                    black_box((party(ip.source), party(ip.destination)));
                }
            }
        }
    });
}

/// From a pod to somebody of whom nothing is known.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn both_ends_pod_to_world(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let ends = ends(NAMES, pod_ip, outside);
    assert_eq!(of_snapshot(&snapshot, ends[0][1]).identity, 2);
    look_up(bencher, ends, |ip| of_snapshot(&snapshot, ip));
}

/// From a pod to one of a million addresses with a name.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn both_ends_pod_to_name(bencher: Bencher<'_, '_>) {
    let directory = directory();
    directory.replace(Provider::Inventory, names());
    let snapshot = directory.snapshot();
    let ends = ends(NAMES, pod_ip, outside);
    assert!(of_snapshot(&snapshot, ends[0][1]).names.is_some());
    look_up(bencher, ends, |ip| of_snapshot(&snapshot, ip));
}

/// Goes through events as the assembler does: in batches, both ends are looked up in the snapshot, and
/// what they were told of each other in the names. `is_named` says whether they were.
fn look_up_with_names(
    bencher: Bencher<'_, '_>,
    batch: usize,
    ends: Vec<[IpAddr; 2]>,
    is_named: bool,
) {
    let snapshot = snapshot();
    let mut names = told(&snapshot, &Arc::default());
    let mut flow = flow(&snapshot, ends[0]);
    let ends = as_ip(ends);
    let look_up = |names: &mut NameTable, flow: &mut FlowRecord, ip: Ip| {
        flow.packet.ip = Some(ip);
        flow.source = of_snapshot(&snapshot, ip.source);
        flow.destination = of_snapshot(&snapshot, ip.destination);
        names.name(flow, Identities::Ours);
    };
    // Once before, since the first use of a name also decides on its identity.
    for &ip in &ends {
        look_up(&mut names, &mut flow, ip);
        assert_eq!(flow.destination.names.is_some(), is_named);
    }
    look_up(&mut names, &mut flow, ends[0]);
    let told = flow.destination.names.as_ref().map(|it| &*it.all[0].text);
    let number = number_outside(ends[0].destination);
    assert_eq!(told, number.map(name).as_deref());
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for batch in runs.next().into_iter().flat_map(|run| run.chunks(batch)) {
            for some in batch.chunks(WARMED) {
                warm(&snapshot, &names, some);
                for &ip in some {
                    look_up(&mut names, black_box(&mut flow), ip);
                }
            }
        }
    });
}

/// The number of an address outside of the cluster.
fn number_outside(ip: IpAddr) -> Option<u32> {
    let IpAddr::V4(ip) = ip else {
        return None;
    };
    Some(ip.to_bits().checked_sub(0x5000_0000)? / 7)
}

/// The endpoints in one plain map, and the names by who was told them in another.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn floor_plain_maps_with_names(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let endpoints: HashMap<IpAddr, Arc<Endpoint>> = (0..ENDPOINTS)
        .map(|it| (pod_ip(it), Arc::clone(snapshot.endpoint(pod_ip(it)))))
        .collect();
    let names: HashMap<[IpAddr; 2], Arc<Names>> = (0..NAMES)
        .map(|it| ([local_ip(it), outside(it)], Arc::default()))
        .collect();
    let ends = told_ends();
    assert!(names.contains_key(&ends[0]));
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    let world = Arc::clone(snapshot.endpoint(ends[0][1]));
    let party = |ip: IpAddr| Party::of(endpoints.get(&ip).unwrap_or(&world));
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for ends in runs.next().into_iter().flatten() {
            let destination = Party {
                names: names.get(ends).cloned(),
                ..party(ends[1])
            };
            black_box((party(ends[0]), destination));
        }
    });
}

/// Between a pod of this node and another pod, with a million names told.
#[divan::bench(args = BATCHES, sample_size = 1, sample_count = 2000)]
fn names_told_but_not_of_these_pods(bencher: Bencher<'_, '_>, batch: usize) {
    look_up_with_names(bencher, batch, ends(ENDPOINTS, local_ip, pod_ip), false);
}

/// From a pod of this node to any of a million addresses that it was told a name of.
#[divan::bench(args = BATCHES, sample_size = 1, sample_count = 2000)]
fn names_told_of_any_address(bencher: Bencher<'_, '_>, batch: usize) {
    look_up_with_names(bencher, batch, told_ends(), true);
}

/// The same over and over for few of them.
#[divan::bench(args = BATCHES, sample_size = 1, sample_count = 2000)]
fn names_told_of_few_addresses(bencher: Bencher<'_, '_>, batch: usize) {
    look_up_with_names(bencher, batch, hot_ends(), true);
}

/// The service of a pod's port.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn service_of_backend(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let ends = ends(ENDPOINTS, pod_ip, pod_ip);
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for [ip, _] in runs.next().into_iter().flatten() {
            let port = Port {
                ip: *ip,
                protocol: 6,
                port: 8080,
            };
            let service = black_box(&snapshot).backend(port);
            assert!(black_box(service).is_some());
        }
    });
}

/// A pod gets other labels: from the fact to the snapshot that readers see, and the one before freed.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn change_of_a_pod(bencher: Bencher<'_, '_>) {
    let directory = directory();
    directory.replace(Provider::Services, services());
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            let (key, fact) = pod(number * 7919 % ENDPOINTS, 1 + number);
            Change::Put(key, fact)
        })
        .bench_local_values(|change| directory.apply(Provider::Pods, [change]));
    let changed = directory.snapshot();
    let changed = changed.endpoint(pod_ip(number * 7919 % ENDPOINTS));
    let version = format!("k8s:app.kubernetes.io/version={}", 1 + number);
    assert!(changed.labels.contains(&version), "{changed:?}");
}

/// A pod goes, and another one gets its address.
#[divan::bench(sample_size = 1, sample_count = 2000)]
fn replacement_of_a_pod(bencher: Bencher<'_, '_>) {
    let directory = directory();
    let mut recent: VecDeque<Key> = VecDeque::new();
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            let (old, _) = pod(number, 1);
            let (_, fact) = pod(number, 1);
            let new: Key = format!("shop/new-{number}").into();
            recent.push_back(new.clone());
            [Change::Remove(old), Change::Put(new, fact)]
        })
        .bench_local_values(|changes| directory.apply(Provider::Pods, changes));
    assert_eq!(recent.len(), number as usize);
}

/// A bare map of as many, made anew: what a relist costs at least when nothing is kept.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn floor_plain_map_of_all(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    bencher.counter(ItemsCount::new(ENDPOINTS)).bench_local(|| {
        (0..ENDPOINTS)
            .map(|it| {
                (
                    pod_ip(it),
                    Arc::new(Endpoint::clone(snapshot.endpoint(pod_ip(it)))),
                )
            })
            .collect::<HashMap<IpAddr, Arc<Endpoint>>>()
    });
}

/// The first list of all pods.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn list_of_all(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(ENDPOINTS))
        .with_inputs(|| (Directory::new(NODE, Inventory::default()), pods(1)))
        .bench_local_values(|(directory, pods)| {
            directory.replace(Provider::Pods, pods);
            directory
        });
}

/// A list of all pods, of which none has changed.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn list_of_all_again(bencher: Bencher<'_, '_>) {
    let directory = directory();
    let before = directory.snapshot();
    bencher
        .counter(ItemsCount::new(ENDPOINTS))
        .with_inputs(|| pods(1))
        .bench_local_values(|pods| directory.replace(Provider::Pods, pods));
    assert!(Arc::ptr_eq(&before, &directory.snapshot()));
}
