//! An agent at work has the privileges that it needs, and no way to others.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use testbed::Spec;

use crate::{Rule, observed::with_agents};

pub(crate) const RULES: &[Rule] = &[(
    "an_agent_at_work_has_let_go_of_what_it_does_not_need",
    let_go,
)];

/// CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_SYSLOG, CAP_PERFMON and CAP_BPF.
const NEEDED: u64 = 1 << 12 | 1 << 19 | 1 << 21 | 1 << 34 | 1 << 38 | 1 << 39;

fn let_go() -> Result<()> {
    with_agents(&Spec::two_nodes(), |cluster| {
        let agent = process_of(&cluster.agent_socket("node-1")).context("no agent")?;
        for task in fs::read_dir(format!("/proc/{agent}/task"))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::trim).context("no such line in status")
            };
            for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapInh:", "CapAmb:"] {
                let bits = u64::from_str_radix(field(set)?, 16)?;
                ensure!(bits & !NEEDED == 0, "{set} {bits:#x}: {}", field("Name:")?);
            }
            ensure!(field("NoNewPrivs:")? == "1");
        }
        Ok(())
    })
}

/// The process that has this socket on its command line.
fn process_of(socket: &Path) -> Option<u32> {
    let socket = socket.to_str()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
        .find(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = line.split(|&byte| byte == 0).collect();
            words.contains(&b"agent".as_slice()) && words.contains(&socket.as_bytes())
        })
}
