//! From records to the bytes of responses.
//!
//! An event is encoded whole at most once, for all readers that want it whole; a reader with a
//! field mask gets the wanted parts copied out of those bytes (`mask`).

use bytes::Bytes;
use flow_api::{
    extension, flow, observer,
    palomar::{self, FlowDetail},
};
use probe_events::{TracePoint, TraceReason};
use prost::Message as _;
use prost_types::Timestamp;

use crate::{
    decode::{datapath_file, summary::summary},
    record::{
        Dropped, DroppedBy, Endpoint, Ethernet, FlowRecord, Interface, Ip, Observation, Party,
        Traffic, Transport, Tunnel, TunnelProtocol,
    },
    ring::{Event, Lost, Slot},
};

/// What all events of a node share.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    /// `cluster/node`, or the node alone in the default cluster.
    pub name: String,
}

/// An event as the bytes of a response of its stream: `GetFlows`, `GetAgentEvents` or
/// `GetDebugEvents`.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// The whole response.
    pub(crate) response: Bytes,
    /// The flow within it; empty for other events.
    pub(crate) flow: Bytes,
}

/// The bytes of an event, encoded now or earlier.
pub(crate) fn encoded<'a>(slot: &'a Slot, node: &NodeFacts) -> &'a Encoded {
    slot.encoded
        .get_or_init(|| Box::new(encode(&slot.event, node)))
}

fn encode(event: &Event, node: &NodeFacts) -> Encoded {
    match event {
        Event::Flow(record) => {
            encoded_flow(&flow_message(record, node), &node.name, record.time_ns)
        }
        // A flow of another node keeps that node's name.
        Event::Message(flow) => encoded_flow(&flow.message, &flow.message.node_name, flow.time_ns),
        Event::Lost(lost) => Encoded {
            response: lost_response(*lost, node).encode_to_vec().into(),
            flow: Bytes::new(),
        },
        Event::Agent(event) => Encoded {
            response: observer::GetAgentEventsResponse {
                agent_event: Some((*event.message).clone()),
                node_name: node.name.clone(),
                time: Some(timestamp(event.time_ns)),
            }
            .encode_to_vec()
            .into(),
            flow: Bytes::new(),
        },
        Event::Debug(event) => Encoded {
            response: observer::GetDebugEventsResponse {
                debug_event: Some((*event.message).clone()),
                node_name: node.name.clone(),
                time: Some(timestamp(event.time_ns)),
            }
            .encode_to_vec()
            .into(),
            flow: Bytes::new(),
        },
    }
}

/// The event as a message; `None` for one that is no part of the stream of flows.
pub(crate) fn response(
    event: Event,
    node: &NodeFacts,
    with_detail: bool,
) -> Option<observer::GetFlowsResponse> {
    let time_ns = event.time_ns();
    let flow = match event {
        Event::Flow(record) => {
            let mut flow = flow_message(&record, node);
            flow.extensions = with_detail.then(|| extension::pack(&flow_detail(&record)));
            flow
        }
        Event::Message(flow) => *flow.message,
        Event::Lost(lost) => return Some(lost_response(lost, node)),
        Event::Agent(_) | Event::Debug(_) => return None,
    };
    Some(observer::GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(observer::get_flows_response::ResponseTypes::Flow(flow)),
    })
}

fn encoded_flow(flow: &flow::Flow, node_name: &str, time_ns: i64) -> Encoded {
    let flow = flow.encode_to_vec();
    let (response, at) = flow_response(&flow, node_name, time_ns);
    let flow = response.slice(at..at + flow.len());
    Encoded { response, flow }
}

/// A response around an encoded flow, and where in it the flow lies.
pub(crate) fn flow_response(flow: &[u8], node_name: &str, time_ns: i64) -> (Bytes, usize) {
    let envelope = observer::GetFlowsResponse {
        node_name: node_name.to_owned(),
        time: Some(timestamp(time_ns)),
        response_types: None,
    };
    flow_in_envelope(&[flow], &envelope)
}

/// As [`flow_response`], with whatever else the response holds. The flow may come in parts.
pub(crate) fn flow_in_envelope(
    flow: &[&[u8]],
    envelope: &observer::GetFlowsResponse,
) -> (Bytes, usize) {
    /// `GetFlowsResponse.flow` is field 1, length-delimited.
    const FLOW_TAG: u8 = 1 << 3 | 2;
    let flow_len: usize = flow.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(flow_len + envelope.encoded_len() + 11);
    bytes.push(FLOW_TAG);
    prost::encoding::encode_varint(flow_len as u64, &mut bytes);
    let at = bytes.len();
    for part in flow {
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&envelope.encode_to_vec());
    (bytes.into(), at)
}

