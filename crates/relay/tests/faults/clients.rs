//! What clients live through, and what they may do.

use std::time::SystemTime;

use anyhow::{Result, ensure};
use tonic::Code;

use crate::node::{Node, honest, numbered};
use crate::relay_process::{RESIDENT_KIB, RelayProcess};
use crate::support::FakePeer;
use crate::watch::Watch;
use crate::{PROMPT, Rule};

pub(crate) const RULES: &[Rule] = &[
    (
        "a_client_of_a_relay_that_dies_is_told_and_goes_on_with_the_next_one_where_it_was",
        restarted,
    ),
    (
        "clients_that_do_not_read_cost_a_bounded_amount_and_get_everything_later",
        stalled,
    ),
];

const NAMES: [&str; 3] = ["a", "b", "c"];

fn restarted() -> Result<()> {
    let mut nodes = NAMES.map(Node::new);
    let listed = nodes.each_ref().map(Node::listed);
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("relay.sock");
    let relay = RelayProcess::start(&socket, None, &listed)?;
    let before = Watch::of(&socket, 3)?;
    for node in NAMES {
        before.wait_for(node, 50)?;
    }
    relay.kill()?;
    let end = before.end()?;
    ensure!(
        matches!(end.code(), Code::Unavailable | Code::Unknown),
        "{end}"
    );
    for node in NAMES {
        before.has_each_once(node, 1, before.last_of(node))?;
    }

    let relay = RelayProcess::start(&socket, None, &listed)?;
    // Flows that are late by no more than the hold may be missing before the newest.
    let after = Watch::since(&socket, 3, before.newest() - PROMPT)?;
    for node in &mut nodes {
        let last = node.stop();
        after.wait_for(&node.name, last)?;
        after.has_each_once(&node.name, after.first_of(&node.name), last)?;
        let all = before.numbers_with(&after, &node.name);
        ensure!(all.iter().copied().eq(1..=last), "{}: {all:?}", node.name);
    }
    relay.stayed_within(RESIDENT_KIB)
}

const STALLED: u64 = 3;

/// What all calls may keep, the one that is read too: each 16 MiB that a follow holds, and 130 KiB of
/// each node in windows and before them.
const HELD_KIB: u64 = (STALLED + 1) * (16 * 1024 + 3 * 130);

/// 81 MiB in all, and nobody may keep them.
const FLOWS: u64 = 3_000;
const PADDING: usize = 9_000;

fn stalled() -> Result<()> {
    let mut nodes = NAMES.map(|name| Node::of(FakePeer::new(name), FLOWS, honest));
    let listed = nodes.each_ref().map(Node::listed);
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("relay.sock");
    let relay = RelayProcess::start(&socket, None, &listed)?;
    for node in &nodes {
        for number in 1..=FLOWS {
            let at = SystemTime::now();
            let flow = numbered(&node.name, at, number, PADDING);
            node.peer().raw(at.into(), flow);
        }
    }
    let clients: Vec<Watch> = (0..STALLED)
        .map(|_| Watch::stalled(&socket, 3, None))
        .collect::<Result<_>>()?;
    let reading = Watch::of(&socket, 3)?;
    for node in NAMES {
        reading.wait_for(node, FLOWS)?;
    }
    // What happened while all that was read is late, too, and then nothing is.
    let caught_up = |node| Ok((node, reading.wait_until_prompt(node)?));
    let came: Vec<_> = NAMES.into_iter().map(caught_up).collect::<Result<_>>()?;
    for (node, number) in came {
        reading.wait_for(node, number + 50)?;
        reading.had_promptly_after(node, number)?;
    }
    relay.stayed_within(RESIDENT_KIB + HELD_KIB)?;

    clients.iter().for_each(Watch::read_on);
    for node in &mut nodes {
        let last = node.stop();
        for client in clients.iter().chain([&reading]) {
            client.wait_for(&node.name, last)?;
            client.has_each_once(&node.name, 1, last)?;
        }
    }
    relay.stayed_within(RESIDENT_KIB + HELD_KIB)
}
