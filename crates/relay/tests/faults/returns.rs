//! Nodes that go and come back: with other certificates, or all the time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flow_api::relay::NodeState::{NodeConnected, NodeError};
use tempfile::TempDir;

use crate::Rule;
use crate::node::{Node, honest};
use crate::relay_process::{RESIDENT_KIB, RelayProcess, target};
use crate::support::{Authority, Client, FakePeer, tls_server};
use crate::watch::{RUNTIME, Watch};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_node_that_returns_with_a_strange_certificate_is_shut_out_until_it_has_a_good_one",
        certificates,
    ),
    (
        "three_of_ten_nodes_that_flap_each_second_lose_nothing_and_hold_nobody_up",
        flapping,
    ),
];

const NODES: &str = "*.default.hubble-grpc.cilium.io";
const RELAYS: &str = "*.hubble-relay.cilium.io";

fn certificates() -> Result<()> {
    let (ours, other) = (Authority::new(), Authority::new());
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name);
    ours.write(RELAYS, &at("relay"));
    let secured = |name: &str| {
        ours.write(NODES, &at(name));
        let peer = FakePeer::tcp(name, "127.0.0.1:0", Some(tls_server(&at(name))));
        Node::of(peer, 0, honest)
    };
    let mut nodes = [secured("changing"), secured("a"), secured("b")];
    let socket = at("relay.sock");
    let listed = nodes.each_ref().map(Node::listed);
    let relay = RelayProcess::start(&socket, Some(&at("relay")), &listed)?;
    let watch = Watch::of(&socket, 3)?;
    watch.wait_for("changing", 20)?;

    let client = RUNTIME.block_on(Client::connect(&target(&socket)?));
    nodes[0].peer().kill();
    RUNTIME.block_on(client.unavailable_nodes(1));
    let seen = watch.last_of("changing");
    other.write(NODES, &at("changing"));
    nodes[0].peer().start();
    watch.wait_for_states("changing", &[NodeConnected, NodeError])?;
    // Several attempts long.
    watch.wait_for_more("a", 200)?;
    RUNTIME.block_on(client.unavailable_nodes(1));
    ensure!(
        watch.last_of("changing") == seen,
        "it comes in with a certificate of somebody else's"
    );

    nodes[0].peer().kill();
    ours.write(NODES, &at("changing"));
    nodes[0].peer().start();
    watch.wait_for_states("changing", &[NodeConnected, NodeError, NodeConnected])?;
    watch.accounts_for(&mut nodes)?;
    watch.had_promptly(&["a", "b"])?;
    relay.stayed_within(RESIDENT_KIB)
}

/// How often nodes flap.
const ROUNDS: usize = 5;
/// From one time to the next, and how long they are away.
const ROUND: Duration = Duration::from_secs(1);
const AWAY: Duration = Duration::from_millis(200);

fn flapping() -> Result<()> {
    let names: Vec<String> = (0..10).map(|number| format!("node-{number}")).collect();
    let mut nodes: Vec<Node> = names.iter().map(|name| Node::new(name)).collect();
    let listed: Vec<String> = nodes.iter().map(Node::listed).collect();
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("relay.sock");
    let relay = RelayProcess::start(&socket, None, &listed)?;
    let watch = Watch::of(&socket, 10)?;
    for name in &names {
        watch.wait_for(name, 20)?;
    }
    for _ in 0..ROUNDS {
        let began = Instant::now();
        nodes[..3].iter().for_each(|node| node.peer().kill());
        // This is the fault itself, so that nothing is waited for.
        thread::sleep(AWAY);
        nodes[..3].iter().for_each(|node| node.peer().start());
        thread::sleep(ROUND.saturating_sub(began.elapsed()));
    }
    watch.accounts_for(&mut nodes)?;
    let steady: Vec<&str> = names[3..].iter().map(String::as_str).collect();
    watch.had_promptly(&steady)?;
    // Ten that are connected at first; then each time that one is gone, and that it is back. Why it is
    // gone may be told in two ways.
    let (told, most) = (watch.told(), 10 + 3 * ROUNDS * 3);
    ensure!(told <= most, "{told} states told, at most {most} expected");
    for flapping in &names[..3] {
        watch.wait_for_states(flapping, &[NodeConnected, NodeError, NodeConnected])?;
        ensure!(watch.last_state(flapping) == Some(NodeConnected));
    }
    relay.stayed_within(RESIDENT_KIB)
}
