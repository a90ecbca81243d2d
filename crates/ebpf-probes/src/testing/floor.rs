//! For benchmarks only: the least that programs like the probes can cost on this kernel.
//!
//! `nothing` is what it costs to be called. `flow` finds an IPv4 TCP or UDP packet's connection in
//! a table and writes a record when that is new, when its TCP flags are, and every five seconds.
//! `record` does the same and writes one for every packet. Neither knows anything of fragments,
//! tunnels, IPv6, exact counts or losses.
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

#[path = "../classifier.rs"]
#[macro_use]
mod classifier;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_ANY, BPF_RB_NO_WAKEUP},
    helpers::{bpf_ktime_get_ns, generated::bpf_skb_load_bytes},
    macros::map,
    maps::{LruHashMap, RingBuf},
    programs::TcContext,
};

/// The next program decides (TCX_NEXT).
const PASS_ON: i32 = -1;
const INTERVAL_NS: u64 = 5_000_000_000;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERNET_HEADER: usize = 14;
const TCP: u8 = 6;
const UDP: u8 = 17;
const CAPTURE_BYTES: usize = 128;

/// Who talks to whom, in one direction.
#[repr(C)]
#[derive(Clone, Copy)]
struct Key {
    addresses: [u8; 8],
    ports: [u8; 4],
    protocol: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct State {
    reported_ns: u64,
    packets: u64,
    bytes: u64,
    flags: u64,
}

/// 64 bytes of what is known, and the packet's first bytes.
#[repr(C)]
#[derive(Clone, Copy)]
struct Record {
    time_ns: u64,
    packet_len: u64,
    key: Key,
    state: State,
    packet: [u8; CAPTURE_BYTES],
}

#[map]
static FLOWS: LruHashMap<Key, State> = LruHashMap::with_max_entries(65_536, 0);

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

classifier! {
    fn nothing(_ctx) -> i32 {
        PASS_ON
    }
}

classifier! {
    fn flow(ctx) -> i32 {
        look(&ctx, false);
        PASS_ON
    }
}

classifier! {
    fn record(ctx) -> i32 {
        look(&ctx, true);
        PASS_ON
    }
}

#[inline(always)]
fn look(ctx: &TcContext, always: bool) -> Option<()> {
    let ethertype: u16 = at(ctx, 12)?;
    if u16::from_be(ethertype) != ETHERTYPE_IPV4 {
        return None;
    }
    let version_and_length: u8 = at(ctx, ETHERNET_HEADER)?;
    // Options are rare: such packets are nobody's floor.
    if version_and_length != 0x45 {
        return None;
    }
    let protocol: u8 = at(ctx, ETHERNET_HEADER + 9)?;
    let flags: u8 = match protocol {
        TCP => at(ctx, ETHERNET_HEADER + 20 + 13)?,
        UDP => 0,
        _ => return None,
    };
    let key = Key {
        addresses: at(ctx, ETHERNET_HEADER + 12)?,
        ports: at(ctx, ETHERNET_HEADER + 20)?,
        protocol: u32::from(protocol),
    };
    let packet_len = u64::from(ctx.len());
    // SAFETY: no arguments, no preconditions.
    let now_ns = unsafe { bpf_ktime_get_ns() };

    let mut is_due = always;
    let state = match FLOWS.get_ptr_mut(&key) {
        Some(state) => {
            // SAFETY: a live entry; concurrent programs may lose counts, which nobody reads.
            unsafe {
                (*state).packets += 1;
                (*state).bytes += packet_len;
                let new_flags = u64::from(flags) & !(*state).flags;
                if new_flags != 0 || now_ns.wrapping_sub((*state).reported_ns) > INTERVAL_NS {
                    (*state).flags |= new_flags;
                    (*state).reported_ns = now_ns;
                    is_due = true;
                }
                *state
            }
        }
        None => {
            let state = State {
                reported_ns: now_ns,
                packets: 1,
                bytes: packet_len,
                flags: u64::from(flags),
            };
            FLOWS.insert(&key, &state, u64::from(BPF_ANY)).ok()?;
            is_due = true;
            state
        }
    };
    if !is_due {
        return None;
    }
    report(ctx, now_ns, &key, &state)
}

#[inline(always)]
fn report(ctx: &TcContext, now_ns: u64, key: &Key, state: &State) -> Option<()> {
    let packet_len = ctx.len();
    let mut entry = EVENTS.reserve::<Record>(0)?;
    let record = entry.as_mut_ptr();
    // SAFETY: the entry is ours until it is submitted, and as large as the record.
    let copied = unsafe {
        (*record).time_ns = now_ns;
        (*record).packet_len = u64::from(packet_len);
        (*record).key = *key;
        (*record).state = *state;
        let into = (&raw mut (*record).packet).cast();
        // The lengths are constants, which spares the kernel's verifier and the packet a test.
        if packet_len >= CAPTURE_BYTES as u32 {
            bpf_skb_load_bytes(ctx.as_ptr().cast(), 0, into, CAPTURE_BYTES as u32)
        } else {
            bpf_skb_load_bytes(ctx.as_ptr().cast(), 0, into, 54)
        }
    };
    if copied == 0 {
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    } else {
        entry.discard(u64::from(BPF_RB_NO_WAKEUP));
    }
    Some(())
}

/// What lies at an offset of the packet, where it can be read without asking the kernel.
#[inline(always)]
fn at<T: Copy>(ctx: &TcContext, offset: usize) -> Option<T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    // SAFETY: within the packet, as tested; the kernel allows any alignment here.
    Some(unsafe { (start as *const T).read_unaligned() })
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
