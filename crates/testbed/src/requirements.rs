//! What this machine and this process must have, checked before anything is built, so that a user
//! hears all that is missing at once.

use std::{fmt, fs, path::Path};

use anyhow::{Result, ensure};

use crate::tools;

/// The kernel's own types, which the probes are fitted to.
const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Something that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Missing {
    /// A capability of this process.
    Capability(&'static str),
    /// The kernel's BTF, for the probes.
    KernelTypes,
    /// A program, and the package that has it.
    Program {
        /// Its name on `PATH`.
        program: &'static str,
        /// The Debian package.
        package: &'static str,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(name) => write!(out, "the capability {name} (run as root)"),
            Self::KernelTypes => {
                write!(
                    out,
                    "{KERNEL_BTF} (a kernel built with CONFIG_DEBUG_INFO_BTF)"
                )
            }
            Self::Program { program, package } => {
                write!(out, "the program {program} (install the package {package})")
            }
        }
    }
}

/// What is missing for a cluster and its traffic.
pub fn for_cluster() -> Vec<Missing> {
    let programs = [("ip", "iproute2"), ("nft", "nftables")]
        .into_iter()
        .filter(|(program, _)| !tools::is_installed(program))
        .map(|(program, package)| Missing::Program { program, package });
    capabilities(&[("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21)])
        .chain(programs)
        .collect()
}

/// What is missing for agents with probes. CAP_SYS_ADMIN, which a cluster needs anyway, includes
/// what the narrower capabilities for BPF give; they are what an agent alone needs.
pub fn for_probes() -> Vec<Missing> {
    let types = (!Path::new(KERNEL_BTF).exists()).then_some(Missing::KernelTypes);
    capabilities(&[("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)])
        .chain(types)
        .collect()
}

/// What is missing for clusters with agents in them: both of the above.
pub fn for_observed_cluster() -> Vec<Missing> {
    let mut missing = for_cluster();
    for more in for_probes() {
        if !missing.contains(&more) {
            missing.push(more);
        }
    }
    missing
}

/// What is missing for tests of capture files.
pub fn for_captures() -> Vec<Missing> {
    let (program, package) = ("tshark", "tshark");
    let is_missing = !tools::is_installed(program);
    is_missing
        .then_some(Missing::Program { program, package })
        .into_iter()
        .collect()
}

/// What is missing for tests with real clients and servers of DNS and TLS.
pub fn for_names() -> Vec<Missing> {
    [
        ("curl", "curl"),
        ("dnsmasq", "dnsmasq-base"),
        ("openssl", "openssl"),
    ]
    .into_iter()
    .filter(|(program, _)| !tools::is_installed(program))
    .map(|(program, package)| Missing::Program { program, package })
    .collect()
}

/// What is missing for tests of what Prometheus makes of metrics.
pub fn for_prometheus() -> Vec<Missing> {
    let (program, package) = ("promtool", "prometheus");
    let is_missing = !tools::is_installed(program);
    is_missing
        .then_some(Missing::Program { program, package })
        .into_iter()
        .collect()
}

/// Refuses to start `what` while something is missing.
///
/// # Errors
/// When `missing` is not empty; the error lists it.
pub fn check(what: &str, missing: &[Missing]) -> Result<()> {
    let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
    ensure!(
        list.is_empty(),
        "{what} needs what is missing here: {}",
        list.join(", ")
    );
    Ok(())
}

/// Those of `wanted`, each a name and its number in `linux/capability.h`, that this process lacks.
fn capabilities(wanted: &'static [(&str, u32)]) -> impl Iterator<Item = Missing> {
    let held = effective_capabilities();
    wanted
        .iter()
        .filter(move |(_, bit)| held & (1 << bit) == 0)
        .map(|(name, _)| Missing::Capability(name))
}

/// The line `CapEff` of this process: none when it cannot be read.
fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_effective(&status).unwrap_or_default()
}

fn parse_effective(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_capabilities_are_read_as_hexadecimal() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000201000\n";
        assert_eq!(parse_effective(status), Some(1 << 12 | 1 << 21));
    }

    #[test]
    fn what_is_missing_comes_with_the_next_step() {
        let missing = Missing::Program {
            program: "nft",
            package: "nftables",
        };
        assert_eq!(
            missing.to_string(),
            "the program nft (install the package nftables)"
        );
    }
}
