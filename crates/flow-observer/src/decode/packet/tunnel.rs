//! Packets within UDP packets.

use super::{
    PacketError, Start, Walk,
    cursor::{Cursor, number},
    link::{ETHERTYPE_ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6},
};
use crate::record::{PacketHeaders, Tunnel, TunnelProtocol};

/// The assigned port, and the one that Linux took before there was one, which Flannel and Cilium
/// use to this day.
const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;

/// The tunnel that a UDP packet to this port belongs to, if it is one. The other port is a hash.
#[inline]
pub(super) fn by_port(destination_port: u16) -> Option<TunnelProtocol> {
    match destination_port {
        GENEVE_PORT => Some(TunnelProtocol::Geneve),
        port if VXLAN_PORTS.contains(&port) => Some(TunnelProtocol::Vxlan),
        _ => None,
    }
}

impl<const KNOWS_ALL: bool> Walk<'_, KNOWS_ALL> {
    /// Goes into the tunnel whose header is next: the headers so far become the outer ones, and
    /// those of the inner packet can take their place. `None` when what is inside is of no known
    /// kind.
    ///
    /// # Errors
    /// There is no such tunnel header; the headers so far stay as they are.
    pub(super) fn enter(&mut self, protocol: TunnelProtocol) -> Result<Option<Start>, PacketError> {
        let headers = &mut self.dissected.headers;
        let (Some(ip), Some(transport)) = (headers.ip, headers.transport) else {
            return Ok(None);
        };
        let mut cursor = self.cursor;
        let (vni, inner) = match protocol {
            TunnelProtocol::Geneve => geneve(&mut cursor, KNOWS_ALL)?,
            TunnelProtocol::Vxlan => vxlan(&mut cursor, KNOWS_ALL)?,
        };
        self.cursor = cursor;
        *headers = PacketHeaders {
            vlan: headers.vlan,
            ..PacketHeaders::default()
        };
        self.dissected.tunnel = Some(Tunnel {
            protocol,
            vni,
            ip,
            transport,
        });
        self.dissected.payload = 0..0;
        Ok(inner.filter(|_| !self.cursor.is_at_end()))
    }
}

/// The network's number, and what is inside.
type Inside = (u32, Option<Start>);

/// RFC 7348: flags, reserved, number (3 bytes), reserved.
fn vxlan(cursor: &mut Cursor<'_>, checked: bool) -> Result<Inside, PacketError> {
    const LAYER: &str = "VXLAN";
    const HAS_NUMBER: u8 = 0x08;
    /// Group policy, an extension that Linux knows: a group stands in the reserved bytes.
    const HAS_GROUP: u8 = 0x80;
    let header = cursor.take::<8>(LAYER)?;
    if checked && header[0] & !HAS_GROUP != HAS_NUMBER {
        return Err(PacketError::Impossible { layer: LAYER });
    }
    let vni = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    Ok((vni, Some(Start::Ethernet)))
}

/// RFC 8926: version and length of options in units of 4 bytes, flags, EtherType, number (3 bytes),
/// reserved, options.
fn geneve(cursor: &mut Cursor<'_>, checked: bool) -> Result<Inside, PacketError> {
    const LAYER: &str = "Geneve";
    let header = cursor.take::<8>(LAYER)?;
    if checked && header[0] >> 6 != 0 {
        return Err(PacketError::Impossible { layer: LAYER });
    }
    cursor.skip(usize::from(header[0] & 0x3f) * 4, LAYER)?;
    let vni = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    let inner = match number(header, 2) {
        ETHERTYPE_ETHERNET => Some(Start::Ethernet),
        ETHERTYPE_IPV4 => Some(Start::Ipv4),
        ETHERTYPE_IPV6 => Some(Start::Ipv6),
        _ => None,
    };
    Ok((vni, inner))
}
