//! Socket records (type 7): what the load balancer did to a socket's address.
//!
//! There are two layouts and no version to tell them by, only the length: 40 bytes, and 38 in
//! agents before. A perf buffer pads both to 44, so a longer record is read as the current layout,
//! unless that would give impossible values.

use std::net::IpAddr;

use super::{
    CiliumError,
    header::{address_at, fixed, u16_at, u64_at},
};

const KIND: &str = "trace-sock";
/// Length of the current layout.
pub(super) const LENGTH: usize = 40;
const OLD_LENGTH: usize = 38;
const IPV6: u8 = 0x01;

/// A socket's address was translated, or is about to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceSockNotify {
    /// Before or after the translation, and which way; 0 when unknown.
    pub point: u8,
    /// The transport.
    pub protocol: SocketProtocol,
    /// The addresses are IPv6.
    pub is_ipv6: bool,
    /// Port of the other side.
    pub destination_port: u16,
    /// The kernel's number for the socket.
    pub cookie: u64,
    /// The cgroup of the socket's owner.
    pub cgroup_id: u64,
    /// Address of the other side; unspecified when unknown.
    pub destination: Option<IpAddr>,
}

/// The transport of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocketProtocol {
    /// Not told.
    Unknown,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl SocketProtocol {
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Tcp,
            2 => Self::Udp,
            _ => Self::Unknown,
        }
    }
}

impl TraceSockNotify {
    pub(super) fn read(record: &[u8]) -> Result<Self, CiliumError> {
        let old: &[u8; OLD_LENGTH] = fixed(record, KIND)?;
        match record.first_chunk() {
            Some(current) if is_possible(current) || !is_possible_old(record) => {
                Ok(Self::current(current))
            }
            _ => Ok(Self::old(old)),
        }
    }

    /// Layout: type, point, protocol, flags, port, 2 of padding, cookie, cgroup, address.
    fn current(record: &[u8; LENGTH]) -> Self {
        let is_ipv6 = record[3] & IPV6 != 0;
        Self {
            point: record[1],
            protocol: SocketProtocol::from_number(record[2]),
            is_ipv6,
            destination_port: u16_at(record, 4),
            cookie: u64_at(record, 8),
            cgroup_id: u64_at(record, 16),
            destination: address_at(record, 24, is_ipv6),
        }
    }

    /// Layout, without any padding: type, point, address, port, cookie, cgroup, protocol, flags.
    fn old(record: &[u8; OLD_LENGTH]) -> Self {
        let is_ipv6 = record[37] & IPV6 != 0;
        Self {
            point: record[1],
            protocol: SocketProtocol::from_number(record[36]),
            is_ipv6,
            destination_port: u16_at(record, 18),
            cookie: u64_at(record, 20),
            cgroup_id: u64_at(record, 28),
            destination: address_at(record, 2, is_ipv6),
        }
    }
}

fn is_possible(record: &[u8; LENGTH]) -> bool {
    record[2] <= 2 && record[3] <= IPV6 && record[6..8] == [0; 2]
}

/// The old layout with nothing but padding after it.
fn is_possible_old(record: &[u8]) -> bool {
    matches!(record, [_, _, rest @ ..] if rest.len() >= OLD_LENGTH - 2
        && rest[34] <= 2
        && rest[35] <= IPV6
        && rest[36..].iter().all(|&byte| byte == 0))
}
