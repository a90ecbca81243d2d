//! The trace points: classifiers on both directions of each device.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_socket_cookie, bpf_ktime_get_ns, generated::bpf_ktime_get_coarse_ns},
    programs::TcContext,
};
use probe_events::{
    Aggregation, CAPTURE_BYTES, Counter, EventHeader, FLAG_FRAGMENT, FLAG_PAYLOAD,
    FLAG_STARTS_AT_IP, FLAG_VLAN, HELLO_CAPTURE_BYTES, KIND_TRACE, PAYLOAD_CAPTURE_BYTES, Place,
    RECORD_VERSION, TUNNEL_CAPTURE_BYTES, TraceDetail, TracePoint, TraceReason,
};

use crate::{
    flow_table::{self, Passing, Verdict},
    maps::{LOCAL_ADDRESSES, count},
    payload::{self, Begun, Hint},
    plain::InPlace,
    quick, settings,
    tuple::{self, Role, Tuple},
    walk::{Headers, read_back},
    work::{Known, SHORT_BYTES, WORK, emit_in_place},
};

/// The next program decides (TCX_NEXT, and TC_ACT_UNSPEC on an older clsact hook).
const PASS_ON: i32 = -1;

/// What a program is attached to.
#[derive(Clone, Copy)]
pub(crate) struct Hook {
    pub(crate) place: Place,
    pub(crate) outgoing: bool,
    pub(crate) starts_at_ip: bool,
}

