//! Reading a ring buffer of the kernel (`BPF_MAP_TYPE_RINGBUF`, kernel/bpf/ringbuf.c).
//!
//! ```text
//!   page 0          page 1          from page 2 on
//!   how far we are  how far it is   records ..., each behind a header   (the same pages again)
//!   ours to write   the kernel's    the kernel's                        not mapped here
//! ```
//!
//! The kernel offers its pages of records twice in a row, so that a record which goes on at the
//! beginning of the buffer still lies in one piece. It counts what is mapped as the reader's own
//! memory, used or not, and so would count the buffer twice. We map it once; the few records that
//! are in two pieces are put together in memory of ours.

mod protocol;

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    ptr::NonNull,
    sync::atomic::AtomicUsize,
};

use aya::maps::{MapData, MapError};
use nix::{
    libc,
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    unistd::{SysconfVar, sysconf},
};

use self::protocol::{Area, Cursor};

/// A ring buffer and its one reader.
pub(super) struct RingBuffer {
    cursor: Cursor,
    /// What `cursor` reads.
    _mappings: [Mapping; 2],
    map: MapData,
}

impl RingBuffer {
    #[expect(unsafe_code, reason = "the memory is the kernel's as well")]
    /// Takes a map of this type, of which nobody else has a handle.
    pub(super) fn new(map: MapData) -> Result<Self, MapError> {
        let size = map.info()?.max_entries() as usize;
        let page = page_size()?;
        let map_fd = map.fd().as_fd();
        let read_write = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let ours = Mapping::new(map_fd, 0, page, read_write)?;
        let kernels = Mapping::new(map_fd, page, page + size, ProtFlags::PROT_READ)?;
        let area = Area {
            consumed: ours.start.cast::<AtomicUsize>(),
            produced: kernels.start.cast::<AtomicUsize>(),
            // SAFETY: the mapping is a page and the records, of which there is a page at least.
            records: unsafe { kernels.start.add(page) },
            size,
        };
        Ok(Self {
            // SAFETY: the pages, which are aligned for a word, are mapped for as long as the cursor
            // lives, which is dropped before the mappings. The kernel keeps to its own protocol, and
            // to powers of two for the size. Nobody else reads: the map is not pinned, and its
            // handle was given to us.
            cursor: unsafe { Cursor::new(area) },
            _mappings: [ours, kernels],
            map,
        })
    }

    /// The next record, whole. Its place in the ring is the kernel's again some time after the next
    /// call, at the latest when that finds nothing: only then is it sure that a record that comes
    /// later makes the descriptor readable.
    #[inline]
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        self.cursor.next()
    }

    /// How many times, since somebody last asked, the records that were there had to be skipped
    /// because they did not add up. That takes a broken kernel.
    pub(super) fn take_skips(&mut self) -> u64 {
        std::mem::take(&mut self.cursor.skips)
    }
}

/// Readable when there are records.
impl AsFd for RingBuffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.fd().as_fd()
    }
}

/// Pages of a map, shared with the kernel.
struct Mapping {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

#[expect(unsafe_code, reason = "a pointer is not sent unasked")]
// SAFETY: memory is mapped for all threads alike.
unsafe impl Send for Mapping {}

impl Mapping {
    #[expect(unsafe_code, reason = "the library's function is unsafe, see below")]
    fn new(
        map: BorrowedFd<'_>,
        offset: usize,
        length: usize,
        protection: ProtFlags,
    ) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let length = NonZeroUsize::new(length).ok_or_else(invalid)?;
        let offset = libc::off_t::try_from(offset).map_err(|_| invalid())?;
        // SAFETY: the kernel chooses a place where nothing is. That it changes the pages while we
        // have them is for the user of `start` to bear in mind.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, map, offset)? };
        Ok(Self {
            start: start.cast(),
            length,
        })
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "the library's function is unsafe, see below")]
    fn drop(&mut self) {
        // SAFETY: mapped by `new` at this place and length, and nobody looks at it any more.
        let unmapped = unsafe { munmap(self.start.cast(), self.length.get()) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

fn page_size() -> io::Result<usize> {
    sysconf(SysconfVar::PAGE_SIZE)?
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}
