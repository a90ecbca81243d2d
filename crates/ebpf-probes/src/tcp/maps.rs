//! The maps of the programs in TCP.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use probe_events::{HOOK_RECORD_VERSION, KIND_TCP, TcpRecord, TcpTrouble};

use crate::connection::Connection;

/// Records on their way to user space. 256 KiB hold some 3,600: a whole window that is sent again
/// on several connections at once.
#[map]
static TCP_EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// Records that found the ring full.
#[map]
static TCP_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Puts a record into the ring; a full ring is counted.
#[inline(always)]
pub(crate) fn emit(connection: &Connection, trouble: TcpTrouble) {
    let Some(mut entry) = TCP_EVENTS.reserve::<TcpRecord>(0) else {
        if let Some(lost) = TCP_LOST.get_ptr_mut(0) {
            // SAFETY: the entry is this CPU's own.
            unsafe { *lost += 1 };
        }
        return;
    };
    entry.write(TcpRecord {
        kind: KIND_TCP,
        version: HOOK_RECORD_VERSION,
        trouble: trouble as u8,
        family: connection.family,
        source_port: connection.local_port,
        destination_port: connection.remote_port,
        // SAFETY: no arguments, no preconditions.
        time_ns: unsafe { bpf_ktime_get_ns() },
        socket_cookie: connection.socket_cookie,
        netns_cookie: connection.netns_cookie,
        source: connection.local,
        destination: connection.remote,
    });
    entry.submit(0);
}
