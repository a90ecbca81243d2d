//! The link layer: Ethernet, what may stand between it and the network layer, and ARP.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Network, PacketError, Start, Walk,
    cursor::{field, number},
};
use crate::record::{Arp, Ethernet, Ip};

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(super) const ETHERTYPE_ETHERNET: u16 = 0x6558;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
/// 802.1Q, 802.1ad, and what was in use before there was a standard for stacked tags.
const ETHERTYPES_VLAN: [u16; 4] = [0x8100, 0x88a8, 0x9100, 0x9200];
const ETHERTYPE_MPLS: u16 = 0x8847;
const ETHERTYPE_PPPOE: u16 = 0x8864;
/// Smaller numbers are lengths: an 802.3 frame, whose payload starts with an LLC header.
const SMALLEST_ETHERTYPE: u16 = 0x0600;

/// Headers between Ethernet and the network layer. Two VLAN tags are what networks use; more than
/// a few is somebody who wants to keep us busy.
const MOST_SHIMS: usize = 8;

impl<const KNOWS_ALL: bool> Walk<'_, KNOWS_ALL> {
    /// Goes to the network header; `None` when there is none that is known.
    #[inline]
    pub(super) fn link(&mut self, start: Start) -> Result<Option<Network>, PacketError> {
        let ethertype = match start {
            Start::Ethernet => self.ethernet()?,
            Start::EtherType(ethertype) => ethertype,
            Start::Ip => return self.by_version().map(Some),
            Start::Ipv4 => return Ok(Some(Network::Ipv4)),
            Start::Ipv6 => return Ok(Some(Network::Ipv6)),
        };
        match ethertype {
            ETHERTYPE_IPV4 => Ok(Some(Network::Ipv4)),
            ETHERTYPE_IPV6 => Ok(Some(Network::Ipv6)),
            _ if KNOWS_ALL => self.shims(ethertype),
            _ => Ok(None),
        }
    }

    #[inline]
    fn ethernet(&mut self) -> Result<u16, PacketError> {
        let header = self.cursor.take::<14>("Ethernet")?;
        self.dissected.headers.ethernet = Some(Ethernet {
            source: field(header, 6),
            destination: field(header, 0),
        });
        Ok(number(header, 12))
    }

    fn by_version(&self) -> Result<Network, PacketError> {
        match self.cursor.peek::<1>("IP")?[0] >> 4 {
            4 => Ok(Network::Ipv4),
            6 => Ok(Network::Ipv6),
            _ => Err(PacketError::Impossible { layer: "IP" }),
        }
    }

    /// VLAN tags, MPLS labels, PPPoE and SNAP headers.
    fn shims(&mut self, mut ethertype: u16) -> Result<Option<Network>, PacketError> {
        for _ in 0..MOST_SHIMS {
            ethertype = match ethertype {
                ETHERTYPE_IPV4 => return Ok(Some(Network::Ipv4)),
                ETHERTYPE_IPV6 => return Ok(Some(Network::Ipv6)),
                ETHERTYPE_ARP | ETHERTYPE_RARP => return Ok(Some(Network::Arp)),
                ETHERTYPE_MPLS => return self.mpls(),
                ETHERTYPE_PPPOE => return self.pppoe(),
                tag if ETHERTYPES_VLAN.contains(&tag) => {
                    let tag = self.cursor.take::<4>("VLAN")?;
                    let vlan = &mut self.dissected.headers.vlan;
                    *vlan = vlan.or(Some(number(tag, 0) & 0x0fff));
                    number(tag, 2)
                }
                length if length < SMALLEST_ETHERTYPE => {
                    let header = self.cursor.take::<8>("SNAP")?;
                    // Both service access points SNAP, an unnumbered frame, and the organization
                    // whose numbers are EtherTypes.
                    if header[..6] != [0xaa, 0xaa, 3, 0, 0, 0] {
                        return Ok(None);
                    }
                    // Linux's cooked headers say 4 for a frame of unknown length.
                    if let Some(len @ 1..) = usize::from(length).checked_sub(8) {
                        self.cursor.limit(len);
                    }
                    number(header, 6)
                }
                _ => return Ok(None),
            };
        }
        Ok(None)
    }

    /// A stack of labels. What follows the last one is not told, but IP can be seen from its
    /// version (RFC 4928).
    fn mpls(&mut self) -> Result<Option<Network>, PacketError> {
        const LAST_LABEL: u8 = 1;
        for _ in 0..MOST_SHIMS {
            if self.cursor.take::<4>("MPLS")?[2] & LAST_LABEL != 0 {
                return Ok(self.by_version().ok());
            }
        }
        Ok(None)
    }

    fn pppoe(&mut self) -> Result<Option<Network>, PacketError> {
        const PPP_IPV4: u16 = 0x0021;
        const PPP_IPV6: u16 = 0x0057;
        let header = self.cursor.take::<8>("PPPoE")?;
        Ok(match number(header, 6) {
            PPP_IPV4 => Some(Network::Ipv4),
            PPP_IPV6 => Some(Network::Ipv6),
            _ => None,
        })
    }

    /// RFC 826: two numbers for what the addresses are, their lengths, the operation, then sender
    /// and target, each with its hardware address first.
    pub(super) fn arp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "ARP";
        let header = self.cursor.take::<8>(LAYER)?;
        self.dissected.headers.arp = Some(Arp {
            operation: number(header, 6),
        });
        let (protocol, hardware_len, protocol_len) = (number(header, 2), header[4], header[5]);
        if protocol != ETHERTYPE_IPV4 || protocol_len != 4 {
            return Ok(());
        }
        let mut addresses = [IpAddr::V4(Ipv4Addr::UNSPECIFIED); 2];
        for address in &mut addresses {
            self.cursor.skip(usize::from(hardware_len), LAYER)?;
            *address = IpAddr::from(*self.cursor.take::<4>(LAYER)?);
        }
        let [source, destination] = addresses;
        self.dissected.headers.ip = Some(Ip {
            source,
            destination,
        });
        Ok(())
    }
}
