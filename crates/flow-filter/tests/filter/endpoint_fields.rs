//! Fields about who is at either side, and about the node in between.

use flow_api::flow::{Endpoint, Flow, FlowFilter, Service, Workload};

use crate::flows::{filter, flow, from_endpoint, matches, strings, to_endpoint};

#[test]
fn identity_needs_an_endpoint() {
    let world = from_endpoint(Endpoint {
        identity: 2,
        ..Endpoint::default()
    });
    assert!(matches(&filter(|f| f.source_identity = vec![1, 2]), &world));
    assert!(!matches(&filter(|f| f.source_identity = vec![1]), &world));
    assert!(!matches(
        &filter(|f| f.destination_identity = vec![2]),
        &world
    ));
    assert!(!matches(
        &filter(|f| f.source_identity = vec![0]),
        &Flow::default()
    ));
    assert!(matches(
        &filter(|f| f.destination_identity = vec![0]),
        &to_endpoint(Endpoint::default())
    ));
}

#[test]
fn pod_is_by_namespace_and_prefix() {
    let web = Endpoint {
        namespace: "shop".into(),
        pod_name: "web-0".into(),
        ..Endpoint::default()
    };
    let wanted = filter(|f| f.source_pod = strings(&["db", "shop/web"]));
    assert!(matches(&wanted, &from_endpoint(web.clone())));
    assert!(!matches(&wanted, &to_endpoint(web)));
    assert!(!matches(
        &filter(|f| f.source_pod = strings(&["/"])),
        &Flow::default()
    ));
}

#[test]
fn service_is_by_namespace_and_prefix() {
    let flow = flow(|flow| {
        flow.destination_service = Some(Service {
            namespace: "shop".into(),
            name: "web".into(),
        });
    });
    assert!(matches(
        &filter(|f| f.destination_service = strings(&["shop/w"])),
        &flow
    ));
    assert!(!matches(
        &filter(|f| f.destination_service = strings(&["web"])),
        &flow
    ));
    assert!(!matches(
        &filter(|f| f.source_service = strings(&["shop/w"])),
        &flow
    ));
}

#[test]
fn workload_is_by_kind_and_name_where_given() {
    let workload = |kind: &str, name: &str| Workload {
        kind: kind.into(),
        name: name.into(),
    };
    let flow = to_endpoint(Endpoint {
        workloads: vec![workload("Deployment", "web"), workload("CronJob", "tidy")],
        ..Endpoint::default()
    });
    for (wanted, expected) in [
        (workload("Deployment", "web"), true),
        (workload("", "tidy"), true),
        (workload("CronJob", ""), true),
        (workload("", ""), true),
        (workload("CronJob", "web"), false),
        (workload("deployment", ""), false),
    ] {
        let wanted = filter(|f| f.destination_workload = vec![wanted]);
        assert_eq!(matches(&wanted, &flow), expected, "{wanted:?}");
    }
    let any = filter(|f| f.source_workload = vec![workload("", "")]);
    assert!(!matches(&any, &from_endpoint(Endpoint::default())));
}

#[test]
fn cluster_name_is_exact() {
    let flow = from_endpoint(Endpoint {
        cluster_name: "west".into(),
        ..Endpoint::default()
    });
    for (name, expected) in [("west", true), ("wes", false), ("*", false)] {
        let wanted = filter(|f| f.source_cluster_name = strings(&[name]));
        assert_eq!(matches(&wanted, &flow), expected, "{name}");
    }
}

#[test]
fn fqdn_matches_any_name_of_the_side() {
    let flow = flow(|flow| flow.destination_names = strings(&["a.example", "b.example"]));
    assert!(matches(
        &filter(|f| f.destination_fqdn = strings(&["x", "b.*"])),
        &flow
    ));
    assert!(!matches(
        &filter(|f| f.source_fqdn = strings(&["*"])),
        &flow
    ));
}

#[test]
fn labels_are_selected_by_side() {
    let flow = from_endpoint(Endpoint {
        labels: strings(&["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]),
        ..Endpoint::default()
    });
    type Change = fn(&mut FlowFilter);
    let cases: [(Change, bool); 6] = [
        (|f| f.source_label = strings(&["app=web"]), true),
        (
            |f| f.source_label = strings(&["app=db", "k8s:io.kubernetes.pod.namespace"]),
            true,
        ),
        (|f| f.source_label = strings(&["app=web,tier"]), false),
        (|f| f.destination_label = strings(&["app=web"]), false),
        (|f| f.destination_label = strings(&["app!=web"]), true),
        (|f| f.destination_label = strings(&[""]), true),
    ];
    for (change, expected) in cases {
        assert_eq!(
            matches(&filter(change), &flow),
            expected,
            "{:?}",
            filter(change)
        );
    }
}

#[test]
fn node_labels_have_no_source() {
    let flow = flow(|flow| flow.node_labels = strings(&["zone=a", "key=v:x=y"]));
    for (selector, expected) in [
        ("zone=a", true),
        ("any:zone=a", true),
        ("k8s:zone=a", false),
        ("key", false),
        ("x=y", true),
    ] {
        let wanted = filter(|f| f.node_labels = strings(&[selector]));
        assert_eq!(matches(&wanted, &flow), expected, "{selector}");
    }
}

#[test]
fn node_name_is_a_pattern_for_cluster_and_node() {
    let flow = flow(|flow| flow.node_name = "west/rack-1".into());
    for (pattern, expected) in [
        ("rack-*", true),
        ("west/", true),
        ("east/", false),
        ("west/rack-1.", true),
    ] {
        let wanted = filter(|f| f.node_name = strings(&[pattern]));
        assert_eq!(matches(&wanted, &flow), expected, "{pattern}");
    }
    assert!(!matches(
        &filter(|f| f.node_name = strings(&["/"])),
        &Flow::default()
    ));
}
