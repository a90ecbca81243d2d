//! Nodes that die or stop, and links that are cut or slow, in network namespaces.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use flow_api::relay::NodeState::{NodeConnected, NodeError, NodeUnavailable};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use testbed::{Cluster, Spec};

use crate::Rule;
use crate::node::{Node, NodeProcess};
use crate::relay_process::{RESIDENT_KIB, RelayProcess, signal};
use crate::watch::Watch;

pub(crate) const RULES: &[Rule] = &[
    (
        "a_node_that_is_killed_is_told_and_so_is_its_return_and_nobody_waits_for_it",
        killed,
    ),
    (
        "a_node_that_is_stopped_is_told_and_when_it_goes_on_nothing_is_missing",
        stopped,
    ),
    (
        "a_node_that_is_cut_off_is_told_and_what_it_saw_meanwhile_comes_once",
        cut_off,
    ),
    (
        "a_node_with_a_slow_link_comes_late_and_whole_and_nobody_waits_for_it",
        slow,
    ),
];

/// Numbers of a second process begin after this.
const SECOND: u64 = 1_000_000;

/// The node that something happens to, and the others.
const BAD: &str = "node-1";
const GOOD: [&str; 2] = ["node-2", "node-3"];

/// Two good nodes, a bad one, and a relay outside.
struct Scene {
    // Ends before the network.
    relay: RelayProcess,
    good: [Node; 2],
    socket: PathBuf,
    cluster: Cluster,
    _folder: TempDir,
}

impl Scene {
    fn new() -> Result<Self> {
        let cluster = Cluster::start(&Spec::with_nodes(3).outside("relay"))?;
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("relay.sock");
        let good = [
            Node::at(cluster.node(GOOD[0])?)?,
            Node::at(cluster.node(GOOD[1])?)?,
        ];
        let bad = NodeProcess::listed(cluster.node(BAD)?);
        let nodes = [bad, good[0].listed(), good[1].listed()];
        let relay = RelayProcess::start_at(cluster.outside("relay")?, &socket, &nodes)?;
        Ok(Self {
            relay,
            good,
            socket,
            cluster,
            _folder: folder,
        })
    }

    /// All three are followed, and flow.
    fn followed(&self) -> Result<Watch> {
        let watch = Watch::of(&self.socket, 3)?;
        for node in [BAD, GOOD[0], GOOD[1]] {
            watch.wait_for(node, 20)?;
        }
        Ok(watch)
    }

    /// The good ones had nothing of it, and neither had the relay's memory.
    fn others_are_well(&mut self, watch: &Watch) -> Result<()> {
        watch.accounts_for(&mut self.good)?;
        watch.had_promptly(&GOOD)?;
        self.relay.stayed_within(RESIDENT_KIB)
    }
}

fn killed() -> Result<()> {
    let mut scene = Scene::new()?;
    let place = scene.cluster.node(BAD)?.clone();
    let node = NodeProcess::start(&place, 0)?;
    let watch = scene.followed()?;
    drop(node);
    let message = watch.wait_for_states(BAD, &[NodeConnected, NodeError])?;
    ensure!(message.contains("Unavailable"), "{message}");
    watch.wait_for_more(GOOD[0], 50)?;
    // All that the relay had of it has come, which was held until others had passed it.
    let last = watch.last_of(BAD);
    watch.has_each_once(BAD, 1, last)?;

    let _second = NodeProcess::start(&place, SECOND)?;
    watch.wait_for_states(BAD, &[NodeError, NodeConnected])?;
    watch.wait_for(BAD, SECOND + 20)?;
    // A process has forgotten what it saw: only what was on its way to the relay is lost.
    scene.others_are_well(&watch)?;
    watch.has_both(BAD, last, SECOND)
}

fn stopped() -> Result<()> {
    let mut scene = Scene::new()?;
    let node = NodeProcess::start(scene.cluster.node(BAD)?, 0)?;
    let watch = scene.followed()?;
    signal(&node.0, Signal::SIGSTOP)?;
    watch.wait_for_states(BAD, &[NodeConnected, NodeUnavailable])?;
    // Nobody waits for it any longer.
    watch.wait_for_more(GOOD[0], 50)?;

    signal(&node.0, Signal::SIGCONT)?;
    watch.wait_for_states(BAD, &[NodeUnavailable, NodeConnected])?;
    watch.wait_for_more(BAD, 50)?;
    watch.has_each_once(BAD, 1, watch.last_of(BAD))?;
    scene.others_are_well(&watch)
}

fn cut_off() -> Result<()> {
    let mut scene = Scene::new()?;
    let place = scene.cluster.node(BAD)?.clone();
    let mut node = Node::at(&place)?;
    let watch = scene.followed()?;
    scene.cluster.cut_off(&place)?;
    watch.wait_for_states(BAD, &[NodeConnected, NodeUnavailable])?;
    watch.wait_for_more(GOOD[0], 50)?;

    scene.cluster.reconnect(&place)?;
    watch.wait_for_states(BAD, &[NodeUnavailable, NodeConnected])?;
    watch.accounts_for([&mut node])?;
    scene.others_are_well(&watch)
}

/// Of a node that makes 50 flows a second, a link of 1 kB/s takes a fifth.
fn slow() -> Result<()> {
    let mut scene = Scene::new()?;
    let place = scene.cluster.node(BAD)?.clone();
    let mut node = Node::at(&place)?;
    let watch = scene.followed()?;
    let (before, of_others) = (watch.last_of(BAD), watch.last_of(GOOD[0]));
    scene.cluster.slow_down(&place, 1000)?;
    // Eight seconds, which is longer than a probe takes.
    watch.wait_for_more(GOOD[0], 400)?;
    let came = watch.last_of(BAD) - before;
    let of_others = watch.last_of(GOOD[0]) - of_others;
    ensure!(
        (10..of_others / 2).contains(&came),
        "{came} flows over the slow link, {of_others} over another"
    );
    watch.has_each_once(BAD, 1, watch.last_of(BAD))?;

    scene.cluster.speed_up(&place)?;
    watch.accounts_for([&mut node])?;
    scene.others_are_well(&watch)
}
