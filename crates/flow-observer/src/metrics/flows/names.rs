//! Words that several metrics have in common.

use flow_api::flow::layer7::Record;
use flow_filter::L4Protocol;

use super::measured::{Measured, event_type};

/// The protocol of the layer that the event is about.
pub(super) fn protocol(flow: &impl Measured) -> &'static str {
    match flow.event() {
        Some(event_type::L7) => application(flow).unwrap_or("Unknown L7"),
        Some(
            event_type::DROP | event_type::TRACE | event_type::POLICY_VERDICT | event_type::CAPTURE,
        ) => match flow.l4_protocol() {
            Some(L4Protocol::Tcp) => "TCP",
            Some(L4Protocol::Udp) => "UDP",
            Some(L4Protocol::Icmpv4) => "ICMPv4",
            Some(L4Protocol::Icmpv6) => "ICMPv6",
            Some(L4Protocol::Sctp) => "SCTP",
            Some(L4Protocol::Vrrp) => "VRRP",
            Some(L4Protocol::Igmp) => "IGMP",
            None => "Unknown L4",
        },
        _ => "Unknown flow",
    }
}

/// The protocol of a request or response.
pub(super) fn application(flow: &impl Measured) -> Option<&'static str> {
    Some(match flow.layer7()?.record.as_ref()? {
        Record::Dns(_) => "DNS",
        Record::Http(_) => "HTTP",
        #[expect(deprecated, reason = "older servers tell of Kafka still")]
        Record::Kafka(_) => "Kafka",
    })
}

/// What a response code of DNS means, as Hubble says it; empty for those that it does not know.
pub(super) fn rcode(number: u32) -> &'static str {
    match number {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Not Authorized",
        10 => "Name not contained in zone",
        11 => "DSO-TYPE Not Implemented",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad/missing Server Cookie",
        _ => "",
    }
}

/// Chunks by which connections of SCTP begin and end, as Hubble says them (RFC 9260, section 3.2).
pub(super) fn sctp_chunk(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "INIT",
        2 => "INIT_ACK",
        6 => "ABORT",
        7 => "SHUTDOWN",
        8 => "SHUTDOWN_ACK",
        14 => "SHUTDOWN_COMPLETE",
        _ => return None,
    })
}
