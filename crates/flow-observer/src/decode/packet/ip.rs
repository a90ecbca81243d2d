//! IPv4 and IPv6, with what stands between their headers and the transport.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Network, PacketError, Walk,
    cursor::{field, number},
};
use crate::record::{Fragment, Ip};

const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ROUTING: u8 = 43;
const PROTOCOL_FRAGMENT: u8 = 44;
const PROTOCOL_AUTHENTICATION: u8 = 51;
const PROTOCOL_DESTINATION_OPTIONS: u8 = 60;

/// Extension headers of a packet. RFC 8200 knows each at most once, one of them twice.
const MOST_EXTENSIONS: usize = 8;

impl<const KNOWS_ALL: bool> Walk<'_, KNOWS_ALL> {
    /// Goes to the transport header and tells its protocol; `None` when there is none in this
    /// packet.
    #[inline]
    pub(super) fn network(&mut self, network: Network) -> Result<Option<u8>, PacketError> {
        match network {
            Network::Arp => self.arp().map(|()| None),
            Network::Ipv4 => self.ipv4(),
            Network::Ipv6 => self.ipv6(),
        }
    }

    #[inline]
    fn ipv4(&mut self) -> Result<Option<u8>, PacketError> {
        const LAYER: &str = "IPv4";
        const IMPOSSIBLE: PacketError = PacketError::Impossible { layer: LAYER };
        const MORE_FRAGMENTS: u16 = 0x2000;
        let header = self.cursor.peek::<20>(LAYER)?;
        let header_len = usize::from(header[0] & 0xf) * 4;
        if header[0] >> 4 != 4 || header_len < 20 {
            return Err(IMPOSSIBLE);
        }
        self.dissected.headers.ip = Some(Ip {
            source: IpAddr::V4(Ipv4Addr::from(field::<4, 20>(header, 12))),
            destination: IpAddr::V4(Ipv4Addr::from(field::<4, 20>(header, 16))),
        });
        match usize::from(number(header, 2)) {
            // A packet that is still to be segmented, and too large for the field.
            0 => {}
            len if len < header_len => return Err(IMPOSSIBLE),
            len => self.cursor.limit(len),
        }
        self.cursor.skip(header_len, LAYER)?;
        let fragment = number(header, 6);
        let offset = (fragment & 0x1fff) * 8;
        let more = fragment & MORE_FRAGMENTS != 0;
        let protocol = header[9];
        if (more || offset != 0)
            && !self.begins_fragmented(Fragment {
                id: number(header, 4).into(),
                offset,
                more,
                protocol,
            })
        {
            return Ok(None);
        }
        if protocol == PROTOCOL_AUTHENTICATION && KNOWS_ALL {
            return self.extensions(protocol);
        }
        Ok(Some(protocol))
    }

    #[inline]
    fn ipv6(&mut self) -> Result<Option<u8>, PacketError> {
        const LAYER: &str = "IPv6";
        let header = self.cursor.take::<40>(LAYER)?;
        if header[0] >> 4 != 6 {
            return Err(PacketError::Impossible { layer: LAYER });
        }
        self.dissected.headers.ip = Some(Ip {
            source: IpAddr::V6(Ipv6Addr::from(field::<16, 40>(header, 8))),
            destination: IpAddr::V6(Ipv6Addr::from(field::<16, 40>(header, 24))),
        });
        match number(header, 4) {
            // A packet that is too large for the field.
            0 => {}
            len => self.cursor.limit(usize::from(len)),
        }
        match header[6] {
            PROTOCOL_HOP_BY_HOP
            | PROTOCOL_ROUTING
            | PROTOCOL_FRAGMENT
            | PROTOCOL_AUTHENTICATION
            | PROTOCOL_DESTINATION_OPTIONS
                if KNOWS_ALL =>
            {
                self.extensions(header[6])
            }
            // The one extension header that ordinary packets carry: multicast listener reports.
            PROTOCOL_HOP_BY_HOP => self.options("IPv6 hop-by-hop").map(Some),
            protocol => Ok(Some(protocol)),
        }
    }

    /// Goes over extension headers, and tells what follows the last one.
    fn extensions(&mut self, mut protocol: u8) -> Result<Option<u8>, PacketError> {
        for _ in 0..MOST_EXTENSIONS {
            protocol = match protocol {
                PROTOCOL_HOP_BY_HOP => self.options("IPv6 hop-by-hop")?,
                PROTOCOL_ROUTING => self.options("IPv6 routing")?,
                PROTOCOL_DESTINATION_OPTIONS => self.options("IPv6 destination options")?,
                PROTOCOL_AUTHENTICATION => self.authentication()?,
                PROTOCOL_FRAGMENT => match self.ipv6_fragment()? {
                    Some(protocol) => protocol,
                    None => return Ok(None),
                },
                _ => return Ok(Some(protocol)),
            };
        }
        Ok(None)
    }

    /// The headers that tell their length in units of 8 bytes, without the first.
    fn options(&mut self, layer: &'static str) -> Result<u8, PacketError> {
        let header = self.cursor.take::<8>(layer)?;
        self.cursor.skip(usize::from(header[1]) * 8, layer)?;
        Ok(header[0])
    }

    /// RFC 4302: the length is in units of 4 bytes, without the first two.
    fn authentication(&mut self) -> Result<u8, PacketError> {
        const LAYER: &str = "AH";
        let header = self.cursor.take::<8>(LAYER)?;
        self.cursor.skip(usize::from(header[1]) * 4, LAYER)?;
        Ok(header[0])
    }

    fn ipv6_fragment(&mut self) -> Result<Option<u8>, PacketError> {
        let header = self.cursor.take::<8>("IPv6 fragment")?;
        let (offset, more) = (number(header, 2) & 0xfff8, header[3] & 1 != 0);
        // Offset 0 and no more: the whole packet, by way of a translator (RFC 6946).
        if (more || offset != 0)
            && !self.begins_fragmented(Fragment {
                id: u32::from_be_bytes(field(header, 4)),
                offset,
                more,
                protocol: header[0],
            })
        {
            return Ok(None);
        }
        Ok(Some(header[0]))
    }

    /// Notes a fragment. Whether the transport header is to be expected in it.
    fn begins_fragmented(&mut self, fragment: Fragment) -> bool {
        if !KNOWS_ALL {
            return false;
        }
        self.dissected.headers.fragment = Some(fragment);
        fragment.offset == 0
    }
}
