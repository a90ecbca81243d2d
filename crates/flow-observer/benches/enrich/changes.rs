//! What changes, and lists of all.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use flow_observer::{
    enrich::{
        Directory, Inventory,
        facts::{Change, Key, Provider},
    },
    record::Endpoint,
};
use foldhash::HashMap;

use crate::cluster::*;

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
