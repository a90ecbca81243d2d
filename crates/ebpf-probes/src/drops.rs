//! Drops: every packet that the kernel frees without delivering it.

use aya_ebpf::{
    helpers::{
        bpf_ktime_get_ns, bpf_probe_read_kernel, generated::bpf_probe_read_kernel as read_bytes,
    },
    macros::{btf_tracepoint, map},
    maps::PerCpuArray,
    programs::BtfTracePointContext,
};
use probe_events::{
    CAPTURE_BYTES, Counter, DropDetail, EventHeader, FEATURE_RX_SOCKET, FLAG_FRAGMENT,
    FLAG_STARTS_AT_IP, FLAG_VLAN, KIND_DROP, KernelLayout, NetnsOwner, REASON_TABLE_ENTRIES,
    RECORD_VERSION, ReasonClass,
};

use crate::{
    atomic::fetch_add,
    maps::{DROP_RATES, NETNS, REASONS, Record, bounded, count, emit, kernel_layout},
    settings, tuple,
    walk::{self, Bytes, Fragment, Headers},
};

const ETHERNET_HEADER: u64 = 14;
const VLAN_TAG: u64 = 4;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// `sk_buff.mac_header` of a packet that never had one.
const NO_MAC_HEADER: u16 = 0xffff;

/// Where a drop record is put together: it is too large for the stack.
#[map]
static DROP_WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

/// As in `trace`.
#[repr(C)]
struct Work {
    headers: Headers,
    record: Record<DropDetail>,
}

/// `trace_kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason,
/// struct sock *rx_sk)`; the last argument since Linux 6.11, the reason since 5.17.
#[btf_tracepoint(function = "kfree_skb")]
pub(crate) fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    report(&ctx);
    0
}

#[inline(always)]
fn report(ctx: &BtfTracePointContext) -> Option<()> {
    let skb: u64 = ctx.arg(0);
    let location: u64 = ctx.arg(1);
    let reason: u32 = ctx.arg(2);
    if REASONS.get(reason) == Some(&(ReasonClass::NotADrop as u32)) {
        count(Counter::NotADrop);
        return None;
    }

    let layout = kernel_layout();
    // The verifier drops this branch on kernels whose tracepoint has three arguments.
    let rx_socket: u64 = if layout.features & FEATURE_RX_SOCKET != 0 {
        ctx.arg(3)
    } else {
        0
    };
    let place = place(&layout, skb, rx_socket);
    // SAFETY: plain look-up; the value is copied at once.
    if unsafe { NETNS.get(place.netns_cookie) } == Some(&(NetnsOwner::Other as u32)) {
        count(Counter::OtherNode);
        return None;
    }
    // SAFETY: no arguments, no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    if is_beyond_rate(reason, time_ns) {
        count(Counter::RateLimited);
        return None;
    }

    // SAFETY: the entry belongs to this CPU.
    let Work { headers, record } = unsafe { &mut *DROP_WORK.get_ptr_mut(0)? };
    let packet = match capture(&layout, skb, &mut record.packet) {
        Ok(packet) => packet,
        Err(why) => {
            count(why);
            return None;
        }
    };
    let mut flags = packet.flags;
    let ports = fragment_ports(record, &packet, headers);
    if ports.is_some() {
        flags |= FLAG_FRAGMENT;
    }
    let [source_port, destination_port] = ports.unwrap_or([0; 2]);
    let vlan = match read::<u16>(skb, layout.skb_vlan_proto) {
        Some(protocol) if protocol != 0 => {
            flags |= FLAG_VLAN;
            read(skb, layout.skb_vlan_tci).unwrap_or(0)
        }
        _ => 0,
    };
    record.header = EventHeader {
        kind: KIND_DROP,
        version: RECORD_VERSION,
        flags,
        point: 0,
        ifindex: place.ifindex,
        time_ns,
        packet_len: packet.length,
        captured_len: packet.captured as u16,
        vlan,
    };
    record.detail = DropDetail {
        reason,
        netns_inode: place.netns_inode,
        netns_cookie: place.netns_cookie,
        location,
        socket_cookie: place.socket_cookie,
        source_port,
        destination_port,
        reserved: 0,
    };
    if !emit(record, packet.captured) {
        count(Counter::LostDrop);
    }
    Some(())
}

/// Counts the drop against its reason's rate. Two CPUs that begin a second together may let a few
/// more through; none goes uncounted.
#[inline(always)]
fn is_beyond_rate(reason: u32, now_ns: u64) -> bool {
    let limit = settings::drops_per_second();
    if limit == 0 {
        return false;
    }
    let Some(rate) = DROP_RATES.get_ptr_mut(reason.min(REASON_TABLE_ENTRIES - 1)) else {
        return false;
    };
    let second = now_ns / 1_000_000_000;
    // SAFETY: entries of an array stay where they are; the fields are aligned.
    unsafe {
        if (*rate).second != second {
            (*rate).second = second;
            (*rate).drops = 0;
        }
        let drops = fetch_add(&raw mut (*rate).drops, 1);
        if drops < u64::from(limit) {
            return false;
        }
        fetch_add(&raw mut (*rate).suppressed, 1);
    }
    true
}

/// Where a packet was dropped; zeros for what cannot be told.
struct At {
    ifindex: u32,
    netns_cookie: u64,
    netns_inode: u32,
    socket_cookie: u64,
}

