//! The netlink sockets to the kernel's connection tracking.

use std::{
    io::{self, ErrorKind},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    libc::{self, NFNL_SUBSYS_CTNETLINK, NLM_F_DUMP, NLM_F_REQUEST, sock_filter, sock_fprog},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom,
        send, setsockopt, socket, sockopt::RcvBufForce,
    },
};

use super::{filter, message::CT_GET};

/// Groups of new connections and of those that end (`NFNLGRP_CONNTRACK_NEW`, `…_DESTROY`).
const GROUPS: u32 = 1 << 0 | 1 << 2;

/// Opens a socket to which the kernel tells of translated connections that begin and end. What the
/// agent has not read yet takes at most `buffer_bytes`.
pub(super) fn news(buffer_bytes: usize) -> io::Result<OwnedFd> {
    let socket = open()?;
    setsockopt(&socket, RcvBufForce, &buffer_bytes)?;
    attach(&socket, &filter::without_untranslated())?;
    // After the filter, so that nothing comes that it would have kept out.
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    Ok(socket)
}

/// Opens a socket to ask for the whole table.
pub(super) fn questions() -> io::Result<OwnedFd> {
    let socket = open()?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// Asks for the whole table. It comes piece by piece, as it is read.
pub(super) fn ask(socket: &OwnedFd) -> io::Result<()> {
    const MESSAGE_BYTES: u32 = 20;
    let kind = u16::from_le_bytes([CT_GET, NFNL_SUBSYS_CTNETLINK as u8]);
    let flags = (NLM_F_REQUEST | NLM_F_DUMP) as u16;
    // `struct nlmsghdr` with neither number nor sender, and `struct nfgenmsg` for both families.
    let mut message = [0; MESSAGE_BYTES as usize];
    message[..4].copy_from_slice(&MESSAGE_BYTES.to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    send(socket.as_raw_fd(), &message, MsgFlags::empty())?;
    Ok(())
}

/// What came of reading.
pub(super) enum Read {
    /// So many bytes.
    Datagram(usize),
    /// There is nothing.
    Nothing,
    /// The kernel had more to say than there was room for, and threw it away.
    Overrun,
}

/// Reads what is there, without waiting.
pub(super) fn read(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Read> {
    loop {
        match recvfrom::<NetlinkAddr>(socket.as_raw_fd(), buffer) {
            // Others than the kernel may write to us, too, if they are privileged.
            Ok((length, Some(sender))) if sender.pid() == 0 => return Ok(Read::Datagram(length)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(Read::Nothing),
            Err(Errno::ENOBUFS) => return Ok(Read::Overrun),
            Err(error) => return Err(error.into()),
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkNetFilter,
    )?)
}

#[expect(unsafe_code, reason = "no library wraps this socket option")]
fn attach(socket: &OwnedFd, filter: &[sock_filter]) -> io::Result<()> {
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| ErrorKind::InvalidInput)?,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: the descriptor is open, and the kernel copies the program, whose instructions are as
    // many as it says and outlive the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
