//! Which connection it was: from the socket, or from the segment that came in.

use probe_events::TcpLayout;

use crate::kernel::{non_null, read};

const AF_INET6: u16 = 10;

/// A connection, seen from this machine.
pub(crate) struct Connection {
    /// 4 or 6.
    pub(crate) family: u8,
    /// Network order, IPv4 in the first four bytes.
    pub(crate) local: [u8; 16],
    /// As `local`.
    pub(crate) remote: [u8; 16],
    /// Host order.
    pub(crate) local_port: u16,
    /// Host order.
    pub(crate) remote_port: u16,
    /// 0 when unknown.
    pub(crate) socket_cookie: u64,
    /// 0 when unknown.
    pub(crate) netns_cookie: u64,
}

/// The connection of a full socket.
#[inline(always)]
pub(crate) fn of_socket(layout: &TcpLayout, socket: u64) -> Connection {
    let is_v6 = read::<u16>(socket, layout.sock_family) == Some(AF_INET6);
    let (family, local, remote) = if is_v6 {
        (
            6,
            read(socket, layout.sock_local_v6).unwrap_or([0; 16]),
            read(socket, layout.sock_remote_v6).unwrap_or([0; 16]),
        )
    } else {
        (
            4,
            v4(read(socket, layout.sock_local_v4)),
            v4(read(socket, layout.sock_remote_v4)),
        )
    };
    Connection {
        family,
        local,
        remote,
        local_port: u16::from_be(read(socket, layout.sock_local_port).unwrap_or(0)),
        remote_port: u16::from_be(read(socket, layout.sock_remote_port).unwrap_or(0)),
        socket_cookie: read(socket, layout.sock_cookie).unwrap_or(0),
        netns_cookie: netns_of_socket(layout, socket),
    }
}

/// The connection of a received segment, whose destination is here. `socket` is the one that it
/// was for, or 0.
#[inline(always)]
pub(crate) fn of_received(layout: &TcpLayout, skb: u64, socket: u64) -> Option<Connection> {
    let head: u64 = read(skb, layout.skb_head)?;
    let ip = head + u64::from(read::<u16>(skb, layout.skb_network_header)?);
    let tcp = head + u64::from(read::<u16>(skb, layout.skb_transport_header)?);
    let version = read::<u8>(ip, 0)? >> 4;
    let (family, remote, local) = match version {
        4 => (4, v4(read(ip, 12)), v4(read(ip, 16))),
        6 => (6, read(ip, 8)?, read(ip, 24)?),
        _ => return None,
    };
    let (socket_cookie, netns_cookie) = if socket == 0 {
        (0, netns_of_device(layout, skb))
    } else {
        (
            read(socket, layout.sock_cookie).unwrap_or(0),
            netns_of_socket(layout, socket),
        )
    };
    Some(Connection {
        family,
        local,
        remote,
        local_port: u16::from_be(read(tcp, 2)?),
        remote_port: u16::from_be(read(tcp, 0)?),
        socket_cookie,
        netns_cookie,
    })
}

#[inline(always)]
fn v4(address: Option<[u8; 4]>) -> [u8; 16] {
    let [a, b, c, d] = address.unwrap_or([0; 4]);
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[inline(always)]
fn netns_of_socket(layout: &TcpLayout, socket: u64) -> u64 {
    cookie(layout, read(socket, layout.sock_net))
}

/// A segment without a socket was not queued, and still knows its device.
#[inline(always)]
fn netns_of_device(layout: &TcpLayout, skb: u64) -> u64 {
    let device = read(skb, layout.skb_dev).and_then(non_null);
    cookie(
        layout,
        device.and_then(|device| read(device, layout.dev_net)),
    )
}

#[inline(always)]
fn cookie(layout: &TcpLayout, net: Option<u64>) -> u64 {
    net.and_then(non_null)
        .and_then(|net| read(net, layout.net_cookie))
        .unwrap_or(0)
}
