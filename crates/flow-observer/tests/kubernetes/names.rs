//! What objects say becomes what flows are called.

use flow_observer::enrich::{
    ProviderState,
    facts::{NodePort, Port},
};
use serde_json::json;
use testbed::api_server::objects;

use crate::support::{Cluster, NODE, address, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_known_by_its_address_with_all_that_hubble_tells() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("web-5d78c9869d-x2x7q", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web-5d78c9869d-x2x7q").await;
    let web = cluster.endpoint("10.0.1.17");
    assert_eq!(&*web.namespace, "shop");
    assert_eq!(&*web.cluster_name, "default");
    assert_ne!(web.id, 0, "it is on this node");
    assert_eq!(web.workloads[0].kind, "Deployment");
    assert_eq!(web.workloads[0].name, "web");
    for label in [
        "k8s:app=web",
        "k8s:io.cilium.k8s.namespace.labels.team=a",
        "k8s:io.cilium.k8s.policy.cluster=default",
        "k8s:io.cilium.k8s.policy.serviceaccount=web",
        "k8s:io.kubernetes.pod.namespace=shop",
    ] {
        assert!(
            web.labels.iter().any(|it| it == label),
            "{label}: {:?}",
            web.labels
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_the_agent_is_known_page_by_page() {
    let mut cluster = Cluster::new();
    // More than two pages.
    for number in 0..1100_u32 {
        let ip = format!("10.1.{}.{}", number / 250, number % 250 + 1);
        cluster.put_pod(&format!("web-{number}"), &ip);
    }
    cluster.follow().await;
    cluster.await_state(ProviderState::Connected).await;
    until("all are counted", || cluster.part("pods").objects == 1100).await;
    cluster.await_pod("10.1.4.100", "web-1099").await;
    assert_eq!(cluster.pod_at("10.1.0.1"), "web-0");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_labels_are_told_and_flows_that_were_named_keep_theirs() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    let before = cluster.endpoint("10.0.1.17");
    let mut pod = objects::pod("shop", "web", "10.0.1.17", NODE);
    pod["metadata"]["labels"]["tier"] = json!("front");
    cluster.server.put(pod);
    let has_label = || {
        let labels = cluster.endpoint("10.0.1.17").labels.clone();
        labels.iter().any(|it| it == "k8s:tier=front")
    };
    until("the label is told", has_label).await;
    assert!(!before.labels.iter().any(|it| it == "k8s:tier=front"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_address_is_nobodys_when_it_is_deleted_and_the_next_ones_then() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("first", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "first").await;
    cluster.server.delete("pods", "shop", "first");
    cluster.await_pod("10.0.1.17", "").await;
    cluster.put_pod("second", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_the_younger_pods_while_the_older_one_is_going() {
    let cluster = Cluster::connected().await;
    let mut going = objects::pod("shop", "z-going", "10.0.1.17", NODE);
    cluster.server.put(going.clone());
    cluster.await_pod("10.0.1.17", "z-going").await;
    going["metadata"]["deletionTimestamp"] = json!("2026-01-12T08:00:00Z");
    cluster.server.put(going);
    let mut young = objects::pod("shop", "a-young", "10.0.1.17", NODE);
    young["status"]["startTime"] = json!("2026-01-12T08:00:01Z");
    cluster.server.put(young);
    cluster.await_pod("10.0.1.17", "a-young").await;
    cluster.server.delete("pods", "shop", "z-going");
    until("it is gone", || cluster.part("pods").objects == 1).await;
    assert_eq!(cluster.pod_at("10.0.1.17"), "a-young");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_hosts_network_leaves_the_nodes_address_to_the_node() {
    let cluster = Cluster::connected().await;
    let mut agent = objects::pod("kube-system", "agent", "192.0.2.12", "worker-2");
    agent["spec"]["hostNetwork"] = json!(true);
    cluster.server.put(agent);
    until("it is counted", || cluster.part("pods").objects == 1).await;
    let node = cluster.endpoint("192.0.2.12");
    assert_eq!((node.identity, &*node.pod_name), (6, ""));
    assert_eq!(cluster.endpoint("192.0.2.11").identity, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn this_nodes_labels_are_known() {
    let cluster = Cluster::connected().await;
    let zone = "topology.kubernetes.io/zone=zone-a";
    until("the label is told", || {
        cluster
            .directory
            .snapshot()
            .own_labels()
            .iter()
            .any(|it| it == zone)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_known_by_its_address_and_by_its_backends() {
    let cluster = Cluster::connected().await;
    cluster
        .server
        .put(objects::service("shop", "web", "10.96.12.7"));
    let slice = objects::endpoint_slice("shop", "web", &["10.0.1.17", "10.0.2.9"]);
    cluster.server.put(slice);
    let port = |ip: &str, port| Port {
        ip: address(ip),
        protocol: 6,
        port,
    };
    until("both are told", || {
        let snapshot = cluster.directory.snapshot();
        let frontend = snapshot.frontend(port("10.96.12.7", 80));
        let backend = snapshot.backend(port("10.0.2.9", 8080));
        frontend.is_some_and(|it| &*it.name == "web")
            && backend.is_some_and(|it| &*it.name == "web")
    })
    .await;
    cluster.server.delete("services", "shop", "web");
    until("the frontend is gone", || {
        cluster
            .directory
            .snapshot()
            .frontend(port("10.96.12.7", 80))
            .is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_known_by_its_addresses_outside_and_by_its_port_at_all_nodes() {
    let cluster = Cluster::connected().await;
    let mut service = objects::service("shop", "web", "10.96.12.7");
    service["spec"]["type"] = json!("LoadBalancer");
    service["spec"]["externalIPs"] = json!(["198.51.100.7"]);
    service["spec"]["ports"][0]["nodePort"] = json!(30080);
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}});
    cluster.server.put(service.clone());
    let name = |ip: &str| {
        let port = Port {
            ip: address(ip),
            protocol: 6,
            port: 80,
        };
        let snapshot = cluster.directory.snapshot();
        snapshot.frontend(port).map(|it| it.name.to_string())
    };
    let at_nodes = || {
        let port = NodePort {
            protocol: 6,
            port: 30080,
        };
        let snapshot = cluster.directory.snapshot();
        snapshot.node_port(port).map(|it| it.name.to_string())
    };
    until("the port is told", || at_nodes().as_deref() == Some("web")).await;
    for ip in ["10.96.12.7", "198.51.100.7", "203.0.113.7"] {
        assert_eq!(name(ip).as_deref(), Some("web"), "{ip}");
    }
    for (ip, is_node) in [
        ("192.0.2.11", true),
        ("192.0.2.12", true),
        ("10.0.1.17", false),
    ] {
        let snapshot = cluster.directory.snapshot();
        assert_eq!(snapshot.look_up(address(ip)).is_node, is_node, "{ip}");
    }
    service["spec"]["ports"][0]
        .as_object_mut()
        .unwrap()
        .remove("nodePort");
    cluster.server.put(service);
    until("the port is gone", || at_nodes().is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cilium_may_come_and_go_and_its_numbers_with_it() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    assert_eq!(cluster.part("ciliumendpoints").state, ProviderState::Absent);
    let own = cluster.endpoint("10.0.1.17").identity;
    let endpoint = objects::cilium_endpoint("shop", "web", "10.0.1.17", 1789, 4306);
    cluster.server.put(endpoint);
    cluster.server.set_cilium(true);
    let numbers = || {
        let web = cluster.endpoint("10.0.1.17");
        (web.id, web.identity)
    };
    until("Cilium's numbers are told", || numbers() == (1789, 4306)).await;
    let labels = cluster.endpoint("10.0.1.17").labels.clone();
    let mut once = labels.to_vec();
    once.dedup();
    assert_eq!(*labels, *once, "no label is there twice");
    cluster.server.set_cilium(false);
    cluster.server.break_watches();
    until("they are gone", || numbers().1 == own).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cilium_has_at_each_node_has_its_reserved_identity() {
    let cluster = Cluster::connected().await;
    cluster.server.set_cilium(true);
    let nodes = [
        (NODE, "192.0.2.11", ["10.0.1.254", "10.0.1.5", "10.0.1.6"]),
        (
            "worker-2",
            "192.0.2.12",
            ["10.0.2.254", "10.0.2.5", "10.0.2.6"],
        ),
    ];
    for (name, ip, own) in nodes {
        cluster.server.put(objects::cilium_node(name, ip, own));
    }
    let identities =
        |(_, _, ips): (_, _, [&'static str; 3])| ips.map(|ip| cluster.endpoint(ip).identity);
    until("all are told", || {
        nodes.map(identities) == [[1, 4, 8], [6, 4, 8]]
    })
    .await;
    let health = cluster.endpoint("10.0.2.5");
    assert_eq!(*health.labels, ["reserved:health"]);
    assert_eq!(health.id, 0, "it is elsewhere");
    assert_ne!(cluster.endpoint("10.0.1.5").id, 0, "it is on this node");
    cluster.server.delete("ciliumnodes", "", "worker-2");
    until("it is gone", || identities(nodes[1]) == [2, 2, 2]).await;
}

/// What Cilium makes an identity of for the pods of `objects::pod`.
fn labels_of_web(cluster: &str) -> Vec<String> {
    let own = [
        "k8s:app=web".to_owned(),
        format!("k8s:io.cilium.k8s.policy.cluster={cluster}"),
    ];
    let others = [
        "k8s:app.kubernetes.io/instance=web",
        "k8s:app.kubernetes.io/managed-by=Helm",
        "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop",
        "k8s:io.cilium.k8s.namespace.labels.team=a",
        "k8s:io.cilium.k8s.policy.serviceaccount=web",
        "k8s:io.kubernetes.pod.namespace=shop",
    ];
    own.into_iter().chain(others.map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_no_endpoint_of_cilium_has_the_identity_of_its_labels() {
    let cluster = Cluster::connected().await;
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    let computed = cluster.endpoint("10.0.1.17").identity;
    let labels = labels_of_web("default");
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    cluster.server.set_cilium(true);
    for number in [4307, 4306] {
        cluster
            .server
            .put(objects::cilium_identity(number, &labels));
        let identity = || cluster.endpoint("10.0.1.17").identity;
        until("Cilium's number is told", || identity() == number).await;
    }
    cluster.put_pod("later", "10.0.1.18");
    cluster.await_pod("10.0.1.18", "later").await;
    assert_eq!(cluster.endpoint("10.0.1.18").identity, 4306);
    cluster.server.put(objects::cilium_endpoint(
        "shop",
        "later",
        "10.0.1.18",
        9,
        5000,
    ));
    until("the endpoint's own is told", || {
        cluster.endpoint("10.0.1.18").identity == 5000
    })
    .await;
    for number in ["4306", "4307"] {
        cluster.server.delete("ciliumidentities", "", number);
    }
    until("nobody tells it any more", || {
        cluster.endpoint("10.0.1.17").identity == computed
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_of_another_cluster_are_no_ones_here_and_the_status_says_so() {
    let cluster = Cluster::connected().await;
    cluster.server.set_cilium(true);
    cluster.put_pod("web", "10.0.1.17");
    cluster.await_pod("10.0.1.17", "web").await;
    let labels = labels_of_web("prod");
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    cluster.server.put(objects::cilium_identity(4306, &labels));
    until("the status tells it", || {
        let reason = cluster.status().reason;
        reason.contains("--cluster-name prod") && reason.contains("not \"default\"")
    })
    .await;
    assert_eq!(cluster.status().state, ProviderState::Connected);
    assert_ne!(cluster.endpoint("10.0.1.17").identity, 4306);
    cluster.server.delete("ciliumidentities", "", "4306");
    until("it is gone", || cluster.status().reason.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_cilium_names_a_pod_that_nobody_may_list() {
    let cluster = Cluster::new();
    cluster.server.forbid("pods", true);
    cluster.server.set_cilium(true);
    let endpoint = objects::cilium_endpoint("shop", "web", "10.0.1.17", 1789, 4306);
    cluster.server.put(endpoint);
    let mut cluster = cluster;
    cluster.follow().await;
    cluster.await_pod("10.0.1.17", "web").await;
    cluster.server.forbid("pods", false);
    cluster.put_pod("web", "10.0.1.17");
    until("its owner is known, too", || {
        !cluster.endpoint("10.0.1.17").workloads.is_empty()
    })
    .await;
    assert_eq!(cluster.endpoint("10.0.1.17").identity, 4306);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_is_known_on_a_node_and_beside_them() {
    let cluster = Cluster::connected().await;
    let slice = |ips: &[&str]| {
        let mut slice = objects::endpoint_slice("default", "kubernetes", ips);
        slice["metadata"]["name"] = json!("kubernetes");
        cluster.server.put(slice);
    };
    let identities = || ["192.0.2.12", "203.0.113.5"].map(|ip| cluster.endpoint(ip).identity);
    let own = ["10.0.2.254", "10.0.2.5", "10.0.2.6"];
    let node = objects::cilium_node("worker-2", "192.0.2.12", own);
    cluster.server.set_cilium(true);
    cluster.server.put(node);
    slice(&["192.0.2.12", "203.0.113.5"]);
    until("both are the API server", || identities() == [7, 7]).await;
    slice(&["192.0.2.12"]);
    until("the other is nobody any more", || identities() == [7, 2]).await;
    until("it is a node elsewhere", || {
        cluster.endpoint("10.0.2.254").identity == 6
    })
    .await;
    slice(&[]);
    until("it is a node again", || identities() == [6, 2]).await;
}
