//! From records to the bytes of responses.
//!
//! An event is encoded whole at most once, for all readers that want it whole; a reader with a
//! field mask gets the wanted parts copied out of those bytes (`mask`).

use bytes::Bytes;
use flow_api::{flow, observer};
use prost::Message as _;
use prost_types::Timestamp;

use crate::{
    decode::summary::summary,
    record::{
        Endpoint, Ethernet, FlowRecord, Interface, Ip, Observation, PacketHeaders, Transport,
    },
    ring::{Event, Lost, Slot},
};

/// What all events of a node share.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    /// `cluster/node`, or the node alone in the default cluster.
    pub name: String,
}

/// An event as the bytes of a `GetFlowsResponse`.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// The whole response.
    pub(crate) response: Bytes,
    /// The flow within it; empty for other events.
    pub(crate) flow: Bytes,
}

/// The bytes of an event, encoded now or earlier.
pub(crate) fn encoded<'a>(slot: &'a Slot, node: &NodeFacts) -> &'a Encoded {
    slot.encoded.get_or_init(|| match &slot.event {
        Event::Flow(record) => {
            let flow = flow_message(record, node).encode_to_vec();
            let (response, at) = flow_response(&flow, &node.name, record.time_ns);
            let flow = response.slice(at..at + flow.len());
            Encoded { response, flow }
        }
        Event::Lost(lost) => Encoded {
            response: lost_response(*lost, node).encode_to_vec().into(),
            flow: Bytes::new(),
        },
    })
}

/// A response around an encoded flow, and where in it the flow lies.
pub(crate) fn flow_response(flow: &[u8], node_name: &str, time_ns: i64) -> (Bytes, usize) {
    let envelope = observer::GetFlowsResponse {
        node_name: node_name.to_owned(),
        time: Some(timestamp(time_ns)),
        response_types: None,
    };
    flow_in_envelope(flow, &envelope)
}

/// As [`flow_response`], with whatever else the response holds.
pub(crate) fn flow_in_envelope(
    flow: &[u8],
    envelope: &observer::GetFlowsResponse,
) -> (Bytes, usize) {
    /// `GetFlowsResponse.flow` is field 1, length-delimited.
    const FLOW_TAG: u8 = 1 << 3 | 2;
    let mut bytes = Vec::with_capacity(flow.len() + envelope.encoded_len() + 11);
    bytes.push(FLOW_TAG);
    prost::encoding::encode_varint(flow.len() as u64, &mut bytes);
    let at = bytes.len();
    bytes.extend_from_slice(flow);
    bytes.extend_from_slice(&envelope.encode_to_vec());
    (bytes.into(), at)
}

/// A gap before the ring.
fn lost_response(lost: Lost, node: &NodeFacts) -> observer::GetFlowsResponse {
    let event = flow::LostEvent {
        source: flow::LostEventSource::PerfEventRingBuffer.into(),
        num_events_lost: lost.count,
        cpu: Some(lost.cpu as i32),
        first: None,
        last: None,
    };
    lost_event_response(event, lost.time_ns, node)
}

/// A lost event, as a response of this node.
pub(crate) fn lost_event_response(
    event: flow::LostEvent,
    time_ns: i64,
    node: &NodeFacts,
) -> observer::GetFlowsResponse {
    observer::GetFlowsResponse {
        node_name: node.name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(observer::get_flows_response::ResponseTypes::LostEvents(
            event,
        )),
    }
}

/// The flow as a message.
#[expect(deprecated, reason = "clients still read the deprecated fields")]
pub(crate) fn flow_message(record: &FlowRecord, node: &NodeFacts) -> flow::Flow {
    let (kind, sub_type) = record.event_type();
    let is_reply = record.is_reply();
    let mut message = flow::Flow {
        time: Some(timestamp(record.time_ns)),
        uuid: uuid_text(record.uuid),
        emitter: Some(flow::Emitter {
            name: "Palomar".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }),
        verdict: record.verdict().into(),
        ethernet: record.packet.ethernet.map(ethernet),
        ip: record.packet.ip.map(ip),
        l4: layer4(&record.packet),
        source: Some(endpoint(&record.source)),
        destination: Some(endpoint(&record.destination)),
        r#type: flow::FlowType::L3L4.into(),
        node_name: node.name.clone(),
        reply: is_reply.unwrap_or(false),
        event_type: Some(flow::CiliumEventType {
            r#type: kind,
            sub_type,
        }),
        traffic_direction: record.direction.into(),
        is_reply,
        interface: record.interface.as_ref().map(interface),
        socket_cookie: record.socket_cookie,
        summary: summary(record),
        ..flow::Flow::default()
    };
    match &record.observation {
        Observation::Trace { point, reason } => {
            message.trace_observation_point = match point {
                probe_events::TracePoint::ToEndpoint => flow::TraceObservationPoint::ToEndpoint,
                probe_events::TracePoint::FromEndpoint => flow::TraceObservationPoint::FromEndpoint,
                probe_events::TracePoint::FromNetwork => flow::TraceObservationPoint::FromNetwork,
                probe_events::TracePoint::ToNetwork => flow::TraceObservationPoint::ToNetwork,
            }
            .into();
            message.trace_reason = match reason {
                probe_events::TraceReason::New => flow::TraceReason::New,
                probe_events::TraceReason::Established => flow::TraceReason::Established,
                probe_events::TraceReason::Reply => flow::TraceReason::Reply,
                probe_events::TraceReason::Related => flow::TraceReason::Related,
                probe_events::TraceReason::Unknown => flow::TraceReason::Unknown,
            }
            .into();
        }
        Observation::Drop { code, function, .. } => {
            message.drop_reason = u32::from(*code);
            message.drop_reason_desc = i32::from(*code);
            message.file = function.as_ref().map(|function| flow::FileInfo {
                name: function.to_string(),
                line: 0,
            });
        }
    }
    message
}

