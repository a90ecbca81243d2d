//! Accepted connections: the kernel makes them while no process is at work, so they get the process
//! that is bound to their port.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_NOEXIST, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TIMEOUT_INIT},
    helpers::{bpf_get_socket_cookie, generated::bpf_get_netns_cookie},
    programs::SockOpsContext,
};
use probe_events::BoundPort;

use crate::maps::{LISTENERS, PROCESSES};

const TCP: u8 = 6;

/// Notes the process behind a connection that somebody opens, or has opened, to a port here.
///
/// The kernel asks for the first timeout before it answers a SYN, so that already the answer has
/// a process; under a flood of SYNs it does not ask, and the connection is noted once it stands.
/// It asks for that of outgoing connections, too: their process is noted already, and stays.
#[inline(always)]
pub(crate) fn note(ctx: &SockOpsContext) {
    if !matches!(
        ctx.op(),
        BPF_SOCK_OPS_TIMEOUT_INIT | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB
    ) {
        return;
    }
    let key = BoundPort {
        // SAFETY: the context is one that the helper takes.
        netns_cookie: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        port: ctx.local_port() as u16,
        protocol: TCP,
        reserved: [0; 5],
    };
    // SAFETY: plain look-up; the value is copied at once.
    if let Some(process) = unsafe { LISTENERS.get(&key) }.copied() {
        // SAFETY: the context is one that the helper takes.
        let socket_cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
        // A full table makes room by itself.
        let _ = PROCESSES.insert(&socket_cookie, &process, u64::from(BPF_NOEXIST));
    }
}
