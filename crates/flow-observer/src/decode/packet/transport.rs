//! The transport layer.

use std::net::Ipv4Addr;

use flow_filter::TcpFlags;

use super::{
    PacketError, Walk,
    cursor::{field, number},
    tunnel,
};
use crate::record::Transport;

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_IGMP: u8 = 2;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
const PROTOCOL_VRRP: u8 = 112;
const PROTOCOL_SCTP: u8 = 132;

impl<const KNOWS_ALL: bool> Walk<'_, KNOWS_ALL> {
    /// Reads the transport header, if it is a known one. What can be told of a header that is cut
    /// or impossible is told all the same.
    #[inline]
    pub(super) fn transport(&mut self, protocol: u8) -> Result<(), PacketError> {
        match protocol {
            PROTOCOL_TCP => self.tcp()?,
            PROTOCOL_UDP => self.udp()?,
            PROTOCOL_SCTP => self.sctp()?,
            PROTOCOL_ICMP => self.icmpv4()?,
            PROTOCOL_ICMPV6 => self.icmpv6()?,
            PROTOCOL_IGMP => self.igmp()?,
            PROTOCOL_VRRP => self.vrrp()?,
            _ => return Ok(()),
        }
        self.dissected.payload = self.cursor.position()..self.cursor.end();
        Ok(())
    }

    #[inline]
    fn set(&mut self, transport: Transport) {
        self.dissected.headers.transport = Some(transport);
    }

    #[inline]
    fn tcp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "TCP";
        const SYN: u16 = 0x02;
        let (source_port, destination_port) = self.ports(LAYER)?;
        let offset_and_flags = match self.cursor.peek::<14>(LAYER) {
            Ok(header) => number(header, 12),
            Err(_) => 0,
        };
        self.set(Transport::Tcp {
            source_port,
            destination_port,
            flags: TcpFlags::from_bits(offset_and_flags),
        });
        let header = self.cursor.take::<20>(LAYER)?;
        // What opens a connection has a number of its own, before that of the first byte.
        let opening = u32::from(offset_and_flags & SYN != 0);
        self.dissected.sequence = u32::from_be_bytes(field(header, 4)).wrapping_add(opening);
        self.dissected.acknowledgment = u32::from_be_bytes(field(header, 8));
        let options = usize::from(offset_and_flags >> 12)
            .checked_sub(5)
            .ok_or(PacketError::Impossible { layer: LAYER })?;
        self.cursor.skip(options * 4, LAYER)
    }

    #[inline]
    fn udp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "UDP";
        let (source_port, destination_port) = self.ports(LAYER)?;
        self.set(Transport::Udp {
            source_port,
            destination_port,
        });
        let header = self.cursor.take::<8>(LAYER)?;
        match usize::from(number(header, 4)) {
            // Too large for the field (RFC 2675), or still to be segmented.
            0 => {}
            len if len < 8 => return Err(PacketError::Impossible { layer: LAYER }),
            len => self.cursor.limit(len - 8),
        }
        if KNOWS_ALL {
            self.tunnel = tunnel::by_port(destination_port);
        }
        Ok(())
    }

    fn sctp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "SCTP";
        let header = self.cursor.take::<12>(LAYER)?;
        let chunk = self.cursor.peek::<1>(LAYER).ok().map(|&[kind]| kind);
        self.set(Transport::Sctp {
            source_port: number(header, 0),
            destination_port: number(header, 2),
            chunk,
        });
        Ok(())
    }

    /// What TCP and UDP begin with.
    #[inline]
    fn ports(&self, layer: &'static str) -> Result<(u16, u16), PacketError> {
        let ports = self.cursor.peek::<4>(layer)?;
        Ok((number(ports, 0), number(ports, 2)))
    }

    fn icmpv4(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "ICMPv4";
        let [kind, code] = *self.cursor.peek(LAYER)?;
        self.set(Transport::Icmpv4 { kind, code });
        self.cursor.take::<8>(LAYER)?;
        Ok(())
    }

    fn icmpv6(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "ICMPv6";
        let [kind, code] = *self.cursor.peek(LAYER)?;
        self.set(Transport::Icmpv6 { kind, code });
        self.cursor.take::<4>(LAYER)?;
        Ok(())
    }

    fn igmp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "IGMP";
        const V3_REPORT: u8 = 0x22;
        let header = self.cursor.peek::<8>(LAYER)?;
        let mut group = field(header, 4);
        // A report of version 3 has counts in that place, and then any number of groups, of which
        // a flow can show the first.
        if header[0] == V3_REPORT && KNOWS_ALL {
            group = match self.cursor.peek::<16>(LAYER) {
                Ok(report) => field(report, 12),
                Err(_) => [0; 4],
            };
        }
        self.set(Transport::Igmp {
            kind: header[0],
            group: Ipv4Addr::from(group),
        });
        self.cursor.take::<8>(LAYER)?;
        Ok(())
    }

    /// Versions 2 (RFC 3768) and 3 (RFC 9568) agree on the first bytes. Hubble takes all for
    /// version 2.
    fn vrrp(&mut self) -> Result<(), PacketError> {
        const LAYER: &str = "VRRP";
        const ADVERTISEMENT: u8 = 1;
        let header = self.cursor.take::<8>(LAYER)?;
        let (version, kind) = (header[0] >> 4, header[0] & 0xf);
        let addresses = usize::from(header[3]);
        if !KNOWS_ALL {
            if kind != ADVERTISEMENT || addresses == 0 {
                return Err(PacketError::Impossible { layer: LAYER });
            }
            self.cursor.skip(addresses * 4, LAYER)?;
        }
        self.set(Transport::Vrrp {
            version: if KNOWS_ALL { version } else { 2 },
            kind,
            id: header[1],
            priority: header[2],
        });
        Ok(())
    }
}
