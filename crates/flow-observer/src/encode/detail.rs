//! What goes beyond Hubble's contract, for clients that ask.

use std::sync::Arc;

use flow_api::{
    extension, flow,
    palomar::{self, FlowDetail},
};

use super::{Writer, flow::EXTENSIONS, timestamp};
use crate::{
    cgroup::Owner,
    process::Process,
    record::{FlowRecord, Name, Names, Observation, Traffic},
    translation::Ends,
};

/// `Flow.extensions` with the record's detail, as bytes to put behind an encoded flow.
pub(crate) fn flow_extension(record: &FlowRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    let detail = extension::pack(&flow_detail(record));
    Writer::new(&mut bytes).prost(EXTENSIONS, &detail);
    bytes
}

/// The detail of a flow that is a message already, as bytes to put behind it; empty where there is
/// none.
pub(super) fn message_extension(message: &flow::Flow) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(detail) = &message.extensions
        && extension::is_flow_detail(Some(detail))
    {
        Writer::new(&mut bytes).prost(EXTENSIONS, detail);
    }
    bytes
}

/// What a request or response has of the detail of its packet: what is told of the packet alone is
/// left out, and counts would be counted twice.
pub(crate) fn message_detail(record: &FlowRecord) -> FlowDetail {
    let packet = flow_detail(record);
    FlowDetail {
        process: packet.process,
        vlan_id: packet.vlan_id,
        source_names: packet.source_names,
        destination_names: packet.destination_names,
        translation: packet.translation,
        ..FlowDetail::default()
    }
}

/// What clients get that ask for more than Hubble tells.
pub(super) fn flow_detail(record: &FlowRecord) -> FlowDetail {
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
            unit: owner(process, |owner| owner.unit.as_deref()),
            container: owner(process, |owner| Some(&*owner.container.as_ref()?.id)),
        }),
        drop: match &record.observation {
            Observation::KernelDrop(drop) => Some(palomar::KernelDrop {
                reason: drop.reason.to_string(),
                function: drop.function.as_deref().unwrap_or_default().to_owned(),
                netns_inode: drop.netns_inode,
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
        source_names: name_details(record.source.names.as_ref()),
        destination_names: name_details(record.destination.names.as_ref()),
        translation: record
            .translation
            .as_ref()
            .map(|translation| palomar::Translation {
                original: Some(ends(&translation.original)),
                translated: Some(ends(&translation.translated)),
            }),
    }
}

fn ends(ends: &Ends) -> palomar::Ends {
    palomar::Ends {
        source_ip: ends.source.ip.to_string(),
        source_port: ends.source.port.into(),
        destination_ip: ends.destination.ip.to_string(),
        destination_port: ends.destination.port.into(),
    }
}

/// What an address is called, with where that is known from.
pub(crate) fn name_details(names: Option<&Arc<Names>>) -> Vec<palomar::NameDetail> {
    let names = names.into_iter().flat_map(|names| &names.all);
    let detail = |name: &Name| palomar::NameDetail {
        name: name.text.to_string(),
        origin: name.origin.name().to_owned(),
        told: (name.told_ns != 0).then(|| timestamp(name.told_ns)),
    };
    names.map(detail).collect()
}

/// What is known of the owner of a process's cgroup; empty when it is not.
fn owner(process: &Process, what: impl Fn(&Owner) -> Option<&str>) -> String {
    let owner = process.owner.as_deref();
    owner.and_then(what).unwrap_or_default().to_owned()
}

/// Absent where nobody counts: a packet that was seen counts at least itself.
fn traffic(traffic: Traffic) -> Option<palomar::Traffic> {
    (traffic != Traffic::default()).then_some(palomar::Traffic {
        packets: traffic.packets,
        bytes: traffic.bytes,
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_detail_of_a_message_is_what_its_bytes_end_in() {
        let plain = flow::Flow {
            node_name: "n1".to_owned(),
            ..flow::Flow::default()
        };
        assert!(message_extension(&plain).is_empty());
        let detail = FlowDetail {
            vlan_id: 7,
            ..FlowDetail::default()
        };
        let detailed = flow::Flow {
            extensions: Some(extension::pack(&detail)),
            ..plain.clone()
        };
        let bytes = [plain.encode_to_vec(), message_extension(&detailed)].concat();
        assert_eq!(bytes, detailed.encode_to_vec());
    }
}
