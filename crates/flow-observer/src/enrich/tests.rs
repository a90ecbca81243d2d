//! What flows are told of addresses.

mod oracle;
mod properties;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    facts::{Change, EndpointFact, Fact, Provider},
    *,
};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn snapshot() -> Arc<Snapshot> {
    let endpoint = |ip: &str, pod: &str, node: &str| inventory::Endpoint {
        ips: vec![address(ip)],
        namespace: "shop".to_owned(),
        pod: pod.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
        node: Some(node.to_owned()),
        workload: Some(inventory::Workload {
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
        }),
        ..inventory::Endpoint::default()
    };
    let node = |name: &str, ip: &str| inventory::Node {
        name: name.to_owned(),
        ips: vec![address(ip)],
        ..inventory::Node::default()
    };
    let inventory = Inventory {
        nodes: vec![node("n1", "192.0.2.1"), node("n2", "192.0.2.2")],
        endpoints: vec![
            endpoint("10.0.1.1", "web-0", "n1"),
            endpoint("10.0.2.1", "web-1", "n2"),
        ],
        ..Inventory::default()
    };
    let directory = Directory::new("n1", inventory);
    directory.set_own_addresses(&[address("10.0.1.254")]);
    directory.snapshot()
}

#[test]
fn a_local_pod_has_a_number_and_an_owner() {
    let snapshot = snapshot();
    let local = snapshot.endpoint(address("10.0.1.1"));
    assert_eq!((&*local.namespace, &*local.pod_name), ("shop", "web-0"));
    assert!(local.id > 0 && local.id <= u32::from(u16::MAX));
    assert_eq!(local.workloads[0].name, "web");
    assert!(local.labels.is_sorted());
}

#[test]
fn a_remote_pod_has_the_same_identity_but_no_number() {
    let snapshot = snapshot();
    let remote = snapshot.endpoint(address("10.0.2.1"));
    assert_eq!((remote.id, remote.workloads.len()), (0, 0));
    assert_eq!(
        remote.identity,
        snapshot.endpoint(address("10.0.1.1")).identity
    );
}

#[test]
fn nodes_and_everybody_else_are_reserved_identities() {
    let snapshot = snapshot();
    let identity = |ip| snapshot.endpoint(address(ip)).identity;
    assert_eq!(identity("10.0.1.254"), 1);
    assert_eq!(identity("192.0.2.1"), 1);
    assert_eq!(identity("192.0.2.2"), 6);
    assert_eq!(identity("203.0.113.9"), 2);
    assert_eq!(
        *snapshot.endpoint(address("203.0.113.9")).labels,
        ["reserved:world"]
    );
}

fn pod(ips: &[&str], label: &str) -> Fact {
    Fact::Endpoint(EndpointFact {
        ips: ips.iter().map(|it| address(it)).collect(),
        namespace: "shop".to_owned(),
        pod: label.to_owned(),
        labels: vec![format!("k8s:app={label}")],
        ..EndpointFact::default()
    })
}

#[test]
fn the_world_has_two_identities_where_pods_have_two_families() {
    let world = |snapshot: &Snapshot| {
        ["203.0.113.9", "2001:db8::9"].map(|ip| snapshot.endpoint(address(ip)).identity)
    };
    let dual = || Change::Put("a".into(), pod(&["10.0.0.1", "fd00::1"], "a"));
    for (dual_stack, without, with) in [
        (DualStack::Auto, [2, 2], [9, 10]),
        (DualStack::On, [9, 10], [9, 10]),
        (DualStack::Off, [2, 2], [2, 2]),
    ] {
        let settings = Settings {
            dual_stack,
            ..Settings::default()
        };
        let directory = Directory::with_settings("n1", Inventory::default(), settings);
        assert_eq!(world(&directory.snapshot()), without, "{dual_stack:?}");
        directory.apply(Provider::Inventory, [dual()]);
        assert_eq!(world(&directory.snapshot()), without, "no pod of a cluster");
        directory.apply(Provider::Pods, [dual()]);
        assert_eq!(world(&directory.snapshot()), with, "{dual_stack:?}");
        directory.apply(Provider::Pods, [Change::Remove("a".into())]);
        assert_eq!(world(&directory.snapshot()), without, "{dual_stack:?}");
    }
}

#[test]
fn labels_name_the_cluster_and_only_those_that_count_are_shown() {
    let settings = Settings {
        cluster_name: "blue".into(),
        labels: LabelFilter::with_patterns(&["!team"]).unwrap(),
        ..Settings::default()
    };
    let directory = Directory::with_settings("n1", Inventory::default(), settings);
    let mut fact = pod(&["10.0.0.1"], "a");
    if let Fact::Endpoint(fact) = &mut fact {
        fact.labels.push("k8s:team=x".to_owned());
    }
    directory.apply(Provider::Pods, [Change::Put("a".into(), fact)]);
    let snapshot = directory.snapshot();
    let endpoint = snapshot.endpoint(address("10.0.0.1"));
    assert_eq!(&*endpoint.cluster_name, "blue");
    assert_eq!(
        *endpoint.labels,
        [
            "k8s:app=a",
            "k8s:io.cilium.k8s.policy.cluster=blue",
            "k8s:io.kubernetes.pod.namespace=shop"
        ]
    );
    assert_eq!(endpoint.identity, identity::of_labels(&endpoint.labels, 0));
}

#[test]
fn collisions_are_counted_and_flows_seen_before_keep_their_numbers() {
    // All sets begin at one number.
    let directory =
        Directory::new("n1", Inventory::default()).numbered_by(|labels, salt| match salt {
            0 => 300,
            salt => identity::of_labels(labels, salt),
        });
    let identity = |snapshot: &Snapshot| snapshot.endpoint(address("10.0.0.2")).identity;
    directory.apply(
        Provider::Pods,
        [Change::Put("b".into(), pod(&["10.0.0.2"], "b"))],
    );
    let before = directory.snapshot();
    directory.apply(
        Provider::Pods,
        [Change::Put("a".into(), pod(&["10.0.0.1"], "a"))],
    );
    assert_eq!(directory.identity_collisions(), 1);
    assert_eq!(
        directory.snapshot().endpoint(address("10.0.0.1")).identity,
        300
    );
    assert_ne!(identity(&directory.snapshot()), 300);
    assert_eq!(identity(&before), 300);
    directory.apply(Provider::Pods, [Change::Remove("a".into())]);
    assert_eq!(identity(&directory.snapshot()), 300, "given back");
}

#[test]
fn a_list_with_one_change_leaves_all_others_as_they_are() {
    let directory = Directory::new("n1", Inventory::default());
    let list = |changed: u32| {
        (0..2000_u32).map(move |number| {
            let label = if number == changed { "changed" } else { "same" };
            let ip = format!("10.0.{}.{}", number / 250, number % 250);
            (number.to_string().into(), pod(&[&ip], label))
        })
    };
    directory.replace(Provider::Pods, list(u32::MAX));
    let before = directory.snapshot();
    directory.replace(Provider::Pods, list(777));
    let after = directory.snapshot();
    let moved = (0..2000_u32)
        .map(|number| address(&format!("10.0.{}.{}", number / 250, number % 250)))
        .filter(|&ip| !Arc::ptr_eq(before.endpoint(ip), after.endpoint(ip)));
    assert_eq!(moved.collect::<Vec<_>>(), [address("10.0.3.27")]);
    assert_eq!(&*after.endpoint(address("10.0.3.27")).pod_name, "changed");
}
