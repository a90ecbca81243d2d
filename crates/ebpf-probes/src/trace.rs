//! The trace points: classifiers on both directions of each device.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns},
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use probe_events::{
    CAPTURE_BYTES, Counter, EventHeader, KIND_TRACE, RECORD_VERSION, TraceDetail, TracePoint,
    TraceReason,
};

use crate::{
    flow_table,
    maps::{Record, count, emit},
    tuple,
};

/// The next program decides (TCX_NEXT, and TC_ACT_UNSPEC on an older clsact hook).
const PASS_ON: i32 = -1;

/// Where a trace record is put together: it is too large for the stack.
#[map]
static TRACE_RECORD: PerCpuArray<Record<TraceDetail>> = PerCpuArray::with_max_entries(1, 0);

/// Ingress of the host side of a pod's device.
#[classifier]
pub(crate) fn from_endpoint(ctx: TcContext) -> i32 {
    trace(&ctx, TracePoint::FromEndpoint)
}

/// Egress of the host side of a pod's device.
#[classifier]
pub(crate) fn to_endpoint(ctx: TcContext) -> i32 {
    trace(&ctx, TracePoint::ToEndpoint)
}

/// Ingress of a network device.
#[classifier]
pub(crate) fn from_network(ctx: TcContext) -> i32 {
    trace(&ctx, TracePoint::FromNetwork)
}

/// Egress of a network device.
#[classifier]
pub(crate) fn to_network(ctx: TcContext) -> i32 {
    trace(&ctx, TracePoint::ToNetwork)
}

#[inline(always)]
fn trace(ctx: &TcContext, point: TracePoint) -> i32 {
    report(ctx, point);
    PASS_ON
}

#[inline(always)]
fn report(ctx: &TcContext, point: TracePoint) -> Option<()> {
    // SAFETY: no arguments, no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };
    // SAFETY: the context is a valid __sk_buff for as long as the program runs.
    let ifindex = unsafe { (*ctx.skb.skb).ifindex };
    let packet_len = ctx.len();

    let reason = match tuple::of(ctx) {
        Some(mut tuple) => {
            tuple.key.scope = match point {
                TracePoint::FromEndpoint | TracePoint::ToEndpoint => ifindex,
                _ => 0,
            };
            flow_table::observe(&tuple, now_ns)
        }
        None => TraceReason::Unknown,
    };

    // SAFETY: the entry belongs to this CPU, and classifiers do not nest on one CPU.
    let record = unsafe { &mut *TRACE_RECORD.get_ptr_mut(0)? };
    let Some(captured) = capture(ctx, packet_len, &mut record.packet) else {
        count(Counter::Unreadable);
        return None;
    };
    record.header = EventHeader {
        kind: KIND_TRACE,
        version: RECORD_VERSION,
        flags: 0,
        point: point as u8,
        ifindex,
        time_ns: now_ns,
        packet_len,
        captured_len: captured as u16,
        reserved: 0,
    };
    record.detail = TraceDetail {
        reason: reason as u8,
        reserved: [0; 7],
        // SAFETY: as above; 0 when the packet has no socket.
        socket_cookie: unsafe { bpf_get_socket_cookie(ctx.as_ptr()) },
    };
    emit(record, captured, Counter::LostTrace);
    Some(())
}

/// Copies the first bytes of the packet; the kernel gathers them where they are scattered.
#[inline(always)]
fn capture(ctx: &TcContext, packet_len: u32, into: &mut [u8; CAPTURE_BYTES]) -> Option<usize> {
    let length = crate::maps::bounded(packet_len as u64)?;
    // SAFETY: `length` is between 1 and the size of the buffer, and at most the packet's length.
    let result = unsafe {
        aya_ebpf::helpers::generated::bpf_skb_load_bytes(
            ctx.as_ptr().cast(),
            0,
            into.as_mut_ptr().cast(),
            length as u32,
        )
    };
    (result == 0).then_some(length)
}
