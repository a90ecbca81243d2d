//! One line about the innermost known header, as Hubble words it.

use std::borrow::Cow;

use flow_filter::TcpFlags;

use crate::record::{Arp, FlowRecord, Observation, PacketHeaders, Transport};

/// The text of `Flow.Summary`. For a drop by the kernel, its reason and function follow, since every
/// client shows this line.
pub(crate) fn summary(record: &FlowRecord) -> String {
    if matches!(record.observation, Observation::Socket { .. }) {
        return socket(record.packet.transport).to_owned();
    }
    let mut text = headers(&record.packet);
    if let Observation::KernelDrop(drop) = &record.observation {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&drop.reason);
        if let Some(function) = &drop.function {
            text.push_str(" in ");
            text.push_str(function);
        }
    }
    text
}

/// A socket's event is about no packet.
fn socket(transport: Option<Transport>) -> &'static str {
    match transport {
        Some(Transport::Tcp { .. }) => "TCP",
        Some(Transport::Udp { .. }) => "UDP",
        _ => "Unknown",
    }
}

/// The innermost known layer. VLAN tags have no text: what they carry says more.
fn headers(packet: &PacketHeaders) -> String {
    match packet.transport {
        Some(Transport::Tcp { flags, .. }) => return tcp(flags),
        Some(Transport::Udp { .. }) => return "UDP".to_owned(),
        Some(Transport::Sctp { .. }) => return "SCTP".to_owned(),
        Some(Transport::Icmpv4 { kind, code }) => {
            return format!("ICMPv4 {}", icmpv4_text(kind, code));
        }
        Some(Transport::Icmpv6 { kind, code }) => {
            return format!("ICMPv6 {}", icmpv6_text(kind, code));
        }
        Some(Transport::Vrrp { version, kind, .. }) => return vrrp(version, kind),
        Some(Transport::Igmp { kind, .. }) => return igmp(kind),
        None => {}
    }
    match (packet.arp, packet.ip, packet.ethernet) {
        (Some(Arp { operation }), ..) => arp(operation),
        (None, Some(ip), _) if ip.source.is_ipv4() => "IPv4".to_owned(),
        (None, Some(_), _) => "IPv6".to_owned(),
        (None, None, Some(_)) => "Ethernet".to_owned(),
        (None, None, None) => String::new(),
    }
}

fn arp(operation: u16) -> String {
    match operation {
        1 => "ARP Request".to_owned(),
        2 => "ARP Reply".to_owned(),
        3 => "RARP Request".to_owned(),
        4 => "RARP Reply".to_owned(),
        other => format!("ARP {other}"),
    }
}

fn vrrp(version: u8, kind: u8) -> String {
    match kind {
        1 => format!("VRRP VRRPv{version} Advertisement"),
        other => format!("VRRP {other}"),
    }
}

/// RFC 2236, RFC 3376. A type without a name leaves the space behind, as in Hubble.
fn igmp(kind: u8) -> String {
    let name = match kind {
        0x11 => "IGMP Membership Query",
        0x12 => "IGMPv1 Membership Report",
        0x16 => "IGMPv2 Membership Report",
        0x17 => "Leave Group",
        0x22 => "IGMPv3 Membership Report",
        _ => "",
    };
    format!("IGMP {name}")
}

/// Flags in the order in which Hubble lists them, with their header bits.
const TCP_FLAGS: [(u16, &str); 9] = [
    (0x002, "SYN"),
    (0x010, "ACK"),
    (0x004, "RST"),
    (0x001, "FIN"),
    (0x008, "PSH"),
    (0x020, "URG"),
    (0x040, "ECE"),
    (0x080, "CWR"),
    (0x100, "NS"),
];

fn tcp(flags: TcpFlags) -> String {
    const BEGINNING: &str = "TCP Flags: ";
    // Nearly every flow has this text: room for some flags, taken once.
    let mut text = String::with_capacity(2 * BEGINNING.len());
    text.push_str(BEGINNING);
    for (index, name) in TCP_FLAGS
        .iter()
        .filter(|(bit, _)| flags.bits() & bit != 0)
        .map(|(_, name)| name)
        .enumerate()
    {
        text.push_str(if index == 0 { "" } else { ", " });
        text.push_str(name);
    }
    text
}