/// A socket knows its namespace for certain. The device is asked last: a packet that waits in a
/// UDP receive queue keeps something else in that field, and reading through it finds nothing.
#[inline(always)]
fn place(layout: &KernelLayout, skb: u64, rx_socket: u64) -> At {
    let device: u64 = read(skb, layout.skb_dev).unwrap_or(0);
    let ifindex = non_null(device)
        .and_then(|device| read(device, layout.dev_ifindex))
        .unwrap_or(0);
    let socket = non_null(rx_socket).or_else(|| non_null(read(skb, layout.skb_sk).unwrap_or(0)));
    let net = socket
        .and_then(|socket| read::<u64>(socket, layout.sock_net))
        .and_then(non_null)
        .or_else(|| non_null(device).and_then(|device| read::<u64>(device, layout.dev_net)))
        .and_then(non_null);
    let (netns_cookie, netns_inode) = match net {
        Some(net) => (
            read(net, layout.net_cookie).unwrap_or(0),
            read(net, layout.net_inode).unwrap_or(0),
        ),
        None => (0, 0),
    };
    At {
        ifindex,
        netns_cookie,
        netns_inode,
        socket_cookie: socket
            .and_then(|socket| read(socket, layout.sock_cookie))
            .unwrap_or(0),
    }
}

/// The bytes of a dropped packet that were copied.
struct Captured {
    flags: u8,
    length: u32,
    captured: usize,
}

/// Copies from the link layer header where the packet has one, else from the IP header. What has
/// neither cannot be told from noise.
///
/// ```text
/// head        mac_header     network_header         tail
///  |  headroom  |  Ethernet, 14  |  IP ...  data ...   |  (paged data is not read)
/// ```
#[inline(always)]
fn capture<const N: usize>(
    layout: &KernelLayout,
    skb: u64,
    into: &mut [u8; N],
) -> Result<Captured, Counter> {
    let start = start(layout, skb).ok_or(Counter::Unreadable)?;
    let protocol = u16::from_be(read(skb, layout.skb_protocol).ok_or(Counter::Unreadable)?);
    if start.flags & FLAG_STARTS_AT_IP != 0
        && protocol != ETHERTYPE_IPV4
        && protocol != ETHERTYPE_IPV6
    {
        return Err(Counter::NotIp);
    }
    let available = start
        .tail
        .checked_sub(start.at)
        .ok_or(Counter::Unreadable)?;
    let captured = bounded::<CAPTURE_BYTES>(available).ok_or(Counter::Unreadable)?;
    const { assert!(N >= CAPTURE_BYTES) };
    // SAFETY: the helper reads kernel memory safely and fails where there is none; the buffer
    // holds `captured` bytes.
    let result = unsafe {
        read_bytes(
            into.as_mut_ptr().cast(),
            captured as u32,
            (start.head + start.at) as *const _,
        )
    };
    if result != 0 {
        return Err(Counter::Unreadable);
    }
    Ok(Captured {
        flags: start.flags,
        length: start.length,
        captured,
    })
}

/// Where a dropped packet begins, as an offset from `head`.
struct Start {
    head: u64,
    at: u64,
    tail: u64,
    length: u32,
    flags: u8,
}

#[inline(always)]
fn start(layout: &KernelLayout, skb: u64) -> Option<Start> {
    let head: u64 = read(skb, layout.skb_head)?;
    let data: u64 = read(skb, layout.skb_data)?;
    let mac_header = u64::from(read::<u16>(skb, layout.skb_mac_header)?);
    let network_header = u64::from(read::<u16>(skb, layout.skb_network_header)?);
    let tail = u64::from(read::<u32>(skb, layout.skb_tail)?);
    let skb_len = read::<u32>(skb, layout.skb_len)?;

    // With one VLAN tag between the two, or two.
    let link_layer = network_header.wrapping_sub(mac_header);
    let has_ethernet = mac_header != u64::from(NO_MAC_HEADER)
        && (link_layer == ETHERNET_HEADER
            || link_layer == ETHERNET_HEADER + VLAN_TAG
            || link_layer == ETHERNET_HEADER + 2 * VLAN_TAG);
    let (at, flags) = if has_ethernet {
        (mac_header, 0)
    } else {
        (network_header, FLAG_STARTS_AT_IP)
    };
    // `data` may stand before or behind the start, as headers were pulled or pushed.
    let data_offset = data.wrapping_sub(head);
    let length = u64::from(skb_len)
        .wrapping_add(data_offset)
        .wrapping_sub(at) as u32;
    Some(Start {
        head,
        at,
        tail,
        length,
        flags,
    })
}

/// The ports of a later fragment, if its first was seen by a classifier.
#[inline(always)]
fn fragment_ports(
    record: &Record<DropDetail>,
    packet: &Captured,
    headers: &mut Headers,
) -> Option<[u16; 2]> {
    let bytes = Bytes::new(&record.packet, packet.captured);
    *headers = Headers::NONE;
    walk::outer(&bytes, packet.flags & FLAG_STARTS_AT_IP != 0, headers)?;
    if headers.fragment != Fragment::Later {
        return None;
    }
    tuple::later_fragment(headers)
}

/// Reads a field of a kernel structure.
#[inline(always)]
fn read<T>(base: u64, offset: u32) -> Option<T> {
    // SAFETY: the helper reads kernel memory safely and fails where there is none.
    unsafe { bpf_probe_read_kernel((base + u64::from(offset)) as *const T) }.ok()
}

#[inline(always)]
fn non_null(pointer: u64) -> Option<u64> {
    (pointer != 0).then_some(pointer)
}
