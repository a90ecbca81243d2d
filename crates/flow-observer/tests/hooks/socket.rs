//! What the kernel calls a socket, its network namespace and its owner.

use std::{
    fs, io,
    mem::MaybeUninit,
    net::{TcpStream, UdpSocket},
    os::{fd::AsRawFd, unix::fs::MetadataExt as _},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use flow_observer::{cgroup::Owner, process::Process};
use nix::libc;
use testbed::Pod;

/// The socket's cookie.
pub(crate) fn cookie(socket: &impl AsRawFd) -> Result<u64> {
    // include/uapi/asm-generic/socket.h
    const SO_COOKIE: libc::c_int = 57;
    number(socket, SO_COOKIE).context("cannot ask for a socket's cookie")
}

/// The cookie of the pod's network namespace.
pub(crate) fn netns_cookie(pod: &Pod) -> Result<u64> {
    // include/uapi/asm-generic/socket.h, Linux 5.14.
    const SO_NETNS_COOKIE: libc::c_int = 71;
    pod.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        number(&socket, SO_NETNS_COOKIE).context("cannot ask for a namespace's cookie")
    })
}

#[expect(unsafe_code, reason = "no library wraps these socket options")]
fn number(socket: &impl AsRawFd, option: libc::c_int) -> io::Result<u64> {
    let mut value = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `value`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// How many segments of the connection the kernel has sent again, by its own count.
#[expect(unsafe_code, reason = "no library wraps this socket option")]
pub(crate) fn retransmitted(socket: &TcpStream) -> Result<u32> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel writes at most `length` bytes to `info`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("cannot ask for a connection's counts");
    }
    // SAFETY: numbers only, for which zeros are as good as what the kernel wrote.
    Ok(unsafe { info.assume_init() }.tcpi_total_retrans)
}

/// This thread, as the programs should see it.
pub(crate) fn this_process() -> Result<Process> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let group = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .context("this process is in no cgroup of version 2")?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let root = mounts
        .lines()
        .find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words.get(2) == Some(&"cgroup2")).then(|| words[1])
        })
        .context("cgroup2 is not mounted")?;
    let name = fs::read_to_string("/proc/thread-self/comm")?;
    Ok(Process {
        pid: std::process::id(),
        name: name.trim_end().into(),
        cgroup_id: fs::metadata(format!("{root}{group}"))?.ino(),
        owner: Owner::of_path(group).map(Arc::new),
    })
}