fn ethernet(ethernet: Ethernet) -> flow::Ethernet {
    flow::Ethernet {
        source: mac_text(ethernet.source),
        destination: mac_text(ethernet.destination),
    }
}

fn ip(ip: Ip) -> flow::Ip {
    let version = if ip.source.is_ipv4() {
        flow::IpVersion::IPv4
    } else {
        flow::IpVersion::IPv6
    };
    flow::Ip {
        source: ip.source.to_string(),
        destination: ip.destination.to_string(),
        ip_version: version.into(),
        ..flow::Ip::default()
    }
}

fn layer4(packet: &PacketHeaders) -> Option<flow::Layer4> {
    use flow::layer4::Protocol;
    let protocol = match packet.transport? {
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
        } => Protocol::Tcp(flow::Tcp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            flags: Some(tcp_flags(flags.bits())),
        }),
        Transport::Udp {
            source_port,
            destination_port,
        } => Protocol::Udp(flow::Udp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
        }),
        Transport::Sctp {
            source_port,
            destination_port,
        } => Protocol::Sctp(flow::Sctp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
        }),
        Transport::Icmpv4 { kind, code } => Protocol::IcmPv4(flow::IcmPv4 {
            r#type: kind.into(),
            code: code.into(),
        }),
        Transport::Icmpv6 { kind, code } => Protocol::IcmPv6(flow::IcmPv6 {
            r#type: kind.into(),
            code: code.into(),
        }),
    };
    Some(flow::Layer4 {
        protocol: Some(protocol),
    })
}

fn tcp_flags(bits: u16) -> flow::TcpFlags {
    flow::TcpFlags {
        fin: bits & 0x001 != 0,
        syn: bits & 0x002 != 0,
        rst: bits & 0x004 != 0,
        psh: bits & 0x008 != 0,
        ack: bits & 0x010 != 0,
        urg: bits & 0x020 != 0,
        ece: bits & 0x040 != 0,
        cwr: bits & 0x080 != 0,
        ns: bits & 0x100 != 0,
    }
}

fn endpoint(endpoint: &Endpoint) -> flow::Endpoint {
    flow::Endpoint {
        id: endpoint.id,
        identity: endpoint.identity,
        cluster_name: endpoint.cluster_name.clone(),
        namespace: endpoint.namespace.clone(),
        labels: endpoint.labels.clone(),
        pod_name: endpoint.pod_name.clone(),
        workloads: endpoint
            .workloads
            .iter()
            .map(|workload| flow::Workload {
                name: workload.name.clone(),
                kind: workload.kind.clone(),
            })
            .collect(),
    }
}

fn interface(interface: &Interface) -> flow::NetworkInterface {
    flow::NetworkInterface {
        index: interface.index,
        name: interface.name.to_string(),
    }
}

/// Nanoseconds since 1970 as protobuf has them.
pub(crate) fn timestamp(time_ns: i64) -> Timestamp {
    const NANOS: i64 = 1_000_000_000;
    Timestamp {
        seconds: time_ns.div_euclid(NANOS),
        nanos: time_ns.rem_euclid(NANOS) as i32,
    }
}

/// The canonical text of a UUID: 8-4-4-4-12 digits.
pub(crate) fn uuid_text(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    let mut text = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_are_seconds_plus_nanoseconds() {
        assert_eq!(
            timestamp(1_500_000_000),
            Timestamp {
                seconds: 1,
                nanos: 500_000_000
            }
        );
        assert_eq!(
            timestamp(-1),
            Timestamp {
                seconds: -1,
                nanos: 999_999_999
            }
        );
    }

    #[test]
    fn texts_are_canonical() {
        assert_eq!(uuid_text(1), "00000000-0000-0000-0000-000000000001");
        assert_eq!(mac_text([0xaa, 0, 1, 2, 3, 0xff]), "aa:00:01:02:03:ff");
    }
}
