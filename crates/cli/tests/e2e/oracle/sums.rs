//! With aggregation: packets and bytes of each connection at each place.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use testbed::{Cluster, wait};

use super::{
    TIMEOUT, capture_all, cluster, drops, end_all,
    packet::{Mark, Packet, Place, Tuple},
    told::{self, Told},
    traffic,
    tshark::Captured,
};
use crate::{observed, palomar};

/// How long a client may take to notice that its server has ended.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Packets and bytes.
type Sums = BTreeMap<(Place, Tuple), (u64, u64)>;

pub(super) fn agree() -> Result<()> {
    let mut cluster = cluster(true)?;
    let arguments = ["--ring-capacity", observed::ALL, "--aggregation", "medium"];
    cluster.start_agents_with(Path::new(palomar::BINARY), &arguments)?;
    let (captured, told) = testimony(&mut cluster)
        .with_context(|| cluster.last_words())
        .map_err(observed::last_words_last)?;

    let captured: Vec<Captured> = captured
        .into_iter()
        .filter(|it| counts(&it.packet))
        .collect();
    let told: Vec<Told> = told
        .into_iter()
        .filter(|it| match it {
            Told::Passed { packet, .. } => counts(packet),
            Told::Dropped { .. } => true,
        })
        .collect();
    let mut passed = Sums::new();
    for Captured { packet, .. } in &captured {
        add(&mut passed, &packet.place, packet.tuple, (1, packet.bytes));
    }
    let packets = passed.values().map(|(packets, _)| packets).sum::<u64>();
    ensure!(
        packets >= traffic::AT_LEAST as u64,
        "only {packets} packets"
    );
    must_agree(&passed, &told_sums(&told))?;
    ensure!(
        told.len() as u64 * 2 < packets,
        "{} flows of {packets} packets",
        told.len()
    );
    drops::must_be(&told, &drops::lost_on_the_way(&captured))
}

/// What the capture has and what the agents told until they ended.
fn testimony(cluster: &mut Cluster) -> Result<(Vec<Captured>, Vec<Told>)> {
    let captures = capture_all(cluster, true)?;
    let names: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|it| it.name().to_owned())
        .collect();
    let followers: Vec<Follower> = names
        .iter()
        .map(|node| Follower::start(cluster, node))
        .collect::<Result<_>>()?;
    traffic::run(cluster)?;
    let frames = traffic::mark(cluster, super::END, "the end", true)?;
    let captured = end_all(captures, frames)?;
    let mut told = Vec::new();
    for (node, follower) in names.iter().zip(followers) {
        follower.wait_until_it_reads()?;
        let status = cluster.stop_agent(node)?;
        ensure!(status.success(), "the agent on {node} ended with {status}");
        told.extend(follower.end()?);
    }
    Ok((captured, told))
}

/// Whether the packet is one of the exchange: all that has its ports, and pings. Others, such as
/// neighbour discovery, come and go also when nobody captures.
fn counts(packet: &Packet) -> bool {
    match packet.mark {
        Mark::Message { kind, .. } => matches!(kind, 0 | 8 | 128 | 129),
        _ => traffic::PORTS
            .iter()
            .any(|&port| packet.tuple.has_port(port)),
    }
}

fn add(sums: &mut Sums, place: &Place, tuple: Tuple, (packets, bytes): (u64, u64)) {
    let sum = sums.entry((place.clone(), tuple)).or_default();
    sum.0 += packets;
    sum.1 += bytes;
}

/// Each report counts its own direction, and at the same device the other.
fn told_sums(told: &[Told]) -> Sums {
    let mut sums = Sums::new();
    for it in told {
        let Told::Passed { packet, detail } = it else {
            continue;
        };
        if let Some(forward) = detail.forward {
            let amount = (forward.packets, forward.bytes);
            add(&mut sums, &packet.place, packet.tuple, amount);
        }
        if let Some(backward) = detail.backward {
            let back = Place {
                way: packet.place.way.back(),
                ..packet.place.clone()
            };
            let amount = (backward.packets, backward.bytes);
            add(&mut sums, &back, packet.tuple.reversed(), amount);
        }
    }
    sums
}

fn must_agree(captured: &Sums, told: &Sums) -> Result<()> {
    let only_told = told.keys().filter(|it| !captured.contains_key(it));
    let differences: Vec<String> = captured
        .keys()
        .chain(only_told)
        .filter(|key| captured.get(key) != told.get(key))
        .map(|key| {
            let (place, tuple) = key;
            let (captured, told) = (captured.get(key), told.get(key));
            format!("\n{place} {tuple}: captured {captured:?}, told {told:?}")
        })
        .collect();
    if !differences.is_empty() {
        bail!(
            "packets and bytes of {} of {} differ:{}",
            differences.len(),
            captured.len(),
            differences[..differences.len().min(20)].concat()
        );
    }
    Ok(())
}

/// A client that writes what an agent says to a file; killed on drop.
struct Follower {
    child: Child,
    file: PathBuf,
}

impl Follower {
    fn start(cluster: &Cluster, node: &str) -> Result<Self> {
        let file = cluster.directory().join(format!("{node}.json"));
        let server = palomar::server(&cluster.agent_socket(node));
        // From the beginning, whenever it is that the client gets there.
        let arguments = [
            "observe",
            "--server",
            &server,
            "--follow",
            "--last",
            observed::ALL,
            "--detail",
            "-o",
            "json",
        ];
        let mut command = palomar::command(&arguments);
        // On standard error it says that its server ended, which is what it waits for.
        command.stdout(File::create(&file)?).stderr(Stdio::null());
        let child = cluster.node(node)?.spawn(command)?;
        Ok(Self { child, file })
    }

    fn wait_until_it_reads(&self) -> Result<()> {
        wait::until("a first flow", TIMEOUT, || {
            Ok((std::fs::metadata(&self.file)?.len() > 0).then_some(()))
        })
    }

    /// Waits for its end, which its server's brings about. Returns what it was told.
    fn end(mut self) -> Result<Vec<Told>> {
        wait::until("the end of a client", END_TIMEOUT, || {
            Ok(self.child.try_wait()?)
        })?;
        told::read(&palomar::parse(&std::fs::read_to_string(&self.file)?)?)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
