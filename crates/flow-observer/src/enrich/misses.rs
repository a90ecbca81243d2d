//! Ends of flows that nobody knows: of whose address no provider has told anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::identity::is_world;
use crate::record::{FlowRecord, Party};

/// Carrier-grade NAT (RFC 6598), where some clusters have their pods.
const SHARED: (u32, u32) = (0x6440_0000, 0xffc0_0000);

/// How many such ends there were.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Misses {
    /// With an address of a private network: a workload or a host that somebody should know.
    pub private: u64,
    /// With any other address of one host: usually a part of the world indeed.
    pub public: u64,
}

impl Misses {
    /// Looks at both ends of a flow.
    #[inline]
    pub(crate) fn note(&mut self, flow: &FlowRecord) {
        let Some(ip) = &flow.packet.ip else { return };
        self.note_end(&flow.source, ip.source);
        self.note_end(&flow.destination, ip.destination);
    }

    #[inline]
    fn note_end(&mut self, party: &Party, address: IpAddr) {
        if !is_world(party.identity) {
            return;
        }
        match address.to_canonical() {
            IpAddr::V4(ip) => self.note_v4(ip),
            IpAddr::V6(ip) => self.note_v6(ip),
        }
    }

    fn note_v4(&mut self, ip: Ipv4Addr) {
        let (network, mask) = SHARED;
        if ip.is_private() || ip.is_link_local() || ip.to_bits() & mask == network {
            self.private += 1;
        } else if !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified() {
            self.public += 1;
        }
    }

    fn note_v6(&mut self, ip: Ipv6Addr) {
        if ip.is_unique_local() || ip.is_unicast_link_local() {
            self.private += 1;
        } else if !ip.is_multicast() && !ip.is_unspecified() {
            self.public += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_one_host_are_missed() {
        let world = Party::of(&super::super::identity::reserved(
            super::super::identity::WORLD,
        ));
        for (address, expected) in [
            ("10.0.0.1", (1, 0)),
            ("100.64.0.1", (1, 0)),
            ("100.128.0.1", (0, 1)),
            ("169.254.169.254", (1, 0)),
            ("::ffff:192.168.0.1", (1, 0)),
            ("fd00::1", (1, 0)),
            ("fe80::1", (1, 0)),
            ("192.0.2.1", (0, 1)),
            ("2001:db8::1", (0, 1)),
            ("224.0.0.251", (0, 0)),
            ("255.255.255.255", (0, 0)),
            ("0.0.0.0", (0, 0)),
            ("ff02::1", (0, 0)),
        ] {
            let mut misses = Misses::default();
            misses.note_end(&world, address.parse().unwrap());
            assert_eq!((misses.private, misses.public), expected, "{address}");
        }
        let known = Party::of(&super::super::identity::reserved(
            super::super::identity::HOST,
        ));
        let mut misses = Misses::default();
        misses.note_end(&known, "10.0.0.1".parse().unwrap());
        assert_eq!(misses, Misses::default());
    }
}
