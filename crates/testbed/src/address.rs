//! The address plan: position in the [`Spec`](crate::Spec) -> addresses.
//!
//! ```text
//! fabric   192.168.50.0/24    fd00:50::/64      node n: .10+n, ::10+n (hexadecimal)
//! pods     10.1.n.0/24        fd00:1:n::/64     bridge: .1, ::1; pod k (from 0): .10+k, ::10+k
//! services 10.96.0.0/16       fd00:96::/64      service k (from 0): .10+k, ::10+k; on no device
//! outside  203.0.113.0/24     2001:db8:50::/64  host k (from 0): .10+k, ::10+k; on the fabric's wire
//! ```
//! Clusters run in network namespaces, so that two of them may use the same addresses at once.

use std::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 and an IPv6 address of the same interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pair {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
}

/// Prefix lengths of every network in the plan.
pub(crate) const V4_PREFIX: u8 = 24;
pub(crate) const V6_PREFIX: u8 = 64;

/// Node `number` (from 1) on the fabric.
pub(crate) fn node(number: u8) -> Pair {
    Pair {
        v4: Ipv4Addr::new(192, 168, 50, 10 + number),
        v6: Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, 0x10 + u16::from(number)),
    }
}

/// The pod network of node `number`.
pub(crate) fn pod_network(number: u8) -> Pair {
    pod_host(number, 0, 0)
}

/// The bridge of node `number`: its pods' default gateway.
pub(crate) fn gateway(number: u8) -> Pair {
    pod_host(number, 1, 1)
}

/// Pod `index` (from 0) of node `number`.
pub(crate) fn pod(number: u8, index: u8) -> Pair {
    pod_host(number, 10 + index, 0x10 + u16::from(index))
}

/// Host `index` (from 0) outside the cluster.
pub(crate) fn outside(index: u8) -> Pair {
    outside_host(10 + index, 0x10 + u16::from(index))
}

/// Service `index` (from 0).
pub(crate) fn service(index: u8) -> Pair {
    Pair {
        v4: Ipv4Addr::new(10, 96, 0, 10 + index),
        v6: Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10 + u16::from(index)),
    }
}

/// The network of everything outside.
pub(crate) fn outside_network() -> Pair {
    outside_host(0, 0)
}

fn outside_host(v4: u8, v6: u16) -> Pair {
    Pair {
        v4: Ipv4Addr::new(203, 0, 113, v4),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0x50, 0, 0, 0, 0, v6),
    }
}

fn pod_host(number: u8, v4: u8, v6: u16) -> Pair {
    Pair {
        v4: Ipv4Addr::new(10, 1, number, v4),
        v6: Ipv6Addr::new(0xfd00, 1, u16::from(number), 0, 0, 0, 0, v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pod_of_the_first_node_has_the_documented_addresses() {
        let first = pod(1, 0);
        assert_eq!(first.v4.to_string(), "10.1.1.10");
        assert_eq!(first.v6.to_string(), "fd00:1:1::10");
        assert_eq!(node(1).v4.to_string(), "192.168.50.11");
        assert_eq!(node(1).v6.to_string(), "fd00:50::11");
    }
}
