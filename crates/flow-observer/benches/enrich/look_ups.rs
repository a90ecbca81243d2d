//! Who is who, asked for both ends of an event.

use std::{hint::black_box, net::IpAddr, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use flow_observer::{
    enrich::{
        Identities, NameTable, WARMED,
        facts::{Port, Provider},
        warm,
    },
    record::{Endpoint, FlowRecord, Ip, Names, Party},
};
use foldhash::HashMap;

use crate::cluster::*;

/// Events that come in one batch. One alone waits for memory by itself.
const BATCHES: [usize; 3] = [1, 32, 1024];

/// Goes through events, a run's worth at a time.
fn look_up(bencher: Bencher<'_, '_>, ends: Vec<[IpAddr; 2]>, party: impl Fn(IpAddr) -> Party) {
    let mut runs = ends.chunks_exact(EVENTS).cycle();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for [source, destination] in runs.next().into_iter().flatten() {
            black_box((party(*source), party(*destination)));
        }
    });
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
