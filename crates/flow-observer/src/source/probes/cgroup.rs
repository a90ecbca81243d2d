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
};

use nix::libc;

/// `include/uapi/linux/bpf.h`.
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_F_BEFORE: u32 = 1 << 3;
const BPF_F_AFTER: u32 = 1 << 4;
const BPF_F_PREORDER: u32 = 1 << 6;

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
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let Some(path) = mount_point(&mounts) else {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "cgroup2 is not mounted anywhere: mount it on /sys/fs/cgroup",
        ));
    };
    File::open(path)
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

#[expect(unsafe_code, reason = "aya has no ordered cgroup links")]
fn link_create(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: program.as_raw_fd() as u32,
        cgroup: cgroup.as_raw_fd() as u32,
        attach_type,
        flags,
        ..LinkCreate::default()
    };
    // SAFETY: the kernel reads as many bytes as it is told; both descriptors are open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>(),
        )
    };
    match libc::c_int::try_from(result) {
        // SAFETY: the kernel has just opened it, and nobody else knows of it.
        Ok(link) if link >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(link) }),
        _ => Err(io::Error::last_os_error()),
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
