//! From records to the bytes of responses.
//!
//! An event is encoded whole at most once, for all readers that want it whole; a reader with a
//! field mask gets the wanted parts copied out of those bytes (`mask`).

mod detail;
mod flow;

use std::sync::Arc;

use bytes::Bytes;
use flow_api::{extension, flow::LostEvent, flow::LostEventSource, observer};
use prost::Message as _;
use prost_types::Timestamp;

use crate::{
    enrich::Directory,
    ring::{Event, Lost, Slot},
};

pub(crate) use detail::{flow_extension, message_detail, message_extension, name_details};
pub(crate) use flow::{emitter, flow_message, names, service, workloads};

/// What all events of a node share.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    /// `cluster/node`, or the node alone in the default cluster.
    pub name: String,
    /// Knows the node's labels.
    pub directory: Option<Arc<Directory>>,
}

impl NodeFacts {
    /// The node's labels now: `key=value`.
    pub(crate) fn labels(&self) -> Arc<[String]> {
        match &self.directory {
            Some(directory) => Arc::clone(directory.snapshot().own_labels()),
            None => Arc::default(),
        }
    }
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
            let flow = flow_message(record, node).encode_to_vec();
            encoded_flow(&flow, &node.name, record.time_ns)
        }
        Event::Message(flow) => {
            let message = &flow.message;
            let mut bytes = message.encode_to_vec();
            // The detail is last, and only for those who ask.
            bytes.truncate(bytes.len() - message_extension(message).len());
            // A flow of another node keeps that node's name.
            encoded_flow(&bytes, &message.node_name, flow.time_ns)
        }
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
            flow.extensions = with_detail.then(|| extension::pack(&detail::flow_detail(&record)));
            flow
        }
        Event::Message(flow) => {
            let mut flow = *flow.message;
            if !with_detail && extension::is_flow_detail(flow.extensions.as_ref()) {
                flow.extensions = None;
            }
            flow
        }
        Event::Lost(lost) => return Some(lost_response(lost, node)),
        Event::Agent(_) | Event::Debug(_) => return None,
    };
    Some(observer::GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(observer::get_flows_response::ResponseTypes::Flow(flow)),
    })
}

fn encoded_flow(flow: &[u8], node_name: &str, time_ns: i64) -> Encoded {
    let (response, at) = flow_response(flow, node_name, time_ns);
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

/// A gap before the ring.
fn lost_response(lost: Lost, node: &NodeFacts) -> observer::GetFlowsResponse {
    let event = LostEvent {
        source: LostEventSource::PerfEventRingBuffer.into(),
        num_events_lost: lost.count,
        cpu: Some(lost.cpu as i32),
        first: None,
        last: None,
    };
    lost_event_response(event, lost.time_ns, node)
}

/// A lost event, as a response of this node.
pub(crate) fn lost_event_response(
    event: LostEvent,
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
    fn a_uuid_is_written_in_its_canonical_form() {
        assert_eq!(uuid_text(1), "00000000-0000-0000-0000-000000000001");
    }
}
