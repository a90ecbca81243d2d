//! What is left of a connection that ended, as a flow would have it.

use std::net::{IpAddr, Ipv6Addr};

use flow_filter::TcpFlags;
use probe_events::{ExpiredDetail, Origin, TracePoint, TraceReason};

use crate::record::{Ip, PacketHeaders, Traffic, Transport};

/// The connection as seen from one end: the one that opened it if that is known and sent something,
/// else one that did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Closing {
    /// Addresses and ports; nothing else.
    pub(crate) packet: PacketHeaders,
    /// Where that end's packets passed.
    pub(crate) point: TracePoint,
    /// Established, a reply, or unknown.
    pub(crate) reason: TraceReason,
    /// What that end sent.
    pub(crate) forward: Traffic,
    /// What the other end sent.
    pub(crate) backward: Traffic,
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Takes the record's numbers apart. `None` when neither end passed a known point.
pub(crate) fn closing(detail: &ExpiredDetail) -> Option<Closing> {
    let key = &detail.key;
    let a = End {
        address: address(key.address_a),
        port: key.port_a,
        point: TracePoint::from_number(detail.point_a),
        traffic: Traffic {
            packets: detail.packets_a,
            bytes: detail.bytes_a,
        },
    };
    let b = End {
        address: address(key.address_b),
        port: key.port_b,
        point: TracePoint::from_number(detail.point_b),
        traffic: Traffic {
            packets: detail.packets_b,
            bytes: detail.bytes_b,
        },
    };
    let origin_is_b = detail.origin == Origin::B as u32;
    let (first, second) = if origin_is_b { (b, a) } else { (a, b) };
    let (from, to, point, is_origin) = match (first.point, second.point) {
        (Some(point), _) => (first, second, point, true),
        (None, Some(point)) => (second, first, point, false),
        (None, None) => return None,
    };
    let reason = match (detail.origin == Origin::Unknown as u32, is_origin) {
        (true, _) => TraceReason::Unknown,
        (false, true) => TraceReason::Established,
        (false, false) => TraceReason::Reply,
    };
    Some(Closing {
        packet: PacketHeaders {
            ip: Some(Ip {
                source: from.address,
                destination: to.address,
            }),
            transport: transport(key.protocol, from.port, to.port),
            ..PacketHeaders::default()
        },
        point,
        reason,
        forward: from.traffic,
        backward: to.traffic,
    })
}

#[derive(Clone, Copy)]
struct End {
    address: IpAddr,
    port: u16,
    point: Option<TracePoint>,
    traffic: Traffic,
}

fn address(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

/// A transport header that has ports and nothing else; an echo for ICMP, whose kind the flow table
/// does not keep.
pub(super) fn transport(
    protocol: u8,
    source_port: u16,
    destination_port: u16,
) -> Option<Transport> {
    Some(match protocol {
        TCP => Transport::Tcp {
            source_port,
            destination_port,
            flags: TcpFlags::from_bits(0),
        },
        UDP => Transport::Udp {
            source_port,
            destination_port,
        },
        SCTP => Transport::Sctp {
            source_port,
            destination_port,
            chunk: None,
        },
        ICMP => Transport::Icmpv4 { kind: 8, code: 0 },
        ICMPV6 => Transport::Icmpv6 { kind: 128, code: 0 },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use probe_events::{FlowKey, NO_POINT};

    use super::*;

    fn detail() -> ExpiredDetail {
        ExpiredDetail {
            key: FlowKey {
                address_a: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1],
                address_b: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2],
                port_a: 53,
                port_b: 4000,
                protocol: UDP,
                ..FlowKey::default()
            },
            origin: Origin::B as u32,
            point_a: TracePoint::ToEndpoint as u8,
            point_b: TracePoint::FromEndpoint as u8,
            packets_a: 1,
            bytes_a: 100,
            packets_b: 2,
            bytes_b: 50,
            ..ExpiredDetail::default()
        }
    }

    #[test]
    fn a_connection_is_told_from_the_end_that_opened_it() {
        let closing = closing(&detail()).unwrap();
        assert_eq!(closing.point, TracePoint::FromEndpoint);
        assert_eq!(closing.reason, TraceReason::Established);
        assert_eq!(closing.packet.ip.unwrap().source.to_string(), "10.0.0.2");
        assert_eq!((closing.forward.packets, closing.backward.packets), (2, 1));
    }

    #[test]
    fn an_end_that_sent_nothing_here_tells_nothing() {
        let silent = ExpiredDetail {
            point_b: NO_POINT,
            ..detail()
        };
        let told = closing(&silent).unwrap();
        assert_eq!(told.reason, TraceReason::Reply);
        assert_eq!(told.packet.ip.unwrap().source.to_string(), "10.0.0.1");
        let nothing = ExpiredDetail {
            point_a: NO_POINT,
            ..silent
        };
        assert_eq!(closing(&nothing), None);
    }

    #[test]
    fn without_a_beginning_nobody_says_who_replies() {
        let unknown = ExpiredDetail {
            origin: Origin::Unknown as u32,
            ..detail()
        };
        assert_eq!(closing(&unknown).unwrap().reason, TraceReason::Unknown);
    }
}
