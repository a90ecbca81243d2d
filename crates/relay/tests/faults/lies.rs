//! Nodes that send what makes no sense.

use std::io::Write as _;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use bytes::Bytes;
use flow_api::relay::NodeState::{NodeConnected, NodeError, NodeUnavailable};

use crate::Rule;
use crate::node::{Node, honest, numbered};
use crate::proxy::Proxy;
use crate::relay_process::{RESIDENT_KIB, RelayProcess, listed};
use crate::support::FakePeer;
use crate::watch::Watch;

pub(crate) const RULES: &[Rule] = &[
    (
        "messages_that_are_none_are_told_and_left_out_and_the_rest_comes_once",
        messages,
    ),
    (
        "a_connection_with_garbage_in_it_is_told_and_made_anew_and_nothing_is_missing",
        frames,
    ),
    (
        "wrong_times_and_no_order_at_all_hold_nobody_up_and_lose_nothing",
        times,
    ),
];

/// What a garbled connection says.
const GARBAGE: &[&[u8]] = &[
    // No frame at all.
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    // DATA for no stream.
    &[0, 0, 4, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4],
    // A frame of 16 MiB.
    &[255, 255, 255, 0, 0, 0, 0, 0, 1, 0, 255, 255, 255, 255],
    // Headers that cannot be unpacked.
    &[0, 0, 4, 1, 4, 0, 0, 0, 1, 255, 255, 255, 255],
];

fn messages() -> Result<()> {
    let odd = |node: &str, number: u64| {
        let mut sent = honest(node, number);
        let garbage: &[u8] = match number % 4 {
            0 => b"\xff\xff\xff",
            1 => b"\x0a\x7f",
            2 => b"",
            _ => b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        };
        if number.is_multiple_of(5) {
            sent.push((SystemTime::now(), Bytes::from_static(garbage)));
        }
        sent
    };
    let mut nodes = [
        Node::of(FakePeer::new("odd"), 0, odd),
        Node::new("a"),
        Node::new("b"),
    ];
    with_relay(&nodes.each_ref().map(Node::listed), 3, |watch| {
        watch.wait_for("odd", 100)?;
        let message = watch.wait_for_states("odd", &[NodeConnected, NodeError])?;
        ensure!(message.contains("malformed"), "{message}");
        watch.accounts_for(&mut nodes)?;
        watch.had_promptly(&["odd", "a", "b"])
    })
}

fn frames() -> Result<()> {
    let peer = FakePeer::tcp("garbled", "127.0.0.1:0", None);
    let proxy = Proxy::before(peer.address().parse()?)?;
    // Somebody who is no node at all.
    let stranger = TcpListener::bind("127.0.0.1:0")?;
    let listed = |nodes: [String; 2]| {
        let garbled = listed("garbled", proxy.address);
        let stranger = listed("stranger", stranger.local_addr()?);
        let [a, b] = nodes;
        anyhow::Ok([garbled, stranger, a, b])
    };
    let mut nodes = [Node::of(peer, 0, honest), Node::new("a"), Node::new("b")];
    let listed = listed([nodes[1].listed(), nodes[2].listed()])?;
    thread::spawn(move || {
        while let Ok((mut client, _)) = stranger.accept() {
            // Whoever hangs up has heard enough.
            drop(client.write_all(&b"\x00garbage".repeat(10_000)));
        }
    });
    with_relay(&listed, 3, |watch| {
        watch.wait_for_states("stranger", &[NodeUnavailable])?;
        let mut states = vec![NodeConnected];
        for garbage in GARBAGE {
            watch.wait_for_more("garbled", 20)?;
            proxy.say(garbage);
            states.extend([NodeError, NodeConnected]);
            watch.wait_for_states("garbled", &states)?;
        }
        watch.wait_for_more("garbled", 20)?;
        watch.accounts_for(&mut nodes)?;
        watch.had_promptly(&["a", "b"])
    })
}

const HOUR: Duration = Duration::from_secs(3600);

fn times() -> Result<()> {
    let ahead = |node: &str, number: u64| {
        let at = SystemTime::now() + HOUR;
        vec![(at, numbered(node, at, number, 0))]
    };
    let behind = |node: &str, number: u64| {
        let at = SystemTime::now() - HOUR;
        vec![(at, numbered(node, at, number, 0))]
    };
    let shuffled = |node: &str, number: u64| {
        let at = SystemTime::now() - Duration::from_millis(number * 7919 % 5000);
        vec![(at, numbered(node, at, number, 0))]
    };
    let mut liars = [
        Node::of(FakePeer::new("ahead"), 0, ahead),
        Node::of(FakePeer::new("behind"), 0, behind),
        Node::of(FakePeer::new("shuffled"), 0, shuffled),
    ];
    let mut honest = [Node::new("a"), Node::new("b")];
    let listed: Vec<String> = liars.iter().chain(&honest).map(Node::listed).collect();
    with_relay(&listed, 5, |watch| {
        for node in ["ahead", "behind", "shuffled", "a", "b"] {
            watch.wait_for(node, 100)?;
        }
        // Their clocks alone break no connection.
        ensure!(watch.told() == 5, "{} states told", watch.told());
        watch.accounts_for(&mut honest)?;
        watch.had_promptly(&["a", "b"])?;
        for node in &mut liars {
            let last = node.stop();
            watch.wait_for(&node.name, last)?;
            watch.wait_for_count(&node.name, last)?;
            watch.has_each_once_somehow(&node.name, last)?;
        }
        Ok(())
    })
}

/// Runs a test with a relay before these nodes, of which so many can be connected. However it goes, the
/// relay's memory is to stay as it is.
fn with_relay(
    nodes: &[String],
    connected: usize,
    test: impl FnOnce(&Watch) -> Result<()>,
) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("relay.sock");
    let relay = RelayProcess::start(&socket, None, nodes)?;
    test(&Watch::of(&socket, connected)?)?;
    relay.stayed_within(RESIDENT_KIB)
}
