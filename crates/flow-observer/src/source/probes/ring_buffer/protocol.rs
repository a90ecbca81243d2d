//! What the kernel and a reader agreed on: where records lie, and when.
//!
//! Both ends tell how many bytes they are through with, since the beginning of time; the place in
//! the buffer is what is left of that number when it is divided by the size. A record is a header of
//! eight bytes, of which the first four hold the length and two flags, and then its bytes, up to the
//! next multiple of eight.
//!
//! ```text
//! writer: header with BUSY -> `produced` (release) -> bytes -> header without BUSY (ordered)
//! reader: `produced` (acquire) -> header (acquire) -> bytes -> `consumed` (release)
//! ```
#![expect(unsafe_code, reason = "the memory is the kernel's as well")]

use std::{
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence},
};

/// `BPF_RINGBUF_HDR_SZ` (include/uapi/linux/bpf.h).
const HEADER: usize = 8;
/// `BPF_RINGBUF_BUSY_BIT`: the record is being written.
const BUSY: u32 = 1 << 31;
/// `BPF_RINGBUF_DISCARD_BIT`: its writer thought better of it.
const DISCARDED: u32 = 1 << 30;
/// Records begin at multiples of this.
const UNIT: usize = 8;
/// Room is given back after so many parts of the buffer: a word that both ends use costs whoever
/// looks at it next, which is the writer at each record.
const PARTS: usize = 256;

/// The memory that both ends share.
pub(super) struct Area {
    /// Where we say how far we are.
    pub(super) consumed: NonNull<AtomicUsize>,
    /// Where the kernel says how far it is.
    pub(super) produced: NonNull<AtomicUsize>,
    pub(super) records: NonNull<u8>,
    /// Bytes at `records`, a power of two.
    pub(super) size: usize,
}

/// The reader's place.
pub(super) struct Cursor {
    area: Area,
    /// Bytes that we are through with, the record that was handed out among them.
    position: usize,
    /// As much of that as the kernel was told.
    told: usize,
    /// The kernel knows `position`, and there was nothing behind it after it did.
    is_settled: bool,
    /// How far the kernel was when we last looked.
    produced: usize,
    /// The last record that was in two pieces. As large as the largest of them.
    joined: Vec<u8>,
    pub(super) skips: u64,
}

// SAFETY: the pointers are to memory that no thread has for itself; it is read by one at a time.
unsafe impl Send for Cursor {}

enum Found {
    Record { at: usize, length: usize },
    Discarded,
    Nothing,
}

impl Cursor {
    /// # Safety
    /// For as long as the cursor lives, the pointers are valid and aligned for what they point to,
    /// `records` for eight bytes; `size` bytes can be read there, which is a power of two and not
    /// less than eight; whoever else has the memory keeps to the protocol; and nobody else reads it.
    pub(super) unsafe fn new(area: Area) -> Self {
        // SAFETY: the caller's.
        let position = unsafe { area.consumed.as_ref() }.load(Ordering::Relaxed);
        Self {
            area,
            position,
            told: position,
            is_settled: false,
            produced: position,
            joined: Vec::new(),
            skips: 0,
        }
    }

    /// The next record. See [`super::RingBuffer::next`].
    #[inline]
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.position.wrapping_sub(self.told) >= self.area.size / PARTS {
            self.tell();
        }
        loop {
            match self.find() {
                Found::Record { at, length } => return Some(self.bytes(at, length)),
                Found::Discarded => {}
                Found::Nothing if self.is_settled => return None,
                Found::Nothing => {
                    // The kernel makes the descriptor readable when it finishes the very record
                    // that we are to read next. So it must know which one that is before we go; and
                    // what it finished before it knew, we must see. The barrier keeps the second
                    // look behind the telling; the kernel's own is in how it finishes a record.
                    self.tell();
                    fence(Ordering::SeqCst);
                    self.is_settled = true;
                }
            }
        }
    }

    /// Says how far we are. What lies before is the kernel's again.
    fn tell(&mut self) {
        self.told = self.position;
        // SAFETY: as `new` was promised.
        let consumed = unsafe { self.area.consumed.as_ref() };
        consumed.store(self.position, Ordering::Release);
    }

    /// Looks at what is next, and steps over it.
    #[inline]
    fn find(&mut self) -> Found {
        if self.position == self.produced {
            // SAFETY: as `new` was promised.
            self.produced = unsafe { self.area.produced.as_ref() }.load(Ordering::Acquire);
            if self.position == self.produced {
                return Found::Nothing;
            }
        }
        let at = self.place(self.position);
        // SAFETY: as `new` was promised; a place is a multiple of eight, and less than the size.
        let header = unsafe { self.area.records.add(at).cast::<AtomicU32>().as_ref() };
        let header = header.load(Ordering::Acquire);
        if header & BUSY != 0 {
            return Found::Nothing;
        }
        let length = (header & !(BUSY | DISCARDED)) as usize;
        let taken = (HEADER + length).next_multiple_of(UNIT);
        self.is_settled = false;
        if taken
            > self
                .produced
                .wrapping_sub(self.position)
                .min(self.area.size)
        {
            // Where the next record begins cannot be known.
            self.position = self.produced;
            self.skips += 1;
            return Found::Discarded;
        }
        self.position = self.position.wrapping_add(taken);
        if header & DISCARDED != 0 {
            return Found::Discarded;
        }
        Found::Record {
            at: self.place(self.position.wrapping_sub(taken - HEADER)),
            length,
        }
    }

    /// Where the byte lies that is so many bytes from the beginning of time: aligned, and in bounds.
    #[inline]
    fn place(&self, position: usize) -> usize {
        position & (self.area.size - UNIT)
    }

    /// The bytes of a record. `length` is less than the size, as `find` has made sure.
    #[inline]
    fn bytes(&mut self, at: usize, length: usize) -> &[u8] {
        let until_end = self.area.size - at;
        if length <= until_end {
            // SAFETY: in bounds, as tested. The kernel leaves what it has finished alone until it
            // is told that we are through with it, for which `self` is needed again.
            return unsafe { slice::from_raw_parts(self.area.records.add(at).as_ptr(), length) };
        }
        // SAFETY: as above; the first piece is as long as there is room, the second less than the
        // whole, which is less than the size.
        let (first, second) = unsafe {
            (
                slice::from_raw_parts(self.area.records.add(at).as_ptr(), until_end),
                slice::from_raw_parts(self.area.records.as_ptr(), length - until_end),
            )
        };
        self.joined.clear();
        self.joined.extend_from_slice(first);
        self.joined.extend_from_slice(second);
        &self.joined
    }
}

#[cfg(test)]
mod tests;
