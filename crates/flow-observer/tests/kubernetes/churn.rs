//! Pods come and go faster than in any real cluster.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use serde_json::json;
use testbed::api_server::objects;

use crate::support::{Cluster, NODE, test_seconds, until};

/// Pods that come each second, and as many that go.
const RATE: u32 = 200;
/// Pods that are there all the time, besides.
const RESIDENTS: u32 = 500;
/// How many pods live at a time.
const ALIVE: usize = 100;
/// Addresses are used again soon: fewer than twice as many as there are pods.
const ADDRESSES: u32 = 150;
/// A pod that is older than this has its name.
const LATEST: Duration = Duration::from_secs(1);

struct Pod {
    name: String,
    ip: IpAddr,
    since: Instant,
    is_known: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn under_churn_no_name_is_wrong_and_none_is_missing_for_long() {
    let cluster = Cluster::connected().await;
    for number in 0..RESIDENTS {
        let ip = format!("10.8.{}.{}", number / 250, number % 250 + 1);
        cluster.put_pod(&format!("resident-{number}"), &ip);
    }
    until("all residents are known", || {
        cluster.part("pods").objects == u64::from(RESIDENTS)
    })
    .await;
    let baseline = cluster.status().objects;

    let length = test_seconds(3);
    let started = Instant::now();
    let mut pods: VecDeque<Pod> = VecDeque::new();
    let mut made = 0_u32;
    let mut slowest = Duration::ZERO;
    let mut most_objects = 0;
    while started.elapsed() < length {
        let due = (started.elapsed().as_secs_f64() * f64::from(RATE)) as u32;
        while made < due {
            if pods.len() == ALIVE
                && let Some(oldest) = pods.pop_front()
            {
                cluster.server.delete("pods", "shop", &oldest.name);
            }
            pods.push_back(make(&cluster, made));
            made += 1;
        }
        slowest = slowest.max(look(&cluster, &mut pods));
        most_objects = most_objects.max(cluster.status().objects);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for pod in pods.drain(..) {
        cluster.server.delete("pods", "shop", &pod.name);
    }
    until("those that came are gone", || {
        cluster.status().objects == baseline
    })
    .await;
    until("nobody has their addresses", || {
        let snapshot = cluster.directory.snapshot();
        (0..ADDRESSES).all(|number| snapshot.endpoint(ip_of(number)).pod_name.is_empty())
    })
    .await;
    let bound = baseline + 4 * ALIVE as u64;
    assert!(
        most_objects <= bound,
        "{most_objects} objects, expected {bound} at most"
    );
    assert!(made >= RATE, "{made} pods");
    println!("{made} pods in {length:?}: each known within {slowest:?}, {most_objects} objects");
}

fn ip_of(number: u32) -> IpAddr {
    let number = number % ADDRESSES;
    Ipv4Addr::new(10, 9, 0, number as u8).into()
}

/// A pod starts as real ones do: first without an address, then with it.
fn make(cluster: &Cluster, number: u32) -> Pod {
    let (name, ip) = (format!("web-{number}"), ip_of(number));
    let mut pod = objects::pod("shop", &name, &ip.to_string(), NODE);
    let mut pending = pod.clone();
    pending["status"] = json!({"phase": "Pending", "qosClass": "Burstable"});
    cluster.server.put(pending);
    let (hours, minutes, seconds) = (number / 3600 % 24, number / 60 % 60, number % 60);
    pod["status"]["startTime"] = format!("2026-01-12T{hours:02}:{minutes:02}:{seconds:02}Z").into();
    cluster.server.put(pod);
    Pod {
        name,
        ip,
        since: Instant::now(),
        is_known: false,
    }
}

/// Each living pod's address is its own, or still nobody's, or that of its predecessor for a moment.
/// Returns how long the slowest of those that are known now took.
fn look(cluster: &Cluster, pods: &mut VecDeque<Pod>) -> Duration {
    let snapshot = cluster.directory.snapshot();
    let mut slowest = Duration::ZERO;
    for pod in pods {
        let known = &*snapshot.endpoint(pod.ip).pod_name;
        let age = pod.since.elapsed();
        if known == pod.name {
            if !pod.is_known {
                slowest = slowest.max(age);
            }
            pod.is_known = true;
        } else {
            assert!(
                !pod.is_known,
                "{} was known, and is {known:?} now",
                pod.name
            );
            assert!(age < LATEST, "{} is {known:?} after {age:?}", pod.name);
        }
    }
    slowest
}