/// One program per kind of device, direction and first header.
macro_rules! programs {
    ($($(#[doc = $doc:literal])* $name:ident: $place:ident, $outgoing:literal, $starts_at_ip:literal;)*) => {$(
        classifier! {
            $(#[doc = $doc])*
            fn $name(ctx) -> i32 {
                let hook = Hook {
                    place: Place::$place,
                    outgoing: $outgoing,
                    starts_at_ip: $starts_at_ip,
                };
                if !quick::is_counted(&ctx, hook) {
                    report(&ctx, hook);
                }
                PASS_ON
            }
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
    // The coarse time is a few milliseconds behind at most, and much cheaper than the exact one,
    // which only records need.
    let is_exact = settings::aggregation() == Aggregation::None as u32;
    let now_ns = if is_exact { exact_ns() } else { coarse_ns() };
    let packet_len = ctx.len();
    // SAFETY: the entry belongs to this CPU, and classifiers do not nest on one CPU.
    let work = unsafe { &mut *WORK.get_ptr_mut(0)? };
    if !work.read(ctx, hook) {
        count(Counter::Unreadable);
        return None;
    }
    let known = read_back(&work.known);
    let tuple = read_back(&work.tuple);
    let hint = match known {
        Known::Tuple => hint(&tuple, work.headers.protocol, packet_len),
        Known::Nothing | Known::Headers => Hint::None,
    };

    let skb = ctx.skb.skb;
    // SAFETY: the context is a valid __sk_buff for as long as the program runs.
    let ifindex = unsafe { (*skb).ifindex };
    let (packets, bytes) = segments(ctx, packet_len, tuple.payload);
    let mut passing = Passing {
        tuple,
        sender_is_a: false,
        outgoing: hook.outgoing,
        now_ns,
        packets,
        bytes,
        payload: match tuple.payload {
            0 => 0,
            at => packet_len.saturating_sub(at),
        },
        hint,
        must_not_report: settings::aggregation() == Aggregation::Low as u32
            && !is_last(hook, known, &work.headers),
    };
    let verdict = if known as u8 != Known::Tuple as u8 {
        Verdict::alone(TraceReason::Unknown, &passing)
    } else if tuple.role as u8 == Role::Related as u8 {
        Verdict::alone(TraceReason::Related, &passing)
    } else {
        let scope = scope(hook, ifindex);
        passing.sender_is_a =
            tuple::fill_key(&work.headers, &tuple, hook.place, scope, &mut work.key);
        flow_table::observe(&work.key, &passing, || {
            begun(
                ctx.as_ptr(),
                packet_len,
                tuple.payload,
                work.headers.protocol,
            )
        })
    };
    if !verdict.needs_point() {
        return None;
    }
    let point = point(ctx, hook, known, &work.headers);
    verdict.at(point);
    if !verdict.report {
        return None;
    }

    let mut flags = if hook.starts_at_ip {
        FLAG_STARTS_AT_IP
    } else {
        0
    };
    let has_payload = verdict.begun.is_message || verdict.is_awaited;
    if has_payload {
        flags |= FLAG_PAYLOAD;
    }
    // SAFETY: as above.
    let (vlan_present, vlan_tci) = unsafe { ((*skb).vlan_present, (*skb).vlan_tci) };
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
    let header = EventHeader {
        kind: KIND_TRACE,
        version: RECORD_VERSION,
        flags,
        point: point as u8,
        ifindex,
        time_ns: if is_exact { now_ns } else { exact_ns() },
        packet_len,
        captured_len: 0,
        vlan,
    };
    // As words: the compiler would call a function for the three bytes that are zero.
    let reason_and_ports = u64::from(verdict.reason as u8)
        | u64::from(source_port) << 32
        | u64::from(destination_port) << 48;
    // SAFETY: plain numbers without padding, of the same size; the target is little-endian.
    let detail = unsafe {
        core::mem::transmute::<[u64; 6], TraceDetail>([
            reason_and_ports,
            socket_cookie(ctx),
            verdict.counts.packets,
            verdict.counts.bytes,
            verdict.counts.other_packets,
            verdict.counts.other_bytes,
        ])
    };
    let sent = if has_payload || read_back(&work.copied) != 0 {
        let wanted = if !has_payload {
            0
        } else if settings::payload_bytes() < PAYLOAD_CAPTURE_BYTES as u32 {
            // Somebody wants less of everything.
            settings::payload_bytes()
        } else if verdict.begun.is_hello || verdict.is_awaited {
            HELLO_CAPTURE_BYTES as u32
        } else {
            PAYLOAD_CAPTURE_BYTES as u32
        };
        work.emit_copy(ctx, wanted, header, detail)
    } else if hook.place as u8 == Place::Network as u8 && read_back(&work.captured) > CAPTURE_BYTES
    {
        emit_in_place::<TUNNEL_CAPTURE_BYTES>(ctx, header, detail)
    } else if packet_len <= SHORT_BYTES as u32 {
        emit_in_place::<SHORT_BYTES>(ctx, header, detail)
    } else {
        emit_in_place::<CAPTURE_BYTES>(ctx, header, detail)
    };
    if !sent {
        verdict.give_back();
        count(Counter::LostTrace);
    }
    Some(())
}

/// Whose view of the connection the device has.
#[inline(always)]
pub(crate) fn scope(hook: Hook, ifindex: u32) -> u32 {
    match hook.place {
        Place::Endpoint | Place::Host => ifindex,
        Place::Network | Place::Overlay => 0,
    }
}

/// What a packet is on the wire: how many packets, and bytes with the headers of each, which end where
/// the application's bytes begin.
#[inline(always)]
pub(crate) fn segments(ctx: &TcContext, packet_len: u32, payload: u32) -> (u64, u64) {
    // SAFETY: the context is a valid __sk_buff for as long as the program runs.
    let packets = u64::from(unsafe { (*ctx.skb.skb).gso_segs }.max(1));
    let bytes = u64::from(packet_len) + u64::from(payload) * (packets - 1);
    (packets, bytes)
}

/// What the packet's ports and length say of its bytes, as far as these are asked for.
#[inline(always)]
pub(crate) fn hint(tuple: &Tuple, protocol: u8, packet_len: u32) -> Hint {
    if settings::payload_bytes() == 0 {
        return Hint::None;
    }
    payload::hint(tuple, protocol, packet_len)
}

/// The message that the packet's bytes begin, if any. They may lie in another piece of the packet
/// than its headers.
///
/// A function of its own, since few packets get here: it would lie between what is done for all.
#[inline(never)]
pub(crate) fn begun(skb: *mut c_void, packet_len: u32, payload: u32, protocol: u8) -> Begun {
    let (ctx, at) = (TcContext::new(skb.cast()), payload as usize);
    let first = InPlace::new(&ctx).at_any(at).or_else(|| ctx.load(at).ok());
    match first {
        Some(first) => payload::begun(first, protocol, packet_len - payload),
        None => Begun::NOTHING,
    }
}

/// Where the packet is.
#[inline(always)]
fn point(ctx: &TcContext, hook: Hook, known: Known, headers: &Headers) -> TracePoint {
    match (hook.place, hook.outgoing) {
        (Place::Endpoint, false) => TracePoint::FromEndpoint,
        (Place::Endpoint, true) => TracePoint::ToEndpoint,
        (Place::Network, false) => TracePoint::FromNetwork,
        (Place::Network, true) => TracePoint::ToNetwork,
        (Place::Overlay, false) => TracePoint::FromOverlay,
        (Place::Overlay, true) => TracePoint::ToOverlay,
        (Place::Host, false) if is_for_this_node(known, headers) => TracePoint::ToHost,
        (Place::Host, false) => TracePoint::ToStack,
        // What is routed has lost its socket on the way.
        (Place::Host, true) if socket_cookie(ctx) != 0 => TracePoint::FromHost,
        (Place::Host, true) => TracePoint::FromStack,
    }
}

/// No other point follows, so that a packet that is reported once is reported here.
#[inline(always)]
fn is_last(hook: Hook, known: Known, headers: &Headers) -> bool {
    match (hook.place, hook.outgoing) {
        (Place::Network, false) => is_for_this_node(known, headers),
        (Place::Endpoint | Place::Overlay, false) | (Place::Host, true) => false,
        _ => true,
    }
}

#[inline(always)]
fn is_for_this_node(known: Known, headers: &Headers) -> bool {
    const LOOPBACK: u64 = 0x7f_ffff_0000;
    if known as u8 == Known::Nothing as u8 {
        return false;
    }
    let [high, low] = headers.destination;
    (high == 0 && low & 0xff_ffff_ffff == LOOPBACK)
        // SAFETY: plain look-up; only its success matters.
        || unsafe { LOCAL_ADDRESSES.get(&headers.destination) }.is_some()
}

#[inline(always)]
fn exact_ns() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
pub(crate) fn coarse_ns() -> u64 {
    // SAFETY: no arguments, no preconditions.
    unsafe { bpf_ktime_get_coarse_ns() }
}

#[inline(always)]
fn socket_cookie(ctx: &TcContext) -> u64 {
    // SAFETY: a valid context; 0 when the packet has no socket.
    unsafe { bpf_get_socket_cookie(ctx.as_ptr()) }
}
