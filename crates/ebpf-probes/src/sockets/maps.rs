//! The maps of the programs at the sockets.

use aya_ebpf::{
    macros::map,
    maps::{LruHashMap, PerCpuArray, RingBuf},
};
use probe_events::{BoundPort, ProcessInfo, SocketRecord};

use crate::address::Address;

/// Records on their way to user space. 256 KiB hold some 1,600 translations; they come one for a
/// connection, or one for a datagram of a socket that is not connected.
#[map]
static SOCKET_EVENTS: RingBuf = RingBuf::with_byte_size(256 << 10, 0);

/// Records that found the ring full.
#[map]
static SOCKET_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Who is behind a socket, by its cookie. As many as a busy machine has sockets; the longest
/// unused ones make room.
#[map]
pub(crate) static PROCESSES: LruHashMap<u64, ProcessInfo> = LruHashMap::with_max_entries(32_768, 0);

/// Who is bound to a port.
#[map]
pub(crate) static LISTENERS: LruHashMap<BoundPort, ProcessInfo> =
    LruHashMap::with_max_entries(8_192, 0);

/// The address that a thread's call came with, from a hook's first program to its last: both run
/// on one CPU. A thread that is preempted in between by another with the same slot loses its note,
/// and a translation may go unseen; a table of threads would cost every datagram three times this.
#[map]
static NOTES: PerCpuArray<Note> = PerCpuArray::with_max_entries(NOTES_PER_CPU, 0);
const NOTES_PER_CPU: u32 = 16;

/// What a hook's first program saw.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Note {
    /// The thread that makes the call, 0 when the note was used.
    pub(crate) thread: u64,
    pub(crate) socket_cookie: u64,
    pub(crate) address: Address,
}

/// The slot of a thread's note on this CPU.
#[inline(always)]
pub(crate) fn note_of(thread: u64) -> Option<*mut Note> {
    NOTES.get_ptr_mut(thread as u32 % NOTES_PER_CPU)
}

/// Puts a record into the ring; a full ring is counted.
#[inline(always)]
pub(crate) fn emit(record: SocketRecord) {
    if let Some(mut entry) = SOCKET_EVENTS.reserve::<SocketRecord>(0) {
        entry.write(record);
        entry.submit(0);
    } else if let Some(lost) = SOCKET_LOST.get_ptr_mut(0) {
        // SAFETY: the entry is this CPU's own; a thread that is preempted here loses a count.
        unsafe { *lost += 1 };
    }
}