/// `Flow.extensions` with the record's detail, as bytes to put behind an encoded flow.
pub(crate) fn flow_extension(record: &FlowRecord) -> Bytes {
    let flow = flow::Flow {
        extensions: Some(extension::pack(&flow_detail(record))),
        ..flow::Flow::default()
    };
    flow.encode_to_vec().into()
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

/// Who writes our flows.
pub(crate) fn emitter() -> flow::Emitter {
    flow::Emitter {
        name: "Palomar".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The flow as a message.
#[expect(deprecated, reason = "clients still read the deprecated fields")]
pub(crate) fn flow_message(record: &FlowRecord, node: &NodeFacts) -> flow::Flow {
    let (kind, sub_type) = record.event_type();
    let is_reply = record.is_reply();
    let drop_reason = record.drop_reason();
    let mut message = flow::Flow {
        time: Some(timestamp(record.time_ns)),
        uuid: uuid_text(record.uuid),
        emitter: Some(emitter()),
        verdict: record.verdict().into(),
        drop_reason,
        drop_reason_desc: drop_reason.cast_signed(),
        ethernet: record.packet.ethernet.map(ethernet),
        ip: record.packet.ip.map(|it| translated_ip(it, record)),
        l4: record.packet.transport.map(layer4),
        tunnel: record.packet.tunnel.map(tunnel),
        source: Some(endpoint(&record.source)),
        destination: Some(endpoint(&record.destination)),
        r#type: record.flow_type().into(),
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
        Observation::Trace { point, reason, .. } | Observation::Closing { point, reason } => {
            message.trace_observation_point = observation_point(*point).into();
            message.trace_reason = trace_reason(*reason).into();
        }
        Observation::Drop(Dropped { by, .. }) => message.file = dropped_in(by),
        Observation::PolicyVerdict(decided) => {
            message.auth_type = decided.auth_type.into();
            message.policy_match_type = decided.match_type.into();
        }
        Observation::DebugCapture { point } => message.debug_capture_point = (*point).into(),
        Observation::Socket { point, cgroup_id } => {
            message.sock_xlate_point = (*point).into();
            message.cgroup_id = *cgroup_id;
            // A socket may have no address of its own yet.
            if let Some(ip) = &mut message.ip {
                for address in [&mut ip.source, &mut ip.destination] {
                    if matches!(&**address, "0.0.0.0" | "::") {
                        address.clear();
                    }
                }
            }
            // No packet, no flags.
            if let Some(flow::Layer4 {
                protocol: Some(flow::layer4::Protocol::Tcp(tcp)),
            }) = &mut message.l4
            {
                tcp.flags = None;
            }
        }
        Observation::Captured => {}
    }
    if let Some(rare) = &record.rare {
        message.proxy_port = rare.proxy_port;
        message.ip_trace_id = (rare.ip_trace_id != 0).then_some(flow::IpTraceId {
            trace_id: rare.ip_trace_id,
            ip_option_type: 0,
        });
    }
    message
}

fn observation_point(point: TracePoint) -> flow::TraceObservationPoint {
    // Hubble's numbers are those of the datapath, but 0 stands for unknown.
    match point {
        TracePoint::ToEndpoint => flow::TraceObservationPoint::ToEndpoint,
        other => flow::TraceObservationPoint::try_from(i32::from(other as u8)).unwrap_or_default(),
    }
}

fn trace_reason(reason: TraceReason) -> flow::TraceReason {
    // Up to the unknown one, Hubble's numbers are higher by one; beyond it, they are the same.
    let number = match i32::from(reason as u8) {
        5 => 0,
        low @ ..5 => low + 1,
        high => high,
    };
    flow::TraceReason::try_from(number).unwrap_or_default()
}

fn dropped_in(by: &DroppedBy) -> Option<flow::FileInfo> {
    match by {
        DroppedBy::Kernel { function, .. } => function.as_ref().map(|function| flow::FileInfo {
            name: function.to_string(),
            line: 0,
        }),
        DroppedBy::Datapath { file, line } => Some(flow::FileInfo {
            name: datapath_file(*file),
            line: u32::from(*line),
        }),
    }
}

/// What clients get that ask for more than Hubble tells.
fn flow_detail(record: &FlowRecord) -> FlowDetail {
    let counts = &record.counts;
    FlowDetail {
        forward: traffic(counts.forward),
        backward: traffic(counts.backward),
        closing: matches!(record.observation, Observation::Closing { .. }),
        tcp_retransmits: counts.tcp_retransmits,
        tcp_resets_sent: counts.tcp_resets_sent,
        process: record.process.as_ref().map(|process| palomar::Process {
            pid: process.pid,
            name: process.name.to_string(),
            cgroup_id: process.cgroup_id,
        }),
        drop: match &record.observation {
            Observation::Drop(Dropped {
                by:
                    DroppedBy::Kernel {
                        reason,
                        function,
                        netns_inode,
                    },
                ..
            }) => Some(palomar::KernelDrop {
                reason: reason.to_string(),
                function: function
                    .as_ref()
                    .map_or_else(String::new, |it| it.to_string()),
                netns_inode: *netns_inode,
                socket_cookie: record.socket_cookie,
            }),
            _ => None,
        },
        vlan_id: record.packet.vlan.map_or(0, u32::from),
        application: record
            .rare
            .as_ref()
            .and_then(|rare| rare.application.as_ref())
            .map(|application| palomar::Application {
                protocol: application.protocol().to_owned(),
                name: application.name().unwrap_or_default().to_owned(),
                summary: application.to_string(),
            }),
    }
}

/// Absent where nobody counts: a packet that was seen counts at least itself.
fn traffic(traffic: Traffic) -> Option<palomar::Traffic> {
    (traffic != Traffic::default()).then_some(palomar::Traffic {
        packets: traffic.packets,
        bytes: traffic.bytes,
    })
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

/// The addresses with what is known beyond the packet: the source before it was translated, and
/// whether the packet was encrypted on its way.
fn translated_ip(addresses: Ip, record: &FlowRecord) -> flow::Ip {
    let packet = ip(addresses);
    let original = record
        .rare
        .as_ref()
        .and_then(|rare| rare.original_source)
        .map(|original| original.to_string())
        .filter(|original| *original != packet.source);
    let (source, source_xlated) = match original {
        Some(original) => (original, packet.source),
        None => (packet.source, String::new()),
    };
    flow::Ip {
        source,
        source_xlated,
        encrypted: matches!(record.observation, Observation::Trace { encrypted, .. } if encrypted),
        ..packet
    }
}

fn layer4(transport: Transport) -> flow::Layer4 {
    use flow::layer4::Protocol;
    let protocol = match transport {
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
        Transport::Vrrp {
            kind, id, priority, ..
        } => Protocol::Vrrp(flow::Vrrp {
            r#type: kind.into(),
            vrid: id.into(),
            priority: priority.into(),
        }),
        Transport::Igmp { kind, group } => Protocol::Igmp(flow::Igmp {
            r#type: kind.into(),
            group_address: group.to_string(),
        }),
    };
    flow::Layer4 {
        protocol: Some(protocol),
    }
}

fn tunnel(tunnel: Tunnel) -> flow::Tunnel {
    let protocol = match tunnel.protocol {
        TunnelProtocol::Geneve => flow::tunnel::Protocol::Geneve,
        TunnelProtocol::Vxlan => flow::tunnel::Protocol::Vxlan,
    };
    flow::Tunnel {
        protocol: protocol.into(),
        ip: Some(ip(tunnel.ip)),
        l4: Some(layer4(tunnel.transport)),
        vni: tunnel.vni,
    }
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

fn endpoint(party: &Party) -> flow::Endpoint {
    let endpoint = &party.endpoint;
    flow::Endpoint {
        id: endpoint.id,
        identity: party.identity,
        cluster_name: endpoint.cluster_name.clone(),
        namespace: endpoint.namespace.clone(),
        labels: endpoint.labels.clone(),
        pod_name: endpoint.pod_name.clone(),
        workloads: workloads(endpoint),
    }
}

/// What owns an endpoint.
pub(crate) fn workloads(endpoint: &Endpoint) -> Vec<flow::Workload> {
    endpoint
        .workloads
        .iter()
        .map(|workload| flow::Workload {
            name: workload.name.clone(),
            kind: workload.kind.clone(),
        })
        .collect()
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
