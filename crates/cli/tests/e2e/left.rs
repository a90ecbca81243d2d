//! What a demo could leave on a machine, looked at before and after.
//!
//! Others may run clusters on this machine meanwhile. So what belongs to a process that lives is
//! theirs, and what belongs to none is left.

use std::{collections::BTreeSet, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use testbed::wait;

/// How long the kernel may take to free what a process held when it ended.
const FREE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where clusters keep their sockets; agents have a path in it on their command line.
const RUN_DIRECTORY: &str = "/run/palomar-testbed/";

/// Everything on this machine that belongs to nobody.
#[derive(Debug)]
pub(crate) struct Left(BTreeSet<String>);

impl Left {
    pub(crate) fn now() -> Self {
        let mut left = BTreeSet::new();
        let ownerless = |name: &String| owner(name).is_some_and(is_dead);
        for directory in ["/run/netns/palomar-", RUN_DIRECTORY] {
            let (parent, prefix) = directory.rsplit_once('/').unwrap_or_default();
            let names = names_in(parent).into_iter();
            let ours = names.filter_map(|it| it.strip_prefix(prefix).map(str::to_owned));
            left.extend(ours.filter(ownerless).map(|it| format!("{directory}{it}")));
        }
        left.extend(
            names_in("/sys/fs/bpf")
                .into_iter()
                .map(|it| format!("pin {it}")),
        );
        left.extend(orphans().map(|it| format!("process {it}")));
        left.extend(
            unheld_programs()
                .into_iter()
                .map(|it| format!("BPF program {it}")),
        );
        Self(left)
    }

    /// Waits until nothing is left that was not left before.
    pub(crate) fn wait_until_restored(&self) -> Result<()> {
        wait::until("the end of everything that was made", FREE_TIMEOUT, || {
            Ok(Self::now().0.is_subset(&self.0).then_some(()))
        })
        .with_context(|| format!("left: {:?}", Self::now().0.difference(&self.0)))
    }
}

/// The process that `<pid>-…` belongs to.
fn owner(name: &str) -> Option<u32> {
    name.split('-').next()?.parse().ok()
}

fn is_dead(pid: u32) -> bool {
    !Path::new("/proc").join(pid.to_string()).exists()
}

/// Processes that work for the cluster of a process that is dead.
fn orphans() -> impl Iterator<Item = u32> {
    processes().filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .split(RUN_DIRECTORY)
            .skip(1)
            .filter_map(owner)
            .any(is_dead)
    })
}

/// The kernel's numbers of BPF programs that no process holds, by itself or by what it is attached
/// with; none when bpftool is not there to list them.
fn unheld_programs() -> BTreeSet<u32> {
    let Ok(output) = Command::new("bpftool").args(["prog", "list"]).output() else {
        eprintln!("no bpftool: whether BPF programs are left is not looked at");
        return BTreeSet::new();
    };
    // A line that begins with a number and a colon begins a program; the others go on about it.
    let all = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once(':')?.0.parse().ok())
        .collect::<BTreeSet<u32>>();
    let held: BTreeSet<u32> = processes().flat_map(programs_of).collect();
    &all - &held
}

fn programs_of(pid: u32) -> Vec<u32> {
    let directory = format!("/proc/{pid}/fdinfo");
    names_in(&directory)
        .iter()
        .filter_map(|name| fs::read_to_string(format!("{directory}/{name}")).ok())
        .flat_map(|info| {
            let numbers = info
                .lines()
                .filter_map(|line| line.strip_prefix("prog_id:"));
            numbers
                .filter_map(|it| it.trim().parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

fn processes() -> impl Iterator<Item = u32> {
    names_in("/proc")
        .into_iter()
        .filter_map(|name| name.parse().ok())
}

/// The names in a directory; none when it is not there, as when a process has just ended.
fn names_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect()
}
