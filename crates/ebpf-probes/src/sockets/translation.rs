//! A hook's first and last program: notes the address that came in, and compares.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_ktime_get_ns,
        generated::bpf_get_netns_cookie,
    },
    programs::SockAddrContext,
};
use probe_events::{HOOK_RECORD_VERSION, KIND_SOCKET, SocketRecord, TranslationPoint};

use crate::{
    address::Address,
    maps::{Note, PROCESSES, emit, note_of},
    process,
};

/// Notes who makes the call, and with which address.
#[inline(always)]
pub(crate) fn before(ctx: &SockAddrContext, address: Address, pre: TranslationPoint) {
    // SAFETY: the context is one that the helper takes.
    let socket_cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    let thread = bpf_get_current_pid_tgid();
    if let Some(note) = note_of(thread) {
        // SAFETY: a live entry of this CPU.
        unsafe {
            *note = Note {
                thread,
                socket_cookie,
                address,
            };
        }
    }
    if pre as u32 == TranslationPoint::PreForward as u32 {
        remember(socket_cookie);
    }
}

/// Remembers who is behind the socket. A process that sends one datagram after the other is
/// written down once.
#[inline(always)]
fn remember(socket_cookie: u64) {
    // SAFETY: plain look-up; the value is compared at once.
    let known = unsafe { PROCESSES.get(&socket_cookie) };
    if known.is_some_and(|known| known.pid == process::pid()) {
        return;
    }
    let _ = PROCESSES.insert(&socket_cookie, &process::current(), 0);
}

/// Reports an address that is no longer the one that the call came with.
#[inline(always)]
pub(crate) fn after(
    ctx: &SockAddrContext,
    address: Address,
    pre: TranslationPoint,
    post: TranslationPoint,
) {
    let thread = bpf_get_current_pid_tgid();
    let Some(noted) = note_of(thread) else {
        return;
    };
    // SAFETY: a live entry of this CPU.
    let note = unsafe { *noted };
    if note.thread != thread {
        return;
    }
    // SAFETY: as above.
    unsafe { (*noted).thread = 0 };
    if note.address == address {
        return;
    }
    // SAFETY: the context is one that the helper takes.
    let socket_cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    if note.socket_cookie != socket_cookie {
        return;
    }
    // SAFETY: the context is valid; volatile as the kernel allows only loads as wide as the field.
    let protocol = unsafe { core::ptr::read_volatile(&raw const (*ctx.sock_addr).protocol) };
    let record = |point: TranslationPoint, address: &Address, time_ns, process| SocketRecord {
        kind: KIND_SOCKET,
        version: HOOK_RECORD_VERSION,
        point: point as u8,
        protocol: protocol as u8,
        family: address.family(),
        reserved: 0,
        port: address.port(),
        time_ns,
        socket_cookie,
        // SAFETY: the context is one that the helper takes.
        netns_cookie: unsafe { bpf_get_netns_cookie(ctx.as_ptr()) },
        process,
        address: address.bytes(),
    };
    // SAFETY: no arguments, no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    let process = process::current();
    emit(record(pre, &note.address, time_ns, process));
    emit(record(post, &address, time_ns, process));
}