/// A type of ICMP message: its number, name, and the names of its codes from 0 on.
type IcmpType = (u8, &'static str, &'static [&'static str]);

/// RFC 792, RFC 950, RFC 1122, RFC 1256, RFC 1812.
const ICMPV4: &[IcmpType] = &[
    (0, "EchoReply", &[]),
    (
        3,
        "DestinationUnreachable",
        &[
            "Net",
            "Host",
            "Protocol",
            "Port",
            "FragmentationNeeded",
            "SourceRoutingFailed",
            "NetUnknown",
            "HostUnknown",
            "SourceIsolated",
            "NetAdminProhibited",
            "HostAdminProhibited",
            "NetTOS",
            "HostTOS",
            "CommAdminProhibited",
            "HostPrecedence",
            "PrecedenceCutoff",
        ],
    ),
    (4, "SourceQuench", &[]),
    (5, "Redirect", &["Net", "Host", "TOS+Net", "TOS+Host"]),
    (8, "EchoRequest", &[]),
    (9, "RouterAdvertisement", &[]),
    (10, "RouterSolicitation", &[]),
    (
        11,
        "TimeExceeded",
        &["TTLExceeded", "FragmentReassemblyTimeExceeded"],
    ),
    (
        12,
        "ParameterProblem",
        &["PointerIndicatesError", "MissingOption", "BadLength"],
    ),
    (13, "TimestampRequest", &[]),
    (14, "TimestampReply", &[]),
    (15, "InfoRequest", &[]),
    (16, "InfoReply", &[]),
    (17, "AddressMaskRequest", &[]),
    (18, "AddressMaskReply", &[]),
];

/// RFC 4443, RFC 4861.
const ICMPV6: &[IcmpType] = &[
    (
        1,
        "DestinationUnreachable",
        &[
            "NoRouteToDst",
            "AdminProhibited",
            "BeyondScopeOfSrc",
            "AddressUnreachable",
            "PortUnreachable",
            "SrcAddressFailedPolicy",
            "RejectRouteToDst",
        ],
    ),
    (2, "PacketTooBig", &[]),
    (
        3,
        "TimeExceeded",
        &["HopLimitExceeded", "FragmentReassemblyTimeExceeded"],
    ),
    (
        4,
        "ParameterProblem",
        &[
            "ErroneousHeaderField",
            "UnrecognizedNextHeader",
            "UnrecognizedNextHeader",
        ],
    ),
    (128, "EchoRequest", &[]),
    (129, "EchoReply", &[]),
    (133, "RouterSolicitation", &[]),
    (134, "RouterAdvertisement", &[]),
    (135, "NeighborSolicitation", &[]),
    (136, "NeighborAdvertisement", &[]),
    (137, "Redirect", &[]),
];

/// What an ICMP message is, as in `EchoRequest`.
pub(crate) fn icmpv4_text(kind: u8, code: u8) -> Cow<'static, str> {
    icmp_text(ICMPV4, kind, code)
}

/// What an ICMPv6 message is, as in `NeighborSolicitation`.
pub(crate) fn icmpv6_text(kind: u8, code: u8) -> Cow<'static, str> {
    icmp_text(ICMPV6, kind, code)
}

