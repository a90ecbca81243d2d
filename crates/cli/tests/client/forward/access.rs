//! Ways to the API server, and what it refuses.

use std::fs;

use super::{cluster::Cluster, relay::Relay};
use crate::harness::*;

#[test]
fn without_a_kubeconfig_the_message_says_where_it_was_looked_for() {
    let message = run(&["observe", "-P"]).failed();
    assert_eq!(
        message,
        "failed to port forward: no kubeconfig: there is none in $KUBECONFIG or ~/.kube/config; name \
         one with --kubeconfig\n"
    );
    let message = run(&["status", "-P", "--kubeconfig", "/nonexistent/config"]).failed();
    assert_eq!(
        message,
        "failed to port forward: cannot use kubeconfig /nonexistent/config: no such file or directory\n"
    );
}

#[test]
fn a_context_chooses_the_cluster_and_one_that_is_unknown_is_told_with_those_that_are_there() {
    let relay = Relay::start(vec![]);
    let (one, other) = (Cluster::new(), Cluster::new());
    other.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
         clusters:\n- {{name: one, cluster: {{server: \"{}\"}}}}\n- {{name: other, cluster: {{server: \"{}\"}}}}\n\
         contexts:\n- {{name: one, context: {{cluster: one}}}}\n- {{name: other, context: {{cluster: other}}}}\n",
        one.api.url(),
        other.api.url()
    );
    fs::write(one.kubeconfig(), text).unwrap();
    let message = one.ask(&["status", "-P"]).failed();
    assert_eq!(
        message,
        "failed to port forward: no service hubble-relay or palomar-relay in namespace kube-system or \
         palomar: name the relay's namespace with --kube-namespace, or another cluster with \
         --kube-context\n"
    );
    one.ask(&["status", "-P", "--kube-context", "other"]).ok();
    let message = one
        .ask(&["status", "-P", "--kube-context", "third"])
        .failed();
    let expected = format!(
        "failed to port forward: no context \"third\" in kubeconfig {}; there is one or other\n",
        one.kubeconfig()
    );
    assert_eq!(message, expected);
}

#[test]
fn an_api_server_that_is_gone_is_named() {
    let mut cluster = Cluster::new();
    cluster.api.stop();
    let message = cluster.ask(&["observe", "-P"]).failed();
    let expected = format!(
        "failed to port forward: cannot reach the Kubernetes API server {}: connection refused\n",
        cluster.api.url()
    );
    assert_eq!(message, expected);
}

#[test]
fn who_may_not_see_slices_goes_by_the_service_and_its_pods() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    cluster.api.forbid("endpointslices", true);
    let ran = cluster.ask(&["status", "-P"]).ok();
    assert!(
        ran.starts_with("Healthcheck (via kube-system/relay-0:4245): Ok"),
        "{ran}"
    );
}

#[test]
fn who_may_not_forward_is_told_which_rights_it_takes() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let rights = "; a port-forward needs, in namespace kube-system: list of endpointslices (or get of \
                  services and list of pods), and get and create of pods/portforward\n";
    cluster.api.forbid("pods/portforward", true);
    let message = cluster.ask(&["status", "-P"]).failed();
    assert!(
        message.contains("cannot create resource \"pods/portforward\""),
        "{message}"
    );
    assert!(message.ends_with(rights), "{message}");
    for resource in ["endpointslices", "services"] {
        cluster.api.forbid(resource, true);
    }
    let message = cluster.ask(&["status", "-P"]).failed();
    assert!(
        message.contains("services \"hubble-relay\" is forbidden"),
        "{message}"
    );
    assert!(message.ends_with(rights), "{message}");
}

#[test]
fn a_service_without_a_pod_that_is_ready_is_told() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("palomar", "palomar-relay", &[("relay-0", &relay)]);
    cluster.slice("palomar", "palomar-relay", &[("relay-0", false)]);
    let message = cluster.ask(&["status", "-P"]).failed();
    assert_eq!(
        message,
        "failed to port forward: no pod of service palomar/palomar-relay is ready: see 'kubectl -n \
         palomar get pods' and what its events say\n"
    );
}

#[test]
fn a_pod_in_which_nobody_listens_is_told_in_the_nodes_words() {
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[]);
    cluster.pod("kube-system", "hubble-relay", "relay-0");
    cluster.slice("kube-system", "hubble-relay", &[("relay-0", true)]);
    let message = cluster.ask(&["status", "-P"]).failed();
    assert!(
        message.contains("the port-forward to kube-system/relay-0 ended"),
        "{message}"
    );
    assert!(message.contains("connection refused"), "{message}");
}
