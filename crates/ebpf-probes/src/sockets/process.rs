//! The process that makes a call.

use aya_ebpf::helpers::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, generated::bpf_get_current_cgroup_id,
};
use probe_events::{COMM_BYTES, ProcessInfo};

/// The current process.
#[inline(always)]
pub(crate) fn current() -> ProcessInfo {
    ProcessInfo {
        // SAFETY: no arguments, no preconditions.
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        pid: pid(),
        reserved: 0,
        comm: bpf_get_current_comm().unwrap_or([0; COMM_BYTES]),
    }
}

/// Number of the current process.
#[inline(always)]
pub(crate) fn pid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}
