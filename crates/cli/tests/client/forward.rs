//! A relay inside a cluster, through the API server.

mod access;
mod cluster;
mod follow;
#[cfg(feature = "node")]
mod ours;
mod relay;

use std::net::{Ipv4Addr, TcpListener};

use testbed::bind;

use crate::harness::*;

use self::{
    cluster::Cluster,
    relay::{Relay, flow},
};

#[test]
fn status_goes_through_the_api_server_and_asks_it_for_no_more_than_it_needs() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let ran = cluster.ask(&["status", "-P"]);
    let first = ran.ok().lines().next().map(str::to_owned);
    let expected = "Healthcheck (via kube-system/relay-0:4245): Ok";
    assert_eq!(first.as_deref(), Some(expected));
    let asked = cluster.api.requests();
    let slices = |it: &&String| it.contains("/endpointslices?");
    let forwards = |it: &&String| it.contains("/pods/relay-0/portforward?");
    assert_eq!(asked.iter().filter(slices).count(), 2, "{asked:?}");
    assert_eq!(asked.iter().filter(forwards).count(), 1, "{asked:?}");
}

#[test]
fn with_a_namespace_only_that_one_is_asked() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("flows", "palomar-relay", &[("relay-0", &relay)]);
    cluster
        .ask(&["status", "-P", "--kube-namespace", "flows"])
        .ok();
    let asked = cluster.api.requests();
    assert_eq!(asked.len(), 2, "{asked:?}");
}

#[test]
fn flows_come_through_and_the_way_may_be_configured() {
    let relay = Relay::start(vec![flow("node-1", 1, "one"), flow("node-2", 2, "two")]);
    let cluster = Cluster::new();
    cluster.relay("palomar", "palomar-relay", &[("relay-0", &relay)]);
    let observed = cluster.ask(&["observe", "-P", "-o", "json"]).ok();
    assert_eq!(uuids(&observed), ["one", "two"]);
    let mut command = palomar(&["observe", "-o", "json", "--server", "localhost:1"]);
    command
        .env("HUBBLE_PORT_FORWARD", "true")
        .env("PALOMAR_KUBECONFIG", cluster.kubeconfig())
        .env("HUBBLE_KUBE_NAMESPACE", "palomar");
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(uuids(&stdout), ["one", "two"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let kubeconfig = cluster.kubeconfig();
    let text =
        format!("port-forward: true\nkubeconfig: {kubeconfig}\nkube-namespace: kube-system\n");
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let observed = run(&["observe", "-o", "json", "--config", &config]).ok();
    assert_eq!(uuids(&observed), ["one", "two"]);
}

#[test]
fn lists_and_peers_go_through_as_well() {
    let relay = Relay::start(vec![]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let nodes = cluster.ask(&["list", "nodes", "-P"]).ok();
    assert!(nodes.contains("node-1   Connected"), "{nodes}");
    let said = cluster.ask(&["watch", "peers", "-P"]);
    assert!(said.stderr.contains("code = Unimplemented"), "{said:?}");
    let well = cluster.ask(&["doctor", "-P"]);
    let begin =
        "port-forward  warning  kube-system/relay-0:4245  palomar-relay v0.1.0, 1 of 1 node";
    assert!(well.stdout.starts_with(begin), "{well:?}");
    assert_eq!(well.stdout.lines().count(), 1);
}

#[test]
fn tls_inside_is_verified_by_the_name_that_relays_have() {
    let (relay, authority) = Relay::with_tls("*.hubble-relay.cilium.io");
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let authority = authority.path().to_str().unwrap();
    let trusting = ["status", "-P", "--tls", "--tls-ca-cert-files", authority];
    cluster.ask(&trusting).ok();
    let named = [&trusting[..], &["--tls-server-name", "other.example"]].concat();
    let message = cluster.ask(&named).failed();
    assert!(message.contains("not valid for name"), "{message}");
    let message = cluster.ask(&["status", "-P", "--tls"]).failed();
    assert!(
        message.contains("pod kube-system/relay-0:4245"),
        "{message}"
    );
    let careless = ["status", "-P", "--tls", "--tls-allow-insecure"];
    cluster.ask(&careless).ok();
    let message = cluster.ask(&["status", "-P"]).failed();
    assert!(
        message.contains("rpc error: code = Unavailable"),
        "{message}"
    );
}

#[test]
fn a_port_of_this_machine_is_opened_where_one_is_asked_for() {
    let relay = Relay::following(vec![flow("node-1", 1, "one")]);
    let cluster = Cluster::new();
    cluster.relay("kube-system", "hubble-relay", &[("relay-0", &relay)]);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let taken = ["observe", "-P", "--port-forward-port", &port];
    let message = cluster.ask(&taken).failed();
    let expected = format!("failed to port forward: cannot open 127.0.0.1:{port}: address already");
    assert!(message.starts_with(&expected), "{message}");
    let port = bind::free(Ipv4Addr::LOCALHOST).unwrap().port().to_string();
    let flags = ["observe", "-f", "-P", "--port-forward-port", &port];
    let mut following = cluster.follow(&flags);
    assert_eq!(following.uuid(), "one");
    run(&["status", "--server", &format!("127.0.0.1:{port}")]).ok();
    following.interrupt();
}

#[test]
fn a_file_and_a_relay_are_not_read_at_once() {
    let message = observe(&["-P"], &[]).failed();
    let expected = "cannot use --input-file and --auto-port-forward together\n";
    assert_eq!(message, expected);
}
