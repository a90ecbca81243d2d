//! Reading a whole map, many entries to a system call.
//!
//! Asking for entry after entry takes two calls each; a flow table of 65,536 entries would cost a
//! tenth of a second every second.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use nix::libc;
use probe_events::{FlowKey, FlowState};

/// `BPF_MAP_LOOKUP_BATCH` (include/uapi/linux/bpf.h, Linux 5.6).
const LOOKUP_BATCH: libc::c_int = 24;
/// Entries per call, for which memory is kept: 200 KiB. A bucket of the map must fit whole; they hold
/// a few entries each.
const BATCH: usize = 1024;

/// The part of `union bpf_attr` that belongs to the call.
#[repr(C)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Reads flow tables; keeps its buffers.
pub(super) struct FlowTableReader {
    keys: Vec<FlowKey>,
    values: Vec<FlowState>,
}

impl FlowTableReader {
    pub(super) fn new() -> Self {
        Self {
            keys: vec![FlowKey::default(); BATCH],
            values: vec![FlowState::default(); BATCH],
        }
    }

    /// Hands every entry to `each`. One that comes or goes meanwhile may be among them or not.
    pub(super) fn read(
        &mut self,
        map: BorrowedFd<'_>,
        mut each: impl FnMut(&FlowKey, &FlowState),
    ) -> io::Result<()> {
        // The kernel's bookmark: where the next batch begins.
        let mut bookmark = 0u32;
        let mut is_first = true;
        loop {
            let (count, is_last) = self.batch(map, &mut bookmark, is_first)?;
            is_first = false;
            for (key, value) in self.keys.iter().zip(&self.values).take(count) {
                each(key, value);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    #[expect(unsafe_code, reason = "no library wraps this system call")]
    fn batch(
        &mut self,
        map: BorrowedFd<'_>,
        bookmark: &mut u32,
        is_first: bool,
    ) -> io::Result<(usize, bool)> {
        let mark = std::ptr::from_mut(bookmark) as u64;
        let mut attributes = Attributes {
            in_batch: if is_first { 0 } else { mark },
            out_batch: mark,
            keys: self.keys.as_mut_ptr() as u64,
            values: self.values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map_fd: map.as_raw_fd() as u32,
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffers hold BATCH entries of the map's key and value size, and their types
        // are plain numbers; the kernel writes nowhere else but to the bookmark and `count`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                LOOKUP_BATCH,
                &raw mut attributes,
                size_of::<Attributes>(),
            )
        };
        let count = (attributes.count as usize).min(BATCH);
        if result == 0 {
            return Ok((count, false));
        }
        match io::Error::last_os_error() {
            // Past the last bucket.
            error if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, true)),
            error => Err(error),
        }
    }
}
