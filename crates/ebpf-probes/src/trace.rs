//! The trace points: classifiers on both directions of each device.

use aya_ebpf::{
    EbpfContext as _,
    helpers::{
        bpf_get_socket_cookie, bpf_ktime_get_ns,
        generated::{bpf_ktime_get_coarse_ns, bpf_skb_load_bytes as load_bytes},
    },
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use probe_events::{
    Aggregation, CAPTURE_BYTES, Counter, EventHeader, FLAG_FRAGMENT, FLAG_PAYLOAD,
    FLAG_STARTS_AT_IP, FLAG_VLAN, FlowKey, KIND_TRACE, PAYLOAD_CAPTURE_BYTES, Place,
    RECORD_VERSION, TUNNEL_CAPTURE_BYTES, TraceDetail, TracePoint, TraceReason,
};

use crate::{
    flow_table::{self, Passing, Verdict},
    maps::{LOCAL_ADDRESSES, Record, bounded, count, emit, settings},
    payload,
    tuple::{self, Role, Tuple},
    walk::{self, Bytes, Headers, read_back},
};

/// The next program decides (TCX_NEXT, and TC_ACT_UNSPEC on an older clsact hook).
const PASS_ON: i32 = -1;

/// What a program has on its hands: too large for the stack. And the verifier, which follows each
/// value through the stack, does not follow them through a map: ways that come to the same place
/// with different headers are one to it, or it would never come to an end.
#[repr(C)]
struct Work {
    key: FlowKey,
    outer: Headers,
    inner: Headers,
    tuple: Tuple,
    copied: usize,
    record: Record<TraceDetail>,
}

#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// What a program is attached to.
#[derive(Clone, Copy)]
struct Hook {
    place: Place,
    outgoing: bool,
    starts_at_ip: bool,
}

/// One program per kind of device, direction and first header.
macro_rules! programs {
    ($($(#[doc = $doc:literal])* $name:ident: $place:ident, $outgoing:literal, $starts_at_ip:literal;)*) => {$(
        $(#[doc = $doc])*
        #[classifier]
        pub(crate) fn $name(ctx: TcContext) -> i32 {
            let hook = Hook {
                place: Place::$place,
                outgoing: $outgoing,
                starts_at_ip: $starts_at_ip,
            };
            report(&ctx, hook);
            PASS_ON
        }
    )*};
}

programs! {
    /// Ingress of the host side of a pod's device.
    from_endpoint: Endpoint, false, false;
    /// Egress of the host side of a pod's device.
    to_endpoint: Endpoint, true, false;
    /// Ingress of a network device.
    from_network: Network, false, false;
    /// Egress of a network device.
    to_network: Network, true, false;
    /// Ingress of a network device without a link layer header.
    from_network_ip: Network, false, true;
    /// Egress of the same.
    to_network_ip: Network, true, true;
    /// Ingress of a tunnel.
    from_overlay: Overlay, false, false;
    /// Egress of a tunnel.
    to_overlay: Overlay, true, false;
    /// Ingress of a tunnel without a link layer header.
    from_overlay_ip: Overlay, false, true;
    /// Egress of the same.
    to_overlay_ip: Overlay, true, true;
    /// Ingress of a bridge's own device: what its ports send to the node.
    to_host: Host, false, false;
    /// Egress of the same.
    from_host: Host, true, false;
}

#[inline(always)]
fn report(ctx: &TcContext, hook: Hook) -> Option<()> {
    // A few milliseconds behind at most, and much cheaper than the exact time, which only records
    // need.
    // SAFETY: no arguments, no preconditions.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let skb = ctx.skb.skb;
    // SAFETY: the context is a valid __sk_buff for as long as the program runs.
    let (ifindex, segments, vlan_present, vlan_tci) = unsafe {
        (
            (*skb).ifindex,
            (*skb).gso_segs,
            (*skb).vlan_present,
            (*skb).vlan_tci,
        )
    };
    let packet_len = ctx.len();

    // SAFETY: the entry belongs to this CPU, and classifiers do not nest on one CPU.
    let work = unsafe { &mut *WORK.get_ptr_mut(0)? };
    let copied = match copy::<{ TUNNEL_CAPTURE_BYTES as u64 }>(ctx, packet_len, &mut work.record) {
        Some(copied) => copied,
        None => {
            count(Counter::Unreadable);
            return None;
        }
    };
    work.copied = copied;
    let copied = read_back(&work.copied);
    let bytes = Bytes::new(&work.record.packet, copied);
    let mut captured = if copied > CAPTURE_BYTES {
        CAPTURE_BYTES
    } else {
        copied
    };

    let mut headers = &mut work.outer;
    *headers = Headers::NONE;
    let has_headers = walk::outer(&bytes, hook.starts_at_ip, headers).is_some();
    if hook.place as u8 == Place::Network as u8 && has_headers {
        work.inner = Headers::NONE;
        if walk::inner(&bytes, headers, &mut work.inner).is_some() {
            headers = &mut work.inner;
            captured = copied;
        }
    }
    work.tuple = Tuple::NONE;
    let has_tuple = has_headers && tuple::of(&bytes, headers, &mut work.tuple).is_some();
    let tuple = read_back(&work.tuple);
    let settings = settings();
    let has_payload = settings.payload_bytes != 0
        && has_tuple
        && payload::begins_message(&bytes, headers, &tuple);

    let is_for_this_node = has_headers && needs_destination(hook) && is_for_this_node(headers);
    let cookie = if hook.place as u8 == Place::Host as u8 && hook.outgoing {
        socket_cookie(ctx)
    } else {
        0
    };
    let point = point(hook, is_for_this_node, cookie);
    let segments = u64::from(segments.max(1));
    let mut passing = Passing {
        tuple,
        sender_is_a: false,
        point,
        outgoing: hook.outgoing,
        now_ns,
        packets: segments,
        bytes: u64::from(packet_len) + u64::from(tuple.payload) * (segments - 1),
        must_report: has_payload,
        must_not_report: settings.aggregation == Aggregation::Low as u32
            && !is_last(point, is_for_this_node),
    };
    let verdict = if has_tuple && tuple.role as u8 != Role::Related as u8 {
        work.key.place = hook.place as u8;
        work.key.scope = match hook.place {
            Place::Endpoint | Place::Host => ifindex,
            Place::Network | Place::Overlay => 0,
        };
        passing.sender_is_a = tuple::fill_key(headers, &tuple, &mut work.key);
        flow_table::observe(&work.key, &passing)
    } else if has_tuple {
        Verdict::alone(TraceReason::Related, &passing)
    } else {
        Verdict::alone(TraceReason::Unknown, &passing)
    };
    if !verdict.report {
        return None;
    }

    let record = &mut work.record;
    let mut flags = if hook.starts_at_ip {
        FLAG_STARTS_AT_IP
    } else {
        0
    };
    if has_payload {
        flags |= FLAG_PAYLOAD;
        let wanted = packet_len.min(settings.payload_bytes);
        if wanted as usize > copied
            && let Some(more) = copy::<{ PAYLOAD_CAPTURE_BYTES as u64 }>(ctx, wanted, record)
        {
            captured = more;
        }
    }
    let vlan = if vlan_present != 0 {
        flags |= FLAG_VLAN;
        vlan_tci as u16
    } else {
        0
    };
    let (source_port, destination_port) = if tuple.is_later_fragment {
        flags |= FLAG_FRAGMENT;
        (tuple.source_port, tuple.destination_port)
    } else {
        (0, 0)
    };
    record.header = EventHeader {
        kind: KIND_TRACE,
        version: RECORD_VERSION,
        flags,
        point: point as u8,
        ifindex,
        // SAFETY: no arguments, no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        packet_len,
        captured_len: captured as u16,
        vlan,
    };
    record.detail = TraceDetail {
        reason: verdict.reason as u8,
        reserved: [0; 3],
        source_port,
        destination_port,
        socket_cookie: if cookie != 0 {
            cookie
        } else {
            socket_cookie(ctx)
        },
        packets: verdict.counts.packets,
        bytes: verdict.counts.bytes,
        other_packets: verdict.counts.other_packets,
        other_bytes: verdict.counts.other_bytes,
    };
    if !emit(record, captured) {
        verdict.give_back();
        count(Counter::LostTrace);
    }
    Some(())
}

/// Where the packet is.
#[inline(always)]
fn point(hook: Hook, is_for_this_node: bool, cookie: u64) -> TracePoint {
    match (hook.place, hook.outgoing) {
        (Place::Endpoint, false) => TracePoint::FromEndpoint,
        (Place::Endpoint, true) => TracePoint::ToEndpoint,
        (Place::Network, false) => TracePoint::FromNetwork,
        (Place::Network, true) => TracePoint::ToNetwork,
        (Place::Overlay, false) => TracePoint::FromOverlay,
        (Place::Overlay, true) => TracePoint::ToOverlay,
        (Place::Host, false) if is_for_this_node => TracePoint::ToHost,
        (Place::Host, false) => TracePoint::ToStack,
        // What is routed has lost its socket on the way.
        (Place::Host, true) if cookie != 0 => TracePoint::FromHost,
        (Place::Host, true) => TracePoint::FromStack,
    }
}

/// Whether it matters where the packet is going.
#[inline(always)]
fn needs_destination(hook: Hook) -> bool {
    !hook.outgoing && matches!(hook.place, Place::Host | Place::Network)
}

/// No other point follows, so that a packet that is reported once is reported here.
#[inline(always)]
fn is_last(point: TracePoint, is_for_this_node: bool) -> bool {
    match point {
        TracePoint::FromNetwork => is_for_this_node,
        TracePoint::FromEndpoint
        | TracePoint::FromOverlay
        | TracePoint::FromHost
        | TracePoint::FromStack => false,
        _ => true,
    }
}

#[inline(always)]
fn is_for_this_node(headers: &Headers) -> bool {
    const LOOPBACK: u64 = 0x7f_ffff_0000;
    let [high, low] = headers.destination;
    (high == 0 && low & 0xff_ffff_ffff == LOOPBACK)
        // SAFETY: plain look-up; only its success matters.
        || unsafe { LOCAL_ADDRESSES.get(&headers.destination) }.is_some()
}

#[inline(always)]
fn socket_cookie(ctx: &TcContext) -> u64 {
    // SAFETY: a valid context; 0 when the packet has no socket.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}

/// Copies the first bytes of the packet, at most `MAX` of `available`; the kernel gathers them
/// where they are scattered.
#[inline(always)]
fn copy<const MAX: u64>(
    ctx: &TcContext,
    available: u32,
    into: &mut Record<TraceDetail>,
) -> Option<usize> {
    const { assert!(MAX as usize <= PAYLOAD_CAPTURE_BYTES) };
    let length = bounded::<MAX>(u64::from(available))?;
    // SAFETY: `length` is between 1 and the size of the buffer, and at most the packet's length.
    let result = unsafe {
        load_bytes(
            ctx.as_ptr().cast(),
            0,
            into.packet.as_mut_ptr().cast(),
            length as u32,
        )
    };
    (result == 0).then_some(length)
}
