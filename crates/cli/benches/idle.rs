//! The memory of an agent with nothing to do: the real binary, with its probes, on a node with two
//! silent pods. Needs root.
//!
//! ```text
//! cargo bench -p palomar --bench idle
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use testbed::{Cluster, PodSpec, Spec, requirements};

const BINARY: &str = env!("CARGO_BIN_EXE_palomar");
const ROUNDS: usize = 5;
/// What an agent does at its start is over by then.
const SETTLED: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    requirements::check("this benchmark", &requirements::for_observed_cluster())?;
    testbed::remove_on_signals()?;
    let (mut resident, mut ring, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let spec = Spec::with_nodes(1)
            .pod("node-1", PodSpec::new("shop", "web"))
            .pod("node-1", PodSpec::new("shop", "cart"));
        let mut cluster = Cluster::start(&spec)?;
        cluster.start_agents(Path::new(BINARY))?;
        thread::sleep(SETTLED);
        let process = process_of_agent(&cluster.agent_socket("node-1"))?;
        let status = fs::read_to_string(process.join("status"))?;
        resident.push(field(&status, "VmRSS")?);
        own.push(field(&status, "RssAnon")?);
        ring.push(kernel_maps(&fs::read_to_string(process.join("smaps"))?)?);
    }
    for (what, figures) in [
        ("resident in all", &mut resident),
        ("of it the kernel's rings", &mut ring),
        ("of it the agent's own data", &mut own),
    ] {
        figures.sort_unstable();
        let [first, .., last] = figures[..] else {
            bail!("too few rounds");
        };
        let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
        println!(
            "{what}: {:.1} MiB ({:.1} to {:.1})",
            mebibytes(figures[ROUNDS / 2]),
            mebibytes(first),
            mebibytes(last)
        );
    }
    Ok(())
}

/// `/proc/PID` of the agent that serves at `socket`.
fn process_of_agent(socket: &Path) -> Result<PathBuf> {
    let socket = socket.to_string_lossy();
    for entry in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.starts_with(BINARY) && line.contains(&*socket) {
            return Ok(entry.path());
        }
    }
    bail!("no agent serves at {socket}")
}

/// Resident KiB of what is the kernel's and only mapped here: the maps of BPF programs.
fn kernel_maps(smaps: &str) -> Result<u64> {
    let mut sum = 0;
    let mut is_map = false;
    for line in smaps.lines() {
        if let Some(rest) = line.strip_prefix("Rss:") {
            let size = rest.split_whitespace().next().unwrap_or_default();
            sum += if is_map { size.parse::<u64>()? } else { 0 };
        } else if line.contains('-') && !line.contains("kB") {
            is_map = line.ends_with("anon_inode:bpf-map");
        }
    }
    ensure!(sum > 0, "the agent has no ring");
    Ok(sum)
}

/// A line of `/proc/PID/status`, in KiB.
fn field(status: &str, name: &str) -> Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in a process's status"))
}
