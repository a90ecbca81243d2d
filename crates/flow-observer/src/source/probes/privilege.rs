//! Whether this process may do what the probes need, and letting go of everything else.

use std::fs;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_no_new_privs;

use super::ProbeError;

/// What an agent goes on with.
const KEPT: [Capability; 6] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
    // Into the pods' network namespaces.
    Capability::CAP_SYS_ADMIN,
    // To those of processes that have privileges we do not, or another user.
    Capability::CAP_SYS_PTRACE,
    // The names of the kernel's functions.
    Capability::CAP_SYSLOG,
];

/// Why privileges could not be dropped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// Some filter of system calls forbids it.
    #[error("cannot drop privileges")]
    Capabilities(#[from] caps::errors::CapsError),
    /// As above.
    #[error("cannot forswear new privileges")]
    NoNewPrivileges(#[source] nix::Error),
}

/// Lets go of every privilege that the probes do not need, for good: not even a program that this
/// process runs can get it back.
///
/// This is about the calling thread, and those that it starts later. So it comes first.
///
/// # Errors
/// When something forbids it.
pub fn drop_others() -> Result<(), PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = KEPT
        .into_iter()
        .filter(|it| permitted.contains(it))
        .collect();
    // The bounding set needs a privilege that goes next. Whoever has it not has nothing to bound.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported() {
            if !kept.contains(&capability) {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    set_no_new_privs().map_err(PrivilegeError::NoNewPrivileges)
}

/// Capability numbers (include/uapi/linux/capability.h) and what the probes use them for.
const NEEDED: [(u32, &str); 4] = [
    (12, "CAP_NET_ADMIN"), // attach to devices
    (21, "CAP_SYS_ADMIN"), // look into the pods' network namespaces
    (38, "CAP_PERFMON"),   // read kernel memory in the drop probe
    (39, "CAP_BPF"),       // load programs and maps
];

/// Names what is missing before the kernel answers with a bare EPERM.
pub(super) fn check() -> Result<(), ProbeError> {
    // Where the kernel does not tell, loading the programs will.
    let Some(effective) = effective_capabilities() else {
        return Ok(());
    };
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(number, _)| effective & (1 << number) == 0)
        .map(|&(_, name)| name)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ProbeError::Privilege {
            missing: missing.join(", "),
        })
    }
}

fn effective_capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(bits.trim(), 16).ok()
}
