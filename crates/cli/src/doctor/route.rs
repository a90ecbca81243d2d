//! Whether this machine knows a way to an address, without sending anything there.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use super::report::{Failure, Step};
use crate::source::reason;

/// Those of the addresses that there is a way to.
pub(super) fn routed(addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
    let mut routed = Vec::new();
    let mut refused = None;
    for address in addresses {
        match route(address) {
            Ok(()) => routed.push(*address),
            Err(error) => refused = Some((address.ip(), error)),
        }
    }
    match refused {
        Some((ip, error)) if routed.is_empty() => Err(Failure::new(
            Step::Route,
            format!("no way to {ip}: {}", reason(&error)),
        )
        .next(format!("see 'ip route get {ip}'"))),
        _ => Ok(routed),
    }
}

/// The kernel looks for the route of a datagram socket as it learns the other side's address.
fn route(address: &SocketAddr) -> io::Result<()> {
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    UdpSocket::bind(any)?.connect(address)
}
