//! Whether this process may do what the probes need.

use std::fs;

use super::ProbeError;

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
