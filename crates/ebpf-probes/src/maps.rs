//! The maps, and how a record gets into the ring.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_ringbuf_output, bpf_ringbuf_query},
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use probe_events::{
    Counter, DropRate, EventHeader, FlowKey, FlowState, HELLO_CAPTURE_BYTES, KernelLayout,
    REASON_TABLE_ENTRIES, ReaderState, WAKE_AT_BYTES, WAKE_EVERY_NS,
};

use crate::atomic::forget;

/// Records on their way to user space. 16 MiB hold some 80,000 records, 0.08 s of a million packets
/// a second: long enough for the reader to be away from its CPU.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// Connections by place. User space sets the size and removes what is idle; what finds the table
/// full is reported by itself. A table that makes room by itself (LRU) would forget counts that
/// nobody has seen. Memory is taken at load, so that a burst of connections never waits for it.
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, FlowState> = HashMap::with_max_entries(65_536, 0);

/// Ports of fragmented packets, from their first fragments. Fragments follow each other closely:
/// the kernel itself waits 30 seconds for the last.
#[map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts> =
    LruHashMap::with_max_entries(8_192, 0);

/// Addresses of this node's devices. Filled by user space.
#[map]
pub(crate) static LOCAL_ADDRESSES: HashMap<[u64; 2], u32> =
    HashMap::with_max_entries(16_384, BPF_F_NO_PREALLOC);

/// Whose a network namespace is, by cookie; values are `NetnsOwner`. Filled by user space.
#[map]
pub(crate) static NETNS: HashMap<u64, u32> = HashMap::with_max_entries(16_384, 0);

/// What a drop reason means, by number; values are `ReasonClass`. Filled by user space.
#[map]
pub(crate) static REASONS: Array<u32> = Array::with_max_entries(REASON_TABLE_ENTRIES, 0);

/// How often each reason was the case lately; reasons beyond the table share its last entry.
#[map]
pub(crate) static DROP_RATES: Array<DropRate> = Array::with_max_entries(REASON_TABLE_ENTRIES, 0);

/// What the reader is doing. Written by user space.
#[map]
static READER: Array<ReaderState> = Array::with_max_entries(1, 0);

/// What was not reported, by [`Counter`].
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// Where kernel structures keep their fields. User space sets it before the programs are loaded.
#[unsafe(no_mangle)]
static KERNEL_LAYOUT: KernelLayout = KernelLayout {
    skb_dev: 0,
    skb_sk: 0,
    skb_len: 0,
    skb_protocol: 0,
    skb_network_header: 0,
    skb_mac_header: 0,
    skb_tail: 0,
    skb_head: 0,
    skb_data: 0,
    dev_ifindex: 0,
    dev_net: 0,
    sock_net: 0,
    net_cookie: 0,
    net_inode: 0,
    skb_vlan_tci: 0,
    skb_vlan_proto: 0,
    sock_cookie: 0,
    features: 0,
};

/// One fragmented packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FragmentKey {
    pub(crate) source: [u64; 2],
    pub(crate) destination: [u64; 2],
    pub(crate) id: u32,
    pub(crate) protocol: u32,
}

/// Its ports, source first. Aligned so that the compiler may copy both at once on the stack.
#[repr(C, align(4))]
#[derive(Clone, Copy)]
pub(crate) struct FragmentPorts(pub(crate) [u16; 2]);

/// The layout as user space set it.
#[inline(always)]
pub(crate) fn kernel_layout() -> KernelLayout {
    // SAFETY: a valid static; volatile since the loader writes it behind the compiler's back.
    unsafe { core::ptr::read_volatile(&raw const KERNEL_LAYOUT) }
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the entry is this CPU's own, and programs on one CPU do not interrupt each
        // other in a way that matters for a counter.
        unsafe { *value += 1 };
    }
}

/// A record under construction: too large for the stack, unless in the ring itself.
#[repr(C)]
pub(crate) struct Record<Detail, const BYTES: usize = HELLO_CAPTURE_BYTES> {
    pub(crate) header: EventHeader,
    pub(crate) detail: Detail,
    pub(crate) packet: [u8; BYTES],
}

/// Puts the record into the ring, cut after its last captured byte. False when the ring is full.
#[inline(always)]
#[must_use]
pub(crate) fn emit<Detail>(record: &Record<Detail>, captured: usize) -> bool {
    let fixed = size_of::<EventHeader>() + size_of::<Detail>();
    // For the verifier, which may have lost sight of it.
    let captured = forget(captured).min(HELLO_CAPTURE_BYTES);
    let bytes = core::ptr::from_ref(record).cast();
    output(bytes, (fixed + captured) as u64, record.header.time_ns)
}

/// Puts `length` bytes into the ring. False when it is full.
#[inline(always)]
pub(crate) fn output(bytes: *const u8, length: u64, now_ns: u64) -> bool {
    let wake = wake(now_ns);
    // SAFETY: callers pass initialised memory of at least `length` bytes.
    let result = unsafe { bpf_ringbuf_output(ring(), bytes.cast_mut().cast(), length, wake) };
    result == 0
}

/// Whether to wake the reader, as the ring's helpers want to be told.
#[inline(always)]
pub(crate) fn wake(now_ns: u64) -> u64 {
    u64::from(if is_time_to_wake(now_ns) {
        BPF_RB_FORCE_WAKEUP
    } else {
        BPF_RB_NO_WAKEUP
    })
}

/// Whether the reader wants to be woken, and was not just now. Two CPUs may both wake it.
#[inline(always)]
fn is_time_to_wake(now_ns: u64) -> bool {
    let Some(reader) = READER.get_ptr_mut(0) else {
        return true;
    };
    // SAFETY: entries of an array stay where they are; whole words are read and written.
    unsafe {
        // What is unread is looked at by one record of eight, as its nanoseconds have it: reading
        // the reader's place takes its cache line away from it.
        let is_wanted = (*reader).asleep != 0 || (now_ns & 7 == 0 && unread() > WAKE_AT_BYTES);
        let is_due = now_ns.wrapping_sub((*reader).woken_ns) > WAKE_EVERY_NS;
        if is_wanted && is_due {
            (*reader).woken_ns = now_ns;
        }
        is_wanted && is_due
    }
}

/// Bytes in the ring that the reader has not taken.
#[inline(always)]
fn unread() -> u64 {
    // SAFETY: a ring buffer and a known question.
    unsafe { bpf_ringbuf_query(ring(), u64::from(BPF_RB_AVAIL_DATA)) }
}

#[inline(always)]
fn ring() -> *mut core::ffi::c_void {
    (&raw const EVENTS).cast_mut().cast()
}

/// The number of bytes to copy of `available`: at least 1, at most `MAX`, in a form whose bounds
/// the verifier can follow. `None` when there are none.
#[inline(always)]
pub(crate) fn bounded<const MAX: usize>(available: u64) -> Option<usize> {
    // The compiler would otherwise fold the two tests below into knowledge about where `available`
    // came from, which the verifier does not share.
    let mut length = forget(available as usize);
    if length == 0 {
        return None;
    }
    if length > MAX {
        length = MAX;
    }
    Some(length)
}
