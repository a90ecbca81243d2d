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
    CAPTURE_BYTES, Counter, DropDetail, EventHeader, FEATURE_RX_SOCKET, FLAG_STARTS_AT_IP,
    KIND_DROP, KernelLayout, NetnsOwner, RECORD_VERSION, ReasonClass,
};

use crate::maps::{NETNS, REASONS, Record, bounded, count, emit, kernel_layout};

const ETH_HEADER: u64 = 14;
const ETH_P_IPV4: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// `sk_buff.mac_header` of a packet that never had one.
const NO_MAC_HEADER: u16 = 0xffff;

/// Where a drop record is put together: it is too large for the stack.
#[map]
static DROP_RECORD: PerCpuArray<Record<DropDetail>> = PerCpuArray::with_max_entries(1, 0);

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

    let protocol = u16::from_be(read(skb, layout.skb_protocol)?);
    if protocol != ETH_P_IPV4 && protocol != ETH_P_IPV6 {
        count(Counter::NotIp);
        return None;
    }
    // SAFETY: the entry belongs to this CPU.
    let record = unsafe { &mut *DROP_RECORD.get_ptr_mut(0)? };
    let Some(packet) = capture(&layout, skb, &mut record.packet) else {
        count(Counter::Unreadable);
        return None;
    };
    record.header = EventHeader {
        kind: KIND_DROP,
        version: RECORD_VERSION,
        flags: packet.flags,
        point: 0,
        ifindex: place.ifindex,
        // SAFETY: no arguments, no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        packet_len: packet.length,
        captured_len: packet.captured as u16,
        reserved: 0,
    };
    record.detail = DropDetail {
        reason,
        netns_inode: place.netns_inode,
        netns_cookie: place.netns_cookie,
        location,
    };
    emit(record, packet.captured, Counter::LostDrop);
    Some(())
}

/// Where a packet was dropped; zeros for what cannot be told.
struct Place {
    ifindex: u32,
    netns_cookie: u64,
    netns_inode: u32,
}

/// A socket knows its namespace for certain. The device is asked last: a packet that waits in a
/// UDP receive queue keeps something else in that field, and reading through it finds nothing.
#[inline(always)]
fn place(layout: &KernelLayout, skb: u64, rx_socket: u64) -> Place {
    let device: u64 = read(skb, layout.skb_dev).unwrap_or(0);
    let ifindex = non_null(device)
        .and_then(|device| read(device, layout.dev_ifindex))
        .unwrap_or(0);
    let net = non_null(rx_socket)
        .or_else(|| non_null(read(skb, layout.skb_sk).unwrap_or(0)))
        .and_then(|socket| read::<u64>(socket, layout.sock_net))
        .and_then(non_null)
        .or_else(|| non_null(device).and_then(|device| read::<u64>(device, layout.dev_net)))
        .and_then(non_null);
    match net {
        Some(net) => Place {
            ifindex,
            netns_cookie: read(net, layout.net_cookie).unwrap_or(0),
            netns_inode: read(net, layout.net_inode).unwrap_or(0),
        },
        None => Place {
            ifindex,
            netns_cookie: 0,
            netns_inode: 0,
        },
    }
}

/// The bytes of a dropped packet that were copied.
struct Captured {
    flags: u8,
    length: u32,
    captured: usize,
}

/// Copies from the link layer header where the packet has one, else from the IP header.
///
/// ```text
/// head        mac_header     network_header         tail
///  |  headroom  |  Ethernet, 14  |  IP ...  data ...   |  (paged data is not read)
/// ```
#[inline(always)]
fn capture(layout: &KernelLayout, skb: u64, into: &mut [u8; CAPTURE_BYTES]) -> Option<Captured> {
    let head: u64 = read(skb, layout.skb_head)?;
    let data: u64 = read(skb, layout.skb_data)?;
    let mac_header = u64::from(read::<u16>(skb, layout.skb_mac_header)?);
    let network_header = u64::from(read::<u16>(skb, layout.skb_network_header)?);
    let tail = u64::from(read::<u32>(skb, layout.skb_tail)?);
    let skb_len = read::<u32>(skb, layout.skb_len)?;

    let has_ethernet =
        mac_header != u64::from(NO_MAC_HEADER) && mac_header + ETH_HEADER == network_header;
    let (start, flags) = if has_ethernet {
        (mac_header, 0)
    } else {
        (network_header, FLAG_STARTS_AT_IP)
    };
    // `data` may stand before or behind the start, as headers were pulled or pushed.
    let data_offset = data.wrapping_sub(head);
    let length = u64::from(skb_len)
        .wrapping_add(data_offset)
        .wrapping_sub(start) as u32;

    let captured = bounded(tail.checked_sub(start)?)?;
    // SAFETY: the helper reads kernel memory safely and fails where there is none; the buffer
    // holds `captured` bytes.
    let result = unsafe {
        read_bytes(
            into.as_mut_ptr().cast(),
            captured as u32,
            (head + start) as *const _,
        )
    };
    (result == 0).then_some(Captured {
        flags,
        length,
        captured,
    })
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
