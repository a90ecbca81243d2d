//! The optional programs in TCP: what went wrong on the way.
//!
//! Two tracepoints write a record each time: a segment that is sent again, and a reset that is
//! sent. Both are rare, so nothing is gathered here; user space counts by connection.
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

mod connection;
mod kernel;
mod maps;

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use probe_events::{FEATURE_RETRANSMIT_ERROR, TcpTrouble};

use crate::{
    connection::{of_received, of_socket},
    kernel::{layout, non_null},
    maps::emit,
};

/// `trace_tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb, int err)`; the last
/// argument since Linux 6.15. Before, only segments that were sent got here.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit(ctx: BtfTracePointContext) -> i32 {
    let layout = layout();
    let socket: u64 = ctx.arg(0);
    // The verifier drops this branch on kernels whose tracepoint has two arguments.
    if layout.features & FEATURE_RETRANSMIT_ERROR != 0 && ctx.arg::<i32>(2) != 0 {
        return 0;
    }
    emit(&of_socket(&layout, socket), TcpTrouble::Retransmit);
    0
}

/// `trace_tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, const enum
/// sk_rst_reason reason)`; the last argument since Linux 6.10. There is no socket when a segment
/// came for a port that nobody has, and no segment when a process closes a connection by a reset.
#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn tcp_reset(ctx: BtfTracePointContext) -> i32 {
    let layout = layout();
    let (socket, skb): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    let connection = match (non_null(socket), non_null(skb)) {
        // A listener, or one in TIME-WAIT, may know less of the other end than the segment does.
        (socket, Some(skb)) => of_received(&layout, skb, socket.unwrap_or(0)),
        (Some(socket), None) => Some(of_socket(&layout, socket)),
        (None, None) => None,
    };
    if let Some(connection) = connection {
        emit(&connection, TcpTrouble::Reset);
    }
    0
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
