//! One line about the innermost known header, as Hubble words it.

use std::fmt::Write as _;

use flow_filter::TcpFlags;

use crate::record::{Dropped, DroppedBy, FlowRecord, Observation, PacketHeaders, Transport};

/// The text of `Flow.Summary`. For a drop by the kernel, its reason and function follow, since every
/// client shows this line.
pub(crate) fn summary(record: &FlowRecord) -> String {
    let mut text = headers(&record.packet);
    if let Observation::Drop(Dropped {
        by: DroppedBy::Kernel {
            reason, function, ..
        },
        ..
    }) = &record.observation
    {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(reason);
        if let Some(function) = function {
            text.push_str(" in ");
            text.push_str(function);
        }
    }
    text
}

fn headers(packet: &PacketHeaders) -> String {
    match (&packet.transport, &packet.ip, &packet.ethernet) {
        (Some(Transport::Tcp { flags, .. }), ..) => tcp(*flags),
        (Some(Transport::Udp { .. }), ..) => "UDP".to_owned(),
        (Some(Transport::Sctp { .. }), ..) => "SCTP".to_owned(),
        (Some(Transport::Icmpv4 { kind, code }), ..) => icmp("ICMPv4", ICMPV4, *kind, *code),
        (Some(Transport::Icmpv6 { kind, code }), ..) => icmp("ICMPv6", ICMPV6, *kind, *code),
        (None, Some(ip), _) => if ip.source.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        (None, None, Some(_)) => "Ethernet".to_owned(),
        (None, None, None) => String::new(),
    }
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
    let names: Vec<&str> = TCP_FLAGS
        .iter()
        .filter(|(bit, _)| flags.bits() & bit != 0)
        .map(|&(_, name)| name)
        .collect();
    format!("TCP Flags: {}", names.join(", "))
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

fn icmp(protocol: &str, types: &[IcmpType], kind: u8, code: u8) -> String {
    let mut text = format!("{protocol} ");
    // Writing to a String cannot fail.
    let written = match types.iter().find(|(number, ..)| *number == kind) {
        None => write!(text, "{kind}({code})"),
        Some((_, name, codes)) => match codes.get(usize::from(code)) {
            Some(code) => write!(text, "{name}({code})"),
            None if codes.is_empty() && code == 0 => write!(text, "{name}"),
            None => write!(text, "{name}(Code: {code})"),
        },
    };
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_flags_are_listed_in_the_fields_order() {
        assert_eq!(tcp(TcpFlags::from_bits(0x12)), "TCP Flags: SYN, ACK");
        assert_eq!(tcp(TcpFlags::from_bits(0x19)), "TCP Flags: ACK, FIN, PSH");
        assert_eq!(tcp(TcpFlags::from_bits(0)), "TCP Flags: ");
    }

    #[test]
    fn icmp_types_and_codes_have_names_where_there_are_any() {
        assert_eq!(icmp("ICMPv4", ICMPV4, 8, 0), "ICMPv4 EchoRequest");
        assert_eq!(
            icmp("ICMPv4", ICMPV4, 3, 3),
            "ICMPv4 DestinationUnreachable(Port)"
        );
        assert_eq!(
            icmp("ICMPv4", ICMPV4, 3, 77),
            "ICMPv4 DestinationUnreachable(Code: 77)"
        );
        assert_eq!(icmp("ICMPv4", ICMPV4, 8, 5), "ICMPv4 EchoRequest(Code: 5)");
        assert_eq!(icmp("ICMPv6", ICMPV6, 200, 1), "ICMPv6 200(1)");
        assert_eq!(
            icmp("ICMPv6", ICMPV6, 135, 0),
            "ICMPv6 NeighborSolicitation"
        );
    }
}
