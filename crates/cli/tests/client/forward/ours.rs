//! An agent and a relay of our own, in a cluster of which only the API server exists.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use testbed::bind;

use super::cluster::Cluster;
use crate::harness::*;

/// Ends with the test.
struct Running(Child);

impl Running {
    fn start(args: &[&str]) -> Self {
        let child = palomar(args).stderr(Stdio::null()).spawn();
        Self(child.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_relay_and_its_agent_answer_through_the_api_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("flows.json"), [ASKS, ANSWERS].join("\n")).unwrap();
    let (socket, replay) = (path("agent.sock"), format!("replay:{}", path("flows.json")));
    let _agent = Running::start(&[
        "agent",
        "--source",
        &replay,
        "--kubernetes",
        "off",
        "--containers",
        "off",
        "--node-name",
        "node-1",
        "--socket",
        &socket,
    ]);
    let free = bind::free(Ipv4Addr::LOCALHOST).unwrap();
    let (address, peer) = (free.to_string(), format!("node-1=unix://{socket}"));
    let _relay = Running::start(&["relay", "--listen", &address, "--peer", &peer]);
    let cluster = Cluster::new();
    cluster.relay("palomar", "palomar-relay", &[]);
    cluster.pod("palomar", "palomar-relay", "relay-0");
    cluster.slice("palomar", "palomar-relay", &[("relay-0", true)]);
    cluster.api.listen_in_pod("palomar", "relay-0", 4245, free);
    let begun = Instant::now();
    let is_connected = |ran: &Ran| ran.stdout.contains("Connected Nodes: 1/1");
    loop {
        let status = cluster.ask(&["status", "-P"]);
        if is_connected(&status) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status:?}");
        thread::sleep(Duration::from_millis(20));
    }
    let observed = cluster.ask(&["observe", "-P", "--all", "-o", "json"]).ok();
    assert_eq!(uuids(&observed), ["asks", "answers"]);
}
