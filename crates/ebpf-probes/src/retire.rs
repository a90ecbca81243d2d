//! The end of an entry in the flow table, at user space's word.
//!
//! A program on another CPU may hold an entry at any moment and be about to add to its counts. So
//! an entry leaves in two steps. First it is marked: whoever sees the mark reports its packet by
//! itself and adds nothing. Once every program that was running then has ended, for which user
//! space waits, nobody adds any more, and the counts can be taken and the entry deleted.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::map, maps::PerCpuArray, programs::TcContext};
use probe_events::{
    Counter, EventHeader, ExpiredDetail, FlowKey, FlowState, KIND_EXPIRED, NO_POINT, Phase,
    RECORD_VERSION, RETIRE_DELETE, RETIRE_KEYS, RETIRE_MARK, RetireHeader, other_side,
};

use crate::{
    entry::{account, marks, take},
    maps::{FLOWS, count, output},
};

const ETHERNET_HEADER: usize = 14;

#[repr(C)]
struct ExpiredRecord {
    header: EventHeader,
    detail: ExpiredDetail,
}

/// Where a record is put together.
#[map]
static EXPIRED_RECORD: PerCpuArray<ExpiredRecord> = PerCpuArray::with_max_entries(1, 0);

classifier! {
    /// Attached nowhere: user space runs it on a packet that it makes up, see [`RetireHeader`].
    fn retire(ctx) -> i32 {
        // The packet is user space's own; what is cut is not there.
        run(&ctx).ok();
        0
    }
}

#[inline(always)]
fn run(ctx: &TcContext) -> Result<(), i64> {
    let header: RetireHeader = ctx.load(ETHERNET_HEADER)?;
    for index in 0..RETIRE_KEYS {
        if index >= header.keys as usize {
            break;
        }
        let at = ETHERNET_HEADER + size_of::<RetireHeader>() + index * size_of::<FlowKey>();
        let key: FlowKey = ctx.load(at)?;
        let Some(state) = FLOWS.get_ptr_mut(&key) else {
            continue;
        };
        // SAFETY: a live entry of the map; only this program deletes entries, and it does not run
        // twice at a time.
        unsafe {
            let was_used = (*state).last_seen_ns > header.unless_seen_after_ns;
            match header.action {
                RETIRE_MARK if !was_used => set_phase(state, Phase::Leaving),
                RETIRE_DELETE if (*state).phase != Phase::Leaving as u32 => {}
                RETIRE_DELETE if was_used || !report(&key, state) => set_phase(state, Phase::Live),
                RETIRE_DELETE => {
                    FLOWS.remove(&key).ok();
                    count(Counter::Expired);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// # Safety
/// `state` is a live entry.
#[inline(always)]
unsafe fn set_phase(state: *mut FlowState, phase: Phase) {
    // SAFETY: the caller's.
    unsafe { core::ptr::write_volatile(&raw mut (*state).phase, phase as u32) };
}

/// Reports what is left of both paths. False when the ring is full: then nothing was taken.
///
/// # Safety
/// `state` is a live entry that is leaving.
#[inline(always)]
unsafe fn report(key: &FlowKey, state: *mut FlowState) -> bool {
    // SAFETY: the caller's.
    unsafe { report_path(key, state, 0) && report_path(key, state, 1) }
}

/// # Safety
/// As [`report`].
#[inline(always)]
unsafe fn report_path(key: &FlowKey, state: *mut FlowState, index_a: usize) -> bool {
    // SAFETY: the caller's; nobody else changes the counts any more.
    unsafe {
        let index_b = other_side(index_a);
        let (a, b) = (account(state, index_a), account(state, index_b));
        if (*a).packets | (*b).packets == 0 {
            return true;
        }
        let Some(record) = EXPIRED_RECORD.get_ptr_mut(0) else {
            return false;
        };
        (*record).header = EventHeader {
            kind: KIND_EXPIRED,
            version: RECORD_VERSION,
            flags: 0,
            point: 0,
            ifindex: key.scope,
            time_ns: bpf_ktime_get_ns(),
            packet_len: 0,
            captured_len: 0,
            vlan: 0,
        };
        (*record).detail = ExpiredDetail {
            key: *key,
            origin: (*state).origin,
            point_a: (*marks(state, index_a)).point.wrapping_sub(1),
            point_b: (*marks(state, index_b)).point.wrapping_sub(1),
            reserved: 0,
            last_seen_ns: (*state).last_seen_ns,
            packets_a: (*a).packets,
            bytes_a: (*a).bytes,
            packets_b: (*b).packets,
            bytes_b: (*b).bytes,
        };
        let sent = output(
            record.cast::<u8>().cast_const(),
            size_of::<ExpiredRecord>() as u64,
            (*record).header.time_ns,
        );
        if sent {
            take(a);
            take(b);
        }
        sent
    }
}

const _: () = assert!(NO_POINT == 0u8.wrapping_sub(1));
