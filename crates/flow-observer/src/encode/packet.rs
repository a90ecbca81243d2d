//! The headers of a packet as messages.

use std::net::IpAddr;

use flow_api::flow::{IpVersion, tunnel::Protocol};

use super::{
    Select, Writer,
    flow::{put_pair, put_part},
};
use crate::record::{Ethernet, FlowRecord, Ip, Observation, Transport, Tunnel, TunnelProtocol};

pub(super) fn put_ethernet(ethernet: Ethernet, select: impl Select, writer: &mut Writer<'_>) {
    if select.has(1) {
        writer.mac(1, ethernet.source);
    }
    if select.has(2) {
        writer.mac(2, ethernet.destination);
    }
}

/// `flow.IP`; an address that is not there is an empty text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    version: IpVersion,
    encrypted: bool,
    source_translated: Option<IpAddr>,
}

impl From<Ip> for Addresses {
    fn from(ip: Ip) -> Self {
        Self {
            source: Some(ip.source),
            destination: Some(ip.destination),
            version: if ip.source.is_ipv4() {
                IpVersion::IPv4
            } else {
                IpVersion::IPv6
            },
            encrypted: false,
            source_translated: None,
        }
    }
}

impl Addresses {
    pub(super) fn put(self, select: impl Select, writer: &mut Writer<'_>) {
        let address = |writer: &mut Writer<'_>, field, address| {
            if let Some(address) = address
                && select.has(field)
            {
                writer.address(field, address);
            }
        };
        address(writer, 1, self.source);
        address(writer, 2, self.destination);
        if select.has(3) {
            writer.signed(3, i32::from(self.version).into());
        }
        if select.has(4) {
            writer.flag(4, self.encrypted);
        }
        address(writer, 5, self.source_translated);
    }
}

/// The addresses with what is known beyond the packet: the source before it was translated, and
/// whether the packet was encrypted on its way.
#[inline]
pub(super) fn addresses(record: &FlowRecord) -> Option<Addresses> {
    let mut addresses = Addresses::from(record.packet.ip?);
    if let Some(original) = record.original_source() {
        addresses.source_translated = addresses.source.replace(original);
    }
    match record.observation {
        Observation::Trace { encrypted, .. } => addresses.encrypted = encrypted,
        Observation::Socket { .. } => {
            // A socket may have no address of its own yet.
            let is_known = |ip: &IpAddr| !ip.is_unspecified();
            addresses.source = addresses.source.filter(is_known);
            addresses.destination = addresses.destination.filter(is_known);
        }
        _ => {}
    }
    Some(addresses)
}

/// A transport header, and whether it was one of a packet: those have flags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    transport: Transport,
    has_flags: bool,
}

#[inline]
pub(super) fn transport(record: &FlowRecord) -> Option<Header> {
    Some(Header {
        transport: record.packet.transport?,
        has_flags: !matches!(record.observation, Observation::Socket { .. }),
    })
}

/// `flow.Layer4`: one of its fields, by protocol.
#[inline]
pub(super) fn put_layer4<S: Select>(header: Header, select: S, writer: &mut Writer<'_>) {
    let number = match header.transport {
        Transport::Tcp { .. } => 1,
        Transport::Udp { .. } => 2,
        Transport::Icmpv4 { .. } => 3,
        Transport::Icmpv6 { .. } => 4,
        Transport::Sctp { .. } => 5,
        Transport::Vrrp { .. } => 6,
        Transport::Igmp { .. } => 7,
    };
    if select.is_parts() {
        // Those that a mask asks for and the packet does not have: before the one that it has, since
        // the last one counts.
        for other in (1..=7).filter(|&other| other != number) {
            put_part::<(), _>(writer, select, other, None, |(), _, _| {});
        }
    }
    put_part(writer, select, number, Some(header), put_transport);
}

#[inline]
fn put_transport<S: Select>(header: Header, select: S, writer: &mut Writer<'_>) {
    match header.transport {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => {
            put_pair(
                writer,
                select,
                [source_port.into(), destination_port.into()],
            );
            let bits = header.has_flags.then_some(flags.bits());
            put_part(writer, select, 3, bits, put_tcp_flags);
        }
        Transport::Udp {
            source_port,
            destination_port,
        }
        | Transport::Sctp {
            source_port,
            destination_port,
            ..
        } => put_pair(
            writer,
            select,
            [source_port.into(), destination_port.into()],
        ),
        Transport::Icmpv4 { kind, code } | Transport::Icmpv6 { kind, code } => {
            put_pair(writer, select, [kind.into(), code.into()]);
        }
        Transport::Vrrp {
            kind, id, priority, ..
        } => {
            put_pair(writer, select, [kind.into(), id.into()]);
            if select.has(3) {
                writer.number(3, priority.into());
            }
        }
        Transport::Igmp { kind, group } => {
            if select.has(1) {
                writer.number(1, kind.into());
            }
            if select.has(2) {
                writer.address(2, group.into());
            }
        }
    }
}

/// `flow.TCPFlags`: fields 1 to 9 are bits 0 to 8 of the header.
#[inline]
fn put_tcp_flags(bits: u16, select: impl Select, writer: &mut Writer<'_>) {
    for field in 1..=9 {
        if bits >> (field - 1) & 1 != 0 && select.has(field) {
            writer.flag(field, true);
        }
    }
}

pub(super) fn put_tunnel<S: Select>(tunnel: &Tunnel, select: S, writer: &mut Writer<'_>) {
    if select.has(1) {
        let protocol = match tunnel.protocol {
            TunnelProtocol::Geneve => Protocol::Geneve,
            TunnelProtocol::Vxlan => Protocol::Vxlan,
        };
        writer.signed(1, i32::from(protocol).into());
    }
    put_part(
        writer,
        select,
        2,
        Some(Addresses::from(tunnel.ip)),
        |ip, part, writer| {
            ip.put(part, writer);
        },
    );
    let header = Header {
        transport: tunnel.transport,
        has_flags: true,
    };
    put_part(writer, select, 3, Some(header), put_layer4);
    if select.has(4) {
        writer.number(4, tunnel.vni.into());
    }
}
