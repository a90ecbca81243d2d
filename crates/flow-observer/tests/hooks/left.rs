//! Nothing stays in the kernel, however the probes end.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use flow_observer::source::probes::{self, ProbeConfig};
use testbed::{Cluster, Spec, wait};

use crate::Rule;

pub(crate) const RULES: &[Rule] = &[
    ("nothing_is_left_of_probes_that_are_dropped", dropped),
    ("nothing_is_left_of_probes_that_are_killed", killed),
];

/// Makes this program hold the probes until it is killed.
pub(crate) const HOLD: &str = "--hold-the-probes";
/// The kernel frees programs when it finds the time.
const FREED_WITHIN: Duration = Duration::from_secs(10);
/// One of each object, by the names that the kernel keeps.
const SOME: [&str; 3] = ["connect4_first", "tcp_retransmit", "kfree_skb"];

fn dropped() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let node = cluster.node("node-1")?;
    let held = node.namespace().run(|| {
        let before = held_by("self")?;
        let probes = probes::start(&ProbeConfig::default())?;
        let held: BTreeSet<u32> = held_by("self")?.difference(&before).copied().collect();
        drop(probes);
        Ok(held)
    })?;
    freed(&held)
}

fn killed() -> Result<()> {
    let cluster = Cluster::start(&Spec::two_nodes())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(HOLD).stdout(Stdio::piped());
    let mut child = cluster.node("node-1")?.spawn(command)?;
    let mut ready = String::new();
    BufReader::new(child.stdout.take().context("child without output")?).read_line(&mut ready)?;
    let held = held_by(&child.id().to_string())?;
    let names = loaded(&held)?;
    ensure!(
        SOME.iter().all(|name| names.contains(*name)),
        "the child said {ready:?} and holds {names:?}"
    );
    child.kill()?;
    child.wait()?;
    freed(&held)
}

/// What the child of [`killed`] does.
pub(crate) fn hold() -> Result<()> {
    let _probes = probes::start(&ProbeConfig::default())?;
    println!("ready");
    loop {
        thread::park();
    }
}

/// Programs that a process has open.
fn held_by(process: &str) -> Result<BTreeSet<u32>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // Closed while we look; another thread's.
        let Ok(info) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        programs.extend(info.lines().filter_map(|line| {
            let id = line.strip_prefix("prog_id:")?;
            id.trim().parse::<u32>().ok()
        }));
    }
    Ok(programs)
}

/// The names of those of `programs` that the kernel has.
fn loaded(programs: &BTreeSet<u32>) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for program in aya::programs::loaded_programs() {
        // Freed while we look; another process's.
        let Ok(program) = program else { continue };
        if programs.contains(&program.id()) {
            names.insert(program.name_as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(names)
}

fn freed(held: &BTreeSet<u32>) -> Result<()> {
    ensure!(!held.is_empty(), "no program was held");
    wait::until("the end of the programs", FREED_WITHIN, || {
        let names = loaded(held)?;
        Ok(names.is_empty().then_some(()))
    })
}
