//! What flows are told of addresses.

mod oracle;
mod properties;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::*;

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
