//! The packet's headers.
//!
//! Walks Ethernet, IP and transport headers, and stops quietly at the first layer it does not
//! know: the flow then tells what was found so far. A layer that it knows and that does not add up
//! makes the packet malformed, unless the capture simply ends there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_filter::TcpFlags;

use crate::record::{Ethernet, Ip, PacketHeaders, Transport};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;

const PROTOCOL_HOP_BY_HOP: u8 = 0;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ICMPV6: u8 = 58;
const PROTOCOL_SCTP: u8 = 132;

/// Why a packet's bytes do not add up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// The packet ends within a header.
    #[error("the packet ends within its {layer} header")]
    Short {
        /// The header.
        layer: &'static str,
    },
    /// A length or version in a header is impossible.
    #[error("impossible {layer} header")]
    Impossible {
        /// The header.
        layer: &'static str,
    },
}

impl PacketError {
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Short { .. } => "short_packet",
            Self::Impossible { .. } => "impossible_header",
        }
    }
}

/// The first header of the captured bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// Ethernet.
    Ethernet,
    /// IP, of whichever version.
    Ip,
}

/// Walks the headers. `cut` tells that the packet went on after the captured bytes.
pub(super) fn dissect(bytes: &[u8], cut: bool, start: Start) -> Result<PacketHeaders, PacketError> {
    let mut headers = PacketHeaders::default();
    match walk(bytes, start, &mut headers) {
        // What lies beyond the capture is not the packet's fault.
        Err(PacketError::Short { .. }) if cut => Ok(headers),
        Err(error) => Err(error),
        Ok(()) => Ok(headers),
    }
}

fn walk(bytes: &[u8], start: Start, headers: &mut PacketHeaders) -> Result<(), PacketError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let (is_ipv6, bytes) = match start {
        Start::Ethernet => {
            let (header, rest) = split::<14>(bytes, "Ethernet")?;
            headers.ethernet = Some(Ethernet {
                source: field(header, 6),
                destination: field(header, 0),
            });
            match u16::from_be_bytes(field(header, 12)) {
                ETHERTYPE_IPV4 => (false, rest),
                ETHERTYPE_IPV6 => (true, rest),
                _ => return Ok(()),
            }
        }
        Start::Ip => (bytes[0] >> 4 == 6, bytes),
    };
    let next = if is_ipv6 {
        ipv6(bytes, headers)?
    } else {
        ipv4(bytes, headers)?
    };
    if let Some((protocol, rest)) = next {
        headers.transport = transport(protocol, rest)?;
    }
    Ok(())
}

/// The transport protocol and its bytes; `None` for a later fragment, which has none.
type Next<'a> = Option<(u8, &'a [u8])>;

fn ipv4<'a>(bytes: &'a [u8], headers: &mut PacketHeaders) -> Result<Next<'a>, PacketError> {
    const LAYER: &str = "IPv4";
    let (header, _) = split::<20>(bytes, LAYER)?;
    let header_len = usize::from(header[0] & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes(field(header, 2)));
    if header[0] >> 4 != 4 || header_len < 20 {
        return Err(PacketError::Impossible { layer: LAYER });
    }
    headers.ip = Some(Ip {
        source: IpAddr::V4(Ipv4Addr::from(field::<4, 20>(header, 12))),
        destination: IpAddr::V4(Ipv4Addr::from(field::<4, 20>(header, 16))),
    });
    let payload = bytes
        .get(header_len..)
        .ok_or(PacketError::Short { layer: LAYER })?;
    // Link layer padding is not payload. A length of 0 stands for a packet that is still to be
    // segmented, and too large for the field.
    let payload = match total_len.checked_sub(header_len) {
        Some(len) => payload.get(..len).unwrap_or(payload),
        None if total_len == 0 => payload,
        None => return Err(PacketError::Impossible { layer: LAYER }),
    };
    let fragment_offset = u16::from_be_bytes([header[6] & 0x1f, header[7]]);
    Ok((fragment_offset == 0).then_some((header[9], payload)))
}

fn ipv6<'a>(bytes: &'a [u8], headers: &mut PacketHeaders) -> Result<Next<'a>, PacketError> {
    const LAYER: &str = "IPv6";
    let (header, payload) = split::<40>(bytes, LAYER)?;
    if header[0] >> 4 != 6 {
        return Err(PacketError::Impossible { layer: LAYER });
    }
    headers.ip = Some(Ip {
        source: IpAddr::V6(Ipv6Addr::from(field::<16, 40>(header, 8))),
        destination: IpAddr::V6(Ipv6Addr::from(field::<16, 40>(header, 24))),
    });
    if header[6] != PROTOCOL_HOP_BY_HOP {
        return Ok(Some((header[6], payload)));
    }
    // The one extension header that ordinary packets carry: multicast listener reports.
    let (extension, _) = split::<8>(payload, "IPv6 hop-by-hop")?;
    let length = 8 + usize::from(extension[1]) * 8;
    let payload = payload.get(length..).ok_or(PacketError::Short {
        layer: "IPv6 hop-by-hop",
    })?;
    Ok(Some((extension[0], payload)))
}

