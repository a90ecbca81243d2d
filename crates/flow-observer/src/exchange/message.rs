//! The flow of a request or response.

use flow_api::{
    extension,
    flow::{self, Flow, L7FlowType, layer4::Protocol},
};

use crate::{
    encode::{NodeFacts, flow_message, message_detail},
    layer7::{self, MESSAGE_ACCESS_LOG},
    record::FlowRecord,
};

/// What a message has from the packet that it began in: time, addresses, ends, names, services and
/// node. What is told of the packet alone is left out.
#[expect(deprecated, reason = "clients still read the deprecated fields")]
pub(super) fn message(record: &FlowRecord, node: &NodeFacts, layer7: flow::Layer7) -> Flow {
    let packet = flow_message(record, node);
    let is_reply = layer7.r#type() == L7FlowType::Response;
    Flow {
        time: packet.time,
        emitter: packet.emitter,
        verdict: flow::Verdict::Forwarded.into(),
        ip: packet.ip.map(|ip| flow::Ip {
            encrypted: false,
            source_xlated: String::new(),
            ..ip
        }),
        l4: packet.l4.map(without_flags),
        source: packet.source,
        destination: packet.destination,
        source_names: packet.source_names,
        destination_names: packet.destination_names,
        source_service: packet.source_service,
        destination_service: packet.destination_service,
        r#type: flow::FlowType::L7.into(),
        node_name: packet.node_name,
        node_labels: packet.node_labels,
        reply: is_reply,
        is_reply: Some(is_reply),
        event_type: Some(flow::CiliumEventType {
            r#type: MESSAGE_ACCESS_LOG,
            sub_type: 0,
        }),
        summary: layer7::summary(&layer7),
        l7: Some(layer7),
        extensions: Some(extension::pack(&message_detail(record))),
        ..Flow::default()
    }
}

fn without_flags(layer4: flow::Layer4) -> flow::Layer4 {
    flow::Layer4 {
        protocol: layer4.protocol.map(|protocol| match protocol {
            Protocol::Tcp(tcp) => Protocol::Tcp(flow::Tcp { flags: None, ..tcp }),
            other => other,
        }),
    }
}
