//! The maps, and how a record gets into the ring.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use probe_events::{
    CAPTURE_BYTES, Counter, EventHeader, FlowKey, FlowState, KernelLayout, REASON_TABLE_ENTRIES,
};

/// Records on their way to user space. 16 MiB hold some 95,000 records, 0.1 s of a million packets
/// a second: long enough for the reader to be away from its CPU.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// Connections by place. Least recently used ones make room; a connection that comes back after
/// that has an unknown beginning again.
#[map]
pub(crate) static FLOWS: LruHashMap<FlowKey, FlowState> = LruHashMap::with_max_entries(65_536, 0);

/// Whose a network namespace is, by cookie; values are `NetnsOwner`. Filled by user space.
#[map]
pub(crate) static NETNS: HashMap<u64, u32> = HashMap::with_max_entries(16_384, 0);

/// What a drop reason means, by number; values are `ReasonClass`. Filled by user space.
#[map]
pub(crate) static REASONS: Array<u32> = Array::with_max_entries(REASON_TABLE_ENTRIES, 0);

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
    features: 0,
};

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

/// A record under construction.
#[repr(C)]
pub(crate) struct Record<Detail> {
    pub(crate) header: EventHeader,
    pub(crate) detail: Detail,
    pub(crate) packet: [u8; CAPTURE_BYTES],
}

/// Puts the record into the ring, cut after its last captured byte; a full ring is counted.
#[inline(always)]
pub(crate) fn emit<Detail>(record: &Record<Detail>, captured: usize, lost: Counter) {
    let fixed = size_of::<EventHeader>() + size_of::<Detail>();
    let length = (fixed + captured) as u64;
    // SAFETY: the record is fully initialised memory of at least `length` bytes; the caller bounds
    // `captured` by CAPTURE_BYTES.
    let result = unsafe {
        aya_ebpf::helpers::generated::bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            core::ptr::from_ref(record).cast_mut().cast(),
            length,
            0,
        )
    };
    if result != 0 {
        count(lost);
    }
}

/// The number of bytes to copy of `available`: at least 1, at most [`CAPTURE_BYTES`], in a form
/// whose bounds the verifier can follow. `None` when there are none.
#[inline(always)]
pub(crate) fn bounded(available: u64) -> Option<usize> {
    // The compiler would otherwise fold the two tests below into knowledge about where `available`
    // came from, which the verifier does not share.
    let mut length = core::hint::black_box(available);
    if length == 0 {
        return None;
    }
    if length > CAPTURE_BYTES as u64 {
        length = CAPTURE_BYTES as u64;
    }
    Some(length as usize)
}
