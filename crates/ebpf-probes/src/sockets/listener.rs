//! Who is bound to a port.

use aya_ebpf::{EbpfContext as _, helpers::generated::bpf_get_netns_cookie, programs::SockContext};
use probe_events::BoundPort;

use crate::{maps::LISTENERS, process};

/// Notes the process that has just bound a socket.
#[inline(always)]
pub(crate) fn note(ctx: &SockContext) {
    // SAFETY: the context is valid; volatile as the kernel allows only loads as wide as the field.
    let (protocol, port) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*ctx.sock).protocol),
            core::ptr::read_volatile(&raw const (*ctx.sock).src_port),
        )
    };
    let key = BoundPort {
        // SAFETY: the context is one that the helper takes.
        netns_cookie: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        port: port as u16,
        protocol: protocol as u8,
        reserved: [0; 5],
    };
    // A full table makes room by itself; without an entry the listener has no name, that is all.
    let _ = LISTENERS.insert(&key, &process::current(), 0);
}