fn transport(protocol: u8, bytes: &[u8]) -> Result<Option<Transport>, PacketError> {
    Ok(Some(match protocol {
        PROTOCOL_TCP => {
            let (header, _) = split::<20>(bytes, "TCP")?;
            if header[12] >> 4 < 5 {
                return Err(PacketError::Impossible { layer: "TCP" });
            }
            Transport::Tcp {
                source_port: u16::from_be_bytes(field(header, 0)),
                destination_port: u16::from_be_bytes(field(header, 2)),
                flags: TcpFlags::from_bits(u16::from_be_bytes(field(header, 12))),
            }
        }
        PROTOCOL_UDP => {
            let (header, _) = split::<8>(bytes, "UDP")?;
            Transport::Udp {
                source_port: u16::from_be_bytes(field(header, 0)),
                destination_port: u16::from_be_bytes(field(header, 2)),
            }
        }
        PROTOCOL_SCTP => {
            let (header, _) = split::<12>(bytes, "SCTP")?;
            Transport::Sctp {
                source_port: u16::from_be_bytes(field(header, 0)),
                destination_port: u16::from_be_bytes(field(header, 2)),
            }
        }
        PROTOCOL_ICMP => {
            let (header, _) = split::<8>(bytes, "ICMPv4")?;
            Transport::Icmpv4 {
                kind: header[0],
                code: header[1],
            }
        }
        PROTOCOL_ICMPV6 => {
            let (header, _) = split::<4>(bytes, "ICMPv6")?;
            Transport::Icmpv6 {
                kind: header[0],
                code: header[1],
            }
        }
        _ => return Ok(None),
    }))
}

fn split<'a, const N: usize>(
    bytes: &'a [u8],
    layer: &'static str,
) -> Result<(&'a [u8; N], &'a [u8]), PacketError> {
    bytes
        .split_first_chunk()
        .ok_or(PacketError::Short { layer })
}

/// The bytes `at..at + N` of a header; both are constants, checked by the tests.
fn field<const N: usize, const HEADER: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Ethernet, IPv4, UDP from 10.0.0.1:1000 to 10.0.0.2:53, no payload.
    pub(crate) fn udp_packet() -> Vec<u8> {
        let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        packet.extend([
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        packet.extend([3, 232, 0, 53, 0, 8, 0, 0]);
        packet
    }

    /// Ethernet, IPv6, TCP SYN+ACK from fd00::1:80 to fd00::2:40000.
    fn tcp6_packet() -> Vec<u8> {
        let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
        packet.extend([0x60, 0, 0, 0, 0, 20, 6, 64]);
        packet.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend([
            0, 80, 0x9c, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12, 0, 0, 0, 0, 0, 0,
        ]);
        packet
    }

    #[test]
    fn udp_over_ipv4_shows_addresses_and_ports() {
        let headers = dissect(&udp_packet(), false, Start::Ethernet).unwrap();
        assert_eq!(headers.ethernet.unwrap().source, [2, 0, 0, 0, 0, 1]);
        assert_eq!(headers.ip.unwrap().destination.to_string(), "10.0.0.2");
        assert_eq!(
            headers.transport,
            Some(Transport::Udp {
                source_port: 1000,
                destination_port: 53
            })
        );
    }

    #[test]
    fn tcp_over_ipv6_shows_its_flags() {
        let headers = dissect(&tcp6_packet(), false, Start::Ethernet).unwrap();
        let Some(Transport::Tcp {
            source_port: 80,
            destination_port: 40000,
            flags,
        }) = headers.transport
        else {
            panic!("{headers:?}");
        };
        assert_eq!(flags, TcpFlags::from_bits(0x12));
    }

    #[test]
    fn a_packet_without_ethernet_starts_with_its_ip_version() {
        for packet in [udp_packet(), tcp6_packet()] {
            let with = dissect(&packet, false, Start::Ethernet).unwrap();
            let without = dissect(&packet[14..], false, Start::Ip).unwrap();
            assert_eq!((with.ip, with.transport), (without.ip, without.transport));
        }
    }

    #[test]
    fn a_later_fragment_has_addresses_but_no_ports() {
        let mut packet = udp_packet();
        packet[14 + 7] = 1;
        let headers = dissect(&packet, false, Start::Ethernet).unwrap();
        assert!(headers.ip.is_some());
        assert_eq!(headers.transport, None);
    }

    #[test]
    fn an_unknown_layer_ends_the_walk_quietly() {
        let mut arp = udp_packet();
        arp[12..14].copy_from_slice(&[8, 6]);
        let headers = dissect(&arp, false, Start::Ethernet).unwrap();
        assert!(headers.ethernet.is_some() && headers.ip.is_none());
        let mut gre = udp_packet();
        gre[14 + 9] = 47;
        let headers = dissect(&gre, false, Start::Ethernet).unwrap();
        assert!(headers.ip.is_some() && headers.transport.is_none());
    }

    #[test]
    fn a_known_layer_that_is_too_short_is_malformed_unless_the_capture_ended_there() {
        for packet in [udp_packet(), tcp6_packet()] {
            for len in 1..packet.len() {
                let whole = dissect(&packet[..len], false, Start::Ethernet);
                assert!(
                    matches!(whole, Err(PacketError::Short { .. })),
                    "{len}: {whole:?}"
                );
                assert!(dissect(&packet[..len], true, Start::Ethernet).is_ok());
            }
        }
    }

    #[test]
    fn padding_after_the_ip_packet_is_no_payload() {
        let mut packet = udp_packet();
        packet[14 + 3] = 24;
        packet.extend([0; 30]);
        let result = dissect(&packet, false, Start::Ethernet);
        assert_eq!(result, Err(PacketError::Short { layer: "UDP" }));
    }
}
