//! The root of cgroup v2, and links there whose place in the order is chosen.
//!
//! Cgroup programs run in the order they were attached, those of a child group before its
//! parent's. Newer kernels let a program choose: `BPF_F_PREORDER` (Linux 6.15) runs it before all
//! that did not, `BPF_F_BEFORE` and `BPF_F_AFTER` (6.17) order those of one group. `aya` knows
//! neither.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    path::PathBuf,
};

use nix::libc;

/// `include/uapi/linux/bpf.h`.
const BPF_PROG_QUERY: libc::c_int = 16;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_F_QUERY_EFFECTIVE: u32 = 1;
const BPF_F_BEFORE: u32 = 1 << 3;
const BPF_F_AFTER: u32 = 1 << 4;
const BPF_F_PREORDER: u32 = 1 << 6;

/// `BPF_CGROUP_MAX_PROGS`, for each group and hook; at the root, its own are all.
const MAX_PROGRAMS: usize = 64;

/// A place among the programs of a hook.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Before all that are attached, in the whole tree.
    First,
    /// After them, as far as the kernel can tell.
    Last,
}

impl Place {
    /// Flags that ask for the place, the best first. At the root of the tree, where each program
    /// that is added comes last, asking for nothing is the next best way to be last.
    fn flags(self) -> [u32; 2] {
        match self {
            Self::First => [BPF_F_PREORDER | BPF_F_BEFORE, BPF_F_PREORDER],
            Self::Last => [BPF_F_AFTER, 0],
        }
    }
}

/// Opens the root of cgroup v2, wherever it is mounted.
pub(super) fn open_root() -> io::Result<File> {
    File::open(mounted_at()?)
}

/// Where cgroup v2 is mounted.
pub(super) fn mounted_at() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    match mount_point(&mounts) {
        Some(path) => Ok(path.into()),
        None => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "cgroup2 is not mounted anywhere: mount it on /sys/fs/cgroup",
        )),
    }
}

/// Where a file system of type `cgroup2` is mounted: `device path type options 0 0`.
fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let path = words.nth(1)?;
        (words.next() == Some("cgroup2")).then_some(path)
    })
}

/// Attaches a program; it is detached when the link is closed.
///
/// # Errors
/// `EINVAL` from a kernel that cannot order cgroup programs.
pub(super) fn link(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    place: Place,
) -> io::Result<OwnedFd> {
    let [best, next_best] = place.flags();
    match link_create(program, cgroup, attach_type, best) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            link_create(program, cgroup, attach_type, next_best)
        }
        result => result,
    }
}

/// The programs of a hook at the root, in the order in which they run there, by number.
pub(super) fn programs(cgroup: BorrowedFd<'_>, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; MAX_PROGRAMS];
    let mut attributes = Query {
        cgroup: cgroup.as_raw_fd() as u32,
        attach_type,
        flags: BPF_F_QUERY_EFFECTIVE,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_PROGRAMS as u32,
        ..Query::default()
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    let count = (attributes.count as usize).min(MAX_PROGRAMS);
    Ok(ids[..count].to_vec())
}

/// The part of `union bpf_attr` that `BPF_PROG_QUERY` reads and writes for cgroups.
#[repr(C)]
#[derive(Default)]
struct Query {
    cgroup: u32,
    attach_type: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
    program_attach_flags: u64,
}

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads for cgroups.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    cgroup: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    expected_revision: u64,
}

fn link_create(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        program: program.as_raw_fd() as u32,
        cgroup: cgroup.as_raw_fd() as u32,
        attach_type,
        flags,
        ..LinkCreate::default()
    };
    own(bpf(BPF_LINK_CREATE, &mut attributes)?)
}

#[expect(
    unsafe_code,
    reason = "a descriptor that the kernel hands out as a number"
)]
fn own(link: libc::c_long) -> io::Result<OwnedFd> {
    let link = libc::c_int::try_from(link).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for this process, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// The system call. `attributes` is what its command reads, and maybe writes.
#[expect(unsafe_code, reason = "aya has no ordered cgroup links")]
fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads and writes as many bytes as it is told, all of `attributes`, and
    // what that points to is as long as it says there.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            core::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_beside_the_older_hierarchies() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(mount_point(mounts), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("tmpfs /run tmpfs rw 0 0\n"), None);
    }
}
