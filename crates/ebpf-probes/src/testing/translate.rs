//! For tests only: translates one service address, as a load balancer at the socket does.
//!
//! User space sets the addresses before loading, in network order, and attaches what it wants.
#![no_std]
#![no_main]
#![allow(
    unsafe_code,
    reason = "BPF helpers and kernel memory are behind raw pointers"
)]
#![allow(
    missing_docs,
    reason = "the macros of aya-ebpf make items that cannot carry documentation"
)]

use aya_ebpf::{bindings::bpf_sock_addr, macros::cgroup_sock_addr, programs::SockAddrContext};

#[unsafe(no_mangle)]
static SERVICE_V4: [u8; 4] = [0; 4];
#[unsafe(no_mangle)]
static BACKEND_V4: [u8; 4] = [0; 4];
#[unsafe(no_mangle)]
static SERVICE_V6: [u8; 16] = [0; 16];
#[unsafe(no_mangle)]
static BACKEND_V6: [u8; 16] = [0; 16];
#[unsafe(no_mangle)]
static SERVICE_PORT: [u8; 2] = [0; 2];
#[unsafe(no_mangle)]
static BACKEND_PORT: [u8; 2] = [0; 2];

/// The call goes on.
const ALLOW: i32 = 1;

#[cgroup_sock_addr(connect4)]
pub(crate) fn to_backend4(ctx: SockAddrContext) -> i32 {
    translate4(ctx.sock_addr, &raw const SERVICE_V4, &raw const BACKEND_V4);
    ALLOW
}

#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn send_to_backend4(ctx: SockAddrContext) -> i32 {
    translate4(ctx.sock_addr, &raw const SERVICE_V4, &raw const BACKEND_V4);
    ALLOW
}

#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn receive_from_service4(ctx: SockAddrContext) -> i32 {
    translate4(ctx.sock_addr, &raw const BACKEND_V4, &raw const SERVICE_V4);
    ALLOW
}

#[cgroup_sock_addr(getpeername4)]
pub(crate) fn name_service4(ctx: SockAddrContext) -> i32 {
    translate4(ctx.sock_addr, &raw const BACKEND_V4, &raw const SERVICE_V4);
    ALLOW
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn to_backend6(ctx: SockAddrContext) -> i32 {
    let call = ctx.sock_addr;
    let (service, backend) = (words(&raw const SERVICE_V6), words(&raw const BACKEND_V6));
    // SAFETY: the context is valid; volatile as the kernel allows only whole words.
    unsafe {
        let ip = &raw mut (*call).user_ip6;
        let word = |index: usize| (&raw const (*ip)[index]).read_volatile();
        if [word(0), word(1), word(2), word(3)] != service
            || port(call) != number(&raw const SERVICE_PORT)
        {
            return ALLOW;
        }
        (&raw mut (*ip)[0]).write_volatile(backend[0]);
        (&raw mut (*ip)[1]).write_volatile(backend[1]);
        (&raw mut (*ip)[2]).write_volatile(backend[2]);
        (&raw mut (*ip)[3]).write_volatile(backend[3]);
        (&raw mut (*call).user_port).write_volatile(number(&raw const BACKEND_PORT));
    }
    ALLOW
}

/// Puts `to` in the place of `from`; the ports go with the addresses.
#[inline(always)]
fn translate4(call: *mut bpf_sock_addr, from: *const [u8; 4], to: *const [u8; 4]) {
    let forward = core::ptr::eq(from, &raw const SERVICE_V4);
    let (from_port, to_port) = if forward {
        (&raw const SERVICE_PORT, &raw const BACKEND_PORT)
    } else {
        (&raw const BACKEND_PORT, &raw const SERVICE_PORT)
    };
    // SAFETY: the context is valid, and so are the statics; volatile as the kernel allows only
    // whole words, and the loader writes the statics behind the compiler's back.
    unsafe {
        let address = (&raw const (*call).user_ip4).read_volatile();
        if address != u32::from_ne_bytes(from.read_volatile()) || port(call) != number(from_port) {
            return;
        }
        (&raw mut (*call).user_ip4).write_volatile(u32::from_ne_bytes(to.read_volatile()));
        (&raw mut (*call).user_port).write_volatile(number(to_port));
    }
}

/// The port of a call, network order.
#[inline(always)]
fn port(call: *const bpf_sock_addr) -> u32 {
    // SAFETY: the context is valid.
    unsafe { (&raw const (*call).user_port).read_volatile() }
}

#[inline(always)]
fn number(port: *const [u8; 2]) -> u32 {
    // SAFETY: a valid static; volatile since the loader writes it behind the compiler's back.
    u32::from(u16::from_ne_bytes(unsafe { port.read_volatile() }))
}

#[inline(always)]
fn words(address: *const [u8; 16]) -> [u32; 4] {
    // SAFETY: as above; no word is read past the end.
    let word = |index: usize| {
        u32::from_ne_bytes(unsafe { address.cast::<[u8; 4]>().add(index).read_volatile() })
    };
    [word(0), word(1), word(2), word(3)]
}

/// The licence that the kernel asks for; this crate is under MIT or GPL-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic: the verifier would refuse a program that could get here.
    loop {}
}
