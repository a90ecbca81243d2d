//! The memory of an agent with nothing to do: the real binary, with its probes, on a node with two
//! silent pods. Needs root.
//!
//! ```text
//! cargo bench -p palomar --bench idle
//! ```

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use testbed::{Cluster, PodSpec, Spec, requirements};

const BINARY: &str = env!("CARGO_BIN_EXE_palomar");
const ROUNDS: usize = 5;
/// What an agent does at its start is over by then.
const SETTLED: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    requirements::check("this benchmark", &requirements::for_observed_cluster())?;
    testbed::remove_on_signals()?;
    let mut kibibytes: Vec<[u64; 2]> = Vec::new();
    for _ in 0..ROUNDS {
        let spec = Spec::with_nodes(1)
            .pod("node-1", PodSpec::new("shop", "web"))
            .pod("node-1", PodSpec::new("shop", "cart"));
        let mut cluster = Cluster::start(&spec)?;
        cluster.start_agents(Path::new(BINARY))?;
        thread::sleep(SETTLED);
        let status = status_of_agent(&cluster.agent_socket("node-1"))?;
        kibibytes.push([field(&status, "VmRSS")?, field(&status, "RssAnon")?]);
    }
    kibibytes.sort_unstable();
    let mebibytes = |kibibytes: u64| kibibytes as f64 / 1024.0;
    let [total, own] = kibibytes[ROUNDS / 2].map(mebibytes);
    let [first, last] = [kibibytes[0][0], kibibytes[ROUNDS - 1][0]].map(mebibytes);
    ensure!(total > 0.0, "an agent without memory");
    println!(
        "an idle agent: {total:.1} MiB resident, median of {ROUNDS} ({first:.1} to {last:.1}); \
         {own:.1} MiB of it are its own, the rest is the binary's file and shared"
    );
    Ok(())
}

/// `/proc/PID/status` of the agent that serves at `socket`.
fn status_of_agent(socket: &Path) -> Result<String> {
    let socket = socket.to_string_lossy();
    for entry in fs::read_dir("/proc")?.flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.starts_with(BINARY) && line.contains(&*socket) {
            return Ok(fs::read_to_string(entry.path().join("status"))?);
        }
    }
    anyhow::bail!("no agent serves at {socket}")
}

/// A line of it, in KiB.
fn field(status: &str, name: &str) -> Result<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in a process's status"))
}
