//! `palomar export` before a relay of several agents: the whole cluster's flows, each once, also when the
//! relay dies meanwhile.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::{
    agent::{Agent, BINARY, flow_lines, wait_for},
    flows::{lines, numbers},
    relayed::Exporter,
};

/// A relay before agents, until it is dropped, which kills it.
struct Relay(Child);

impl Relay {
    fn start(socket: &Path, agents: &[&Agent]) -> Self {
        // What a killed one left.
        drop(fs::remove_file(socket));
        let peers = agents.iter().enumerate();
        let peers =
            peers.map(|(index, agent)| format!("--peer=node-{}={}", index + 1, agent.server()));
        let child = Command::new(BINARY)
            .args(["relay", "--listen", &server(socket)])
            .args(peers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn server(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// Flows of the second node.
fn of_second(numbers: std::ops::Range<usize>) -> String {
    lines(numbers).replace("node-1", "node-2")
}

/// All numbers in a file, sorted.
fn written(path: &Path) -> Vec<usize> {
    let mut written = numbers(&flow_lines(path));
    written.sort_unstable();
    written
}

/// Whether an agent has read the flow with this number.
fn has(agent: &Agent, number: usize) -> bool {
    let output = Command::new(BINARY)
        .args([
            "observe",
            "--last=1",
            "-o=json",
            "--server",
            &agent.server(),
        ])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .contains(&format!("\"{number:08}\""))
}

#[test]
fn all_flows_of_a_cluster_are_written_once_although_its_relay_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, socket) = (
        folder.path().join("flows.log"),
        folder.path().join("relay.sock"),
    );
    let mut first = Agent::start_as("node-1", &["--ring-capacity=8191"]);
    let mut second = Agent::start_as("node-2", &["--ring-capacity=8191"]);
    first.feed(&lines(0..1000));
    second.feed(&of_second(1000..2000));
    let relay = Relay::start(&socket, &[&first, &second]);
    let exporter = Exporter::start(&server(&socket), &path, &["--since=1h"]);
    wait_for("both nodes' flows are written", || {
        written(&path).len() >= 2000
    });
    drop(relay);
    // Nobody reads these but the rings.
    first.feed(&lines(2000..2500));
    second.feed(&of_second(2500..3000));
    let relay = Relay::start(&socket, &[&first, &second]);
    wait_for("what came meanwhile is written", || {
        written(&path).len() >= 3000
    });
    // Now in the middle of the stream.
    for round in 0..5 {
        first.feed(&lines(3000 + round * 200..3100 + round * 200));
        second.feed(&of_second(3100 + round * 200..3200 + round * 200));
    }
    drop(relay);
    let _relay = Relay::start(&socket, &[&first, &second]);
    wait_for("all are written", || written(&path).len() >= 4000);
    first.feed(&lines(4000..4001));
    wait_for("the last one is written", || {
        written(&path).last() == Some(&4000)
    });
    let log = exporter.log();
    exporter.end(Signal::SIGTERM);
    assert_eq!(written(&path), (0..=4000).collect::<Vec<_>>());
    assert!(log.contains("no flows: trying again"), "{log}");
    assert!(!log.contains("flows are missing"), "{log}");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\"lost_events\"").count(), 0);
    // Each line says whose it is.
    let of_second = text
        .lines()
        .filter(|line| line.ends_with("Z\"}") && line.contains("},\"node_name\":\"node-2\""));
    assert_eq!(of_second.count(), 2000);
}

#[test]
fn what_a_node_has_no_longer_when_the_relay_is_back_is_told_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, socket) = (
        folder.path().join("flows.log"),
        folder.path().join("relay.sock"),
    );
    let mut first = Agent::start_as("node-1", &["--ring-capacity=8191"]);
    let mut second = Agent::start_as("node-2", &["--ring-capacity=100"]);
    let relay = Relay::start(&socket, &[&first, &second]);
    let exporter = Exporter::start(&server(&socket), &path, &["--since=1h"]);
    first.feed(&lines(0..50));
    second.feed(&of_second(50..100));
    wait_for("both nodes' flows are written", || {
        written(&path).len() == 100
    });
    drop(relay);
    first.feed(&lines(100..150));
    for begin in (150..1150).step_by(100) {
        second.feed(&of_second(begin..begin + 100));
    }
    wait_for("all are read", || has(&first, 149) && has(&second, 1149));
    let _relay = Relay::start(&socket, &[&first, &second]);
    wait_for("the last one is written", || {
        written(&path).last() == Some(&1149)
    });
    wait_for("those of the other node are written", || {
        written(&path).contains(&149)
    });
    let log = exporter.log();
    exporter.end(Signal::SIGTERM);
    assert_eq!(log.matches("flows are missing").count(), 1, "{log}");
    let told = log
        .lines()
        .find(|line| line.contains("flows are missing"))
        .unwrap();
    assert!(
        told.contains("node-2") && !told.contains("node-1"),
        "{told}"
    );
    let text = fs::read_to_string(&path).unwrap();
    let gap = text
        .lines()
        .find(|line| line.contains("\"lost_events\""))
        .unwrap();
    assert!(
        gap.contains("\"first\"") && gap.contains("\"last\"") && gap.contains("node-2"),
        "{gap}"
    );
    // All of the one that kept them, and of the other all but those of the gap.
    let written = written(&path);
    assert!(written.is_sorted_by(|a, b| a < b), "{written:?}");
    assert!(
        written.starts_with(&(0..150).collect::<Vec<_>>()),
        "{written:?}"
    );
}
