//! Accepted connections: the kernel makes them while no process is at work, so they get the process
//! that is bound to their port.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
    helpers::{bpf_get_socket_cookie, generated::bpf_get_netns_cookie},
    programs::SockOpsContext,
};
use probe_events::BoundPort;

use crate::maps::{LISTENERS, PROCESSES};

const TCP: u8 = 6;

/// Notes the process behind a connection that has just been accepted.
#[inline(always)]
pub(crate) fn note(ctx: &SockOpsContext) {
    if ctx.op() != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
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
        let _ = PROCESSES.insert(&socket_cookie, &process, 0);
    }
}
