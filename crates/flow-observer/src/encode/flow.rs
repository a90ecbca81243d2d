//! A record as the message of Hubble's contract.

use std::sync::Arc;

use flow_api::flow;
use probe_events::{TracePoint, TraceReason};

use super::{NodeFacts, timestamp, uuid_text};
use crate::{
    decode::{datapath_file, summary::summary},
    record::{
        Dropped, DroppedBy, Endpoint, Ethernet, FlowRecord, Interface, Ip, Names, Observation,
        Party, Service, Transport, Tunnel, TunnelProtocol,
    },
};

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
        source_names: names(record.source.names.as_ref()),
        destination_names: names(record.destination.names.as_ref()),
        source_service: record.source.service.as_deref().map(service),
        destination_service: record.destination.service.as_deref().map(service),
        r#type: record.flow_type().into(),
        node_name: node.name.clone(),
        node_labels: node.labels().to_vec(),
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
    let (source, source_xlated) = match record.original_source() {
        Some(original) => (original.to_string(), packet.source),
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
        cluster_name: endpoint.cluster_name.to_string(),
        namespace: endpoint.namespace.to_string(),
        labels: endpoint.labels.to_vec(),
        pod_name: endpoint.pod_name.to_string(),
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

/// What an address is called.
pub(crate) fn names(names: Option<&Arc<Names>>) -> Vec<String> {
    let names = names.into_iter().flat_map(|names| &names.all);
    names.map(|name| name.text.to_string()).collect()
}

pub(crate) fn service(service: &Service) -> flow::Service {
    flow::Service {
        name: service.name.to_string(),
        namespace: service.namespace.to_string(),
    }
}

fn interface(interface: &Interface) -> flow::NetworkInterface {
    flow::NetworkInterface {
        index: interface.index,
        name: interface.name.to_string(),
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_has_two_digits_for_each_byte() {
        assert_eq!(mac_text([0xaa, 0, 1, 2, 3, 0xff]), "aa:00:01:02:03:ff");
    }
}
