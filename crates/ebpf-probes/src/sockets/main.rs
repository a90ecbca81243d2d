//! The optional programs at the sockets: who is behind one, and what its addresses became.
//!
//! They run at the root of cgroup v2, on every call of the machine that gives or asks for an
//! address. The first program of each hook notes the process and the address; the last one, where
//! the kernel can keep it last, compares and reports an address that was changed in between, as
//! load balancers at the socket do. Others note who is bound to a port, and who accepts there.
//!
//! The programs only watch: each allows the call.
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

mod accepted;
mod address;
mod listener;
mod maps;
mod process;
mod translation;

use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockContext, SockOpsContext},
};
use probe_events::TranslationPoint::{PostForward, PostReverse, PreForward, PreReverse};

use address::{v4, v6};

/// The call goes on.
const ALLOW: i32 = 1;

/// A hook's first and last program.
macro_rules! hook {
    ($hook:ident, $first:ident, $last:ident, $address:ident, $pre:ident => $post:ident) => {
        #[cgroup_sock_addr($hook)]
        pub(crate) fn $first(ctx: SockAddrContext) -> i32 {
            translation::before(&ctx, $address(&ctx), $pre);
            ALLOW
        }

        #[cgroup_sock_addr($hook)]
        pub(crate) fn $last(ctx: SockAddrContext) -> i32 {
            translation::after(&ctx, $address(&ctx), $pre, $post);
            ALLOW
        }
    };
}

hook!(connect4, connect4_first, connect4_last, v4, PreForward => PostForward);
hook!(connect6, connect6_first, connect6_last, v6, PreForward => PostForward);
// Only datagrams that name where they go: what follows a `connect` does not.
hook!(sendmsg4, sendmsg4_first, sendmsg4_last, v4, PreForward => PostForward);
hook!(sendmsg6, sendmsg6_first, sendmsg6_last, v6, PreForward => PostForward);
hook!(recvmsg4, recvmsg4_first, recvmsg4_last, v4, PreReverse => PostReverse);
hook!(recvmsg6, recvmsg6_first, recvmsg6_last, v6, PreReverse => PostReverse);
hook!(getpeername4, peername4_first, peername4_last, v4, PreReverse => PostReverse);
hook!(getpeername6, peername6_first, peername6_last, v6, PreReverse => PostReverse);

#[cgroup_sock(post_bind4)]
pub(crate) fn bound4(ctx: SockContext) -> i32 {
    listener::note(&ctx);
    ALLOW
}

#[cgroup_sock(post_bind6)]
pub(crate) fn bound6(ctx: SockContext) -> i32 {
    listener::note(&ctx);
    ALLOW
}

#[sock_ops]
pub(crate) fn accepts(ctx: SockOpsContext) -> u32 {
    accepted::note(&ctx);
    ALLOW as u32
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