fn icmp_text(types: &'static [IcmpType], kind: u8, code: u8) -> Cow<'static, str> {
    match types.iter().find(|(number, ..)| *number == kind) {
        None => format!("{kind}({code})").into(),
        Some((_, name, codes)) => match codes.get(usize::from(code)) {
            Some(code) => format!("{name}({code})").into(),
            None if codes.is_empty() && code == 0 => (*name).into(),
            None => format!("{name}(Code: {code})").into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::record::{Ethernet, Ip};

    fn ends(addresses: [&str; 2]) -> PacketHeaders {
        let [source, destination] = addresses.map(|address| address.parse().unwrap());
        PacketHeaders {
            ethernet: Some(Ethernet {
                source: [0; 6],
                destination: [0; 6],
            }),
            ip: Some(Ip {
                source,
                destination,
            }),
            ..PacketHeaders::default()
        }
    }

    #[test]
    fn the_innermost_known_layer_is_told() {
        let group = Ipv4Addr::new(224, 0, 0, 1);
        let (source_port, destination_port) = (1, 2);
        for (transport, expected) in [
            (
                Transport::Udp {
                    source_port,
                    destination_port,
                },
                "UDP",
            ),
            (
                Transport::Sctp {
                    source_port,
                    destination_port,
                    chunk: None,
                },
                "SCTP",
            ),
            (
                Transport::Tcp {
                    source_port,
                    destination_port,
                    flags: TcpFlags::from_bits(2),
                },
                "TCP Flags: SYN",
            ),
            (Transport::Icmpv4 { kind: 0, code: 0 }, "ICMPv4 EchoReply"),
            (
                Transport::Icmpv6 { kind: 1, code: 4 },
                "ICMPv6 DestinationUnreachable(PortUnreachable)",
            ),
            (
                Transport::Vrrp {
                    version: 2,
                    kind: 1,
                    id: 1,
                    priority: 1,
                },
                "VRRP VRRPv2 Advertisement",
            ),
            (
                Transport::Vrrp {
                    version: 3,
                    kind: 1,
                    id: 1,
                    priority: 1,
                },
                "VRRP VRRPv3 Advertisement",
            ),
            (
                Transport::Igmp { kind: 0x11, group },
                "IGMP IGMP Membership Query",
            ),
            (
                Transport::Igmp { kind: 0x12, group },
                "IGMP IGMPv1 Membership Report",
            ),
            (
                Transport::Igmp { kind: 0x16, group },
                "IGMP IGMPv2 Membership Report",
            ),
            (Transport::Igmp { kind: 0x17, group }, "IGMP Leave Group"),
            (
                Transport::Igmp { kind: 0x22, group },
                "IGMP IGMPv3 Membership Report",
            ),
            (Transport::Igmp { kind: 0x30, group }, "IGMP "),
        ] {
            let packet = PacketHeaders {
                transport: Some(transport),
                ..ends(["10.0.0.1", "10.0.0.2"])
            };
            assert_eq!(headers(&packet), expected);
        }
    }

    #[test]
    fn without_a_transport_the_layer_below_is_told() {
        let ipv4 = ends(["10.0.0.1", "10.0.0.2"]);
        assert_eq!(headers(&ipv4), "IPv4");
        assert_eq!(headers(&ends(["fd00::1", "fd00::2"])), "IPv6");
        let ethernet = PacketHeaders {
            ip: None,
            vlan: Some(5),
            ..ipv4
        };
        assert_eq!(headers(&ethernet), "Ethernet");
        assert_eq!(headers(&PacketHeaders::default()), "");
        for (operation, expected) in [
            (1, "ARP Request"),
            (2, "ARP Reply"),
            (3, "RARP Request"),
            (4, "RARP Reply"),
            (8, "ARP 8"),
        ] {
            let packet = PacketHeaders {
                arp: Some(Arp { operation }),
                ..ipv4
            };
            assert_eq!(headers(&packet), expected);
        }
    }

    #[test]
    fn tcp_flags_are_listed_in_the_fields_order() {
        assert_eq!(tcp(TcpFlags::from_bits(0x12)), "TCP Flags: SYN, ACK");
        assert_eq!(tcp(TcpFlags::from_bits(0x19)), "TCP Flags: ACK, FIN, PSH");
        assert_eq!(tcp(TcpFlags::from_bits(0)), "TCP Flags: ");
    }

    #[test]
    fn icmp_types_and_codes_have_names_where_there_are_any() {
        assert_eq!(icmpv4_text(8, 0), "EchoRequest");
        assert_eq!(icmpv4_text(3, 3), "DestinationUnreachable(Port)");
        assert_eq!(icmpv4_text(3, 77), "DestinationUnreachable(Code: 77)");
        assert_eq!(icmpv4_text(8, 5), "EchoRequest(Code: 5)");
        assert_eq!(icmpv6_text(200, 1), "200(1)");
        assert_eq!(icmpv6_text(135, 0), "NeighborSolicitation");
    }
}
