//! Events as responses of their streams: `GetFlows`, `GetAgentEvents` and `GetDebugEvents`.

use std::convert::identity;

use flow_api::{
    extension,
    flow::{Flow, LostEvent, LostEventSource},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};

use prost::Message as _;

use super::{
    Everything, NodeFacts, Select, Surroundings, Writer,
    detail::{flow_detail, message_extension},
    flow::put_flow,
    flow_message, put_timestamp, timestamp,
};
use crate::{
    record::FlowRecord,
    ring::{Event, Lost, Message},
};

/// `GetFlowsResponse.flow`.
const FLOW: u32 = 1;
/// `node_name` of all responses.
const NODE_NAME: u32 = 1000;
/// `time` of all responses.
const TIME: u32 = 1001;
/// `Flow.time` and `Flow.node_name`: those of the response are theirs, and go with them.
const FLOW_TIME: u32 = 1;
const FLOW_NODE_NAME: u32 = 11;

/// An event as a response, whole.
pub(crate) fn put_response(event: &Event, around: &Surroundings<'_>, writer: &mut Writer<'_>) {
    let (node_name, time_ns) = match event {
        Event::Flow(record) => return put_record(record, around, Everything, &[], writer),
        Event::Message(flow) => {
            return put_message(flow, Everything, false, identity, writer);
        }
        Event::Recorded(response) => {
            return put_recorded(response, Everything, false, identity, writer);
        }
        Event::Lost(lost) => {
            // `GetFlowsResponse.lost_events`.
            writer.prost(3, &lost_before_ring(*lost));
            (around.node_name(), lost.time_ns)
        }
        // The event is field 1 of both.
        Event::Agent(event) => {
            writer.prost(1, &*event.message);
            (around.node_name(), event.time_ns)
        }
        Event::Debug(event) => {
            writer.prost(1, &*event.message);
            (around.node_name(), event.time_ns)
        }
    };
    put_envelope(node_name, time_ns, Everything, writer);
}

/// A record as a response: the wanted fields of the flow, and what goes behind them.
pub(crate) fn put_record<S: Select>(
    record: &FlowRecord,
    around: &Surroundings<'_>,
    select: S,
    extension: &[u8],
    writer: &mut Writer<'_>,
) {
    writer.long_message(FLOW, |writer| {
        put_flow(record, around, select, writer);
        writer.raw(extension);
    });
    put_envelope(around.node_name(), record.time_ns, select, writer);
}

/// A flow that is a message already as a response: what `apply` leaves of it, and its detail for
/// those who ask. `select` is what was wanted of it.
pub(crate) fn put_message(
    flow: &Message<Flow>,
    select: impl Select,
    with_detail: bool,
    apply: impl FnOnce(Vec<u8>) -> Vec<u8>,
    writer: &mut Writer<'_>,
) {
    put_flow_message(&flow.message, with_detail, apply, writer);
    // A flow of another node keeps that node's name.
    put_envelope(&flow.message.node_name, flow.time_ns, select, writer);
}

/// As [`put_message`], for what somebody else told: around it is what was around it there.
pub(crate) fn put_recorded(
    recorded: &Message<GetFlowsResponse>,
    select: impl Select,
    with_detail: bool,
    apply: impl FnOnce(Vec<u8>) -> Vec<u8>,
    writer: &mut Writer<'_>,
) {
    let response = &*recorded.message;
    let Some(flow) = recorded.flow() else {
        return writer.raw(&response.encode_to_vec());
    };
    put_flow_message(flow, with_detail, apply, writer);
    if select.has(FLOW_NODE_NAME) {
        writer.text(NODE_NAME, &response.node_name);
    }
    if select.has(FLOW_TIME)
        && let Some(time) = &response.time
    {
        writer.prost(TIME, time);
    }
}

fn put_flow_message(
    flow: &Flow,
    with_detail: bool,
    apply: impl FnOnce(Vec<u8>) -> Vec<u8>,
    writer: &mut Writer<'_>,
) {
    let mut bytes = flow.encode_to_vec();
    // The detail comes last.
    let extension = message_extension(flow);
    bytes.truncate(bytes.len() - extension.len());
    let mut wanted = apply(bytes);
    if with_detail {
        wanted.extend_from_slice(&extension);
    }
    writer.element(FLOW, &wanted);
}

#[inline]
fn put_envelope(node_name: &str, time_ns: i64, select: impl Select, writer: &mut Writer<'_>) {
    if select.has(FLOW_NODE_NAME) {
        writer.text(NODE_NAME, node_name);
    }
    if select.has(FLOW_TIME) {
        writer.message(TIME, |writer| put_timestamp(time_ns, Everything, writer));
    }
}

/// The event as a message; `None` for one that is no part of the stream of flows.
pub(crate) fn response(
    event: Event,
    node: &NodeFacts,
    with_detail: bool,
) -> Option<GetFlowsResponse> {
    let time_ns = event.time_ns();
    let mut flow = match event {
        Event::Flow(record) => {
            let mut flow = flow_message(&record, node);
            flow.extensions = with_detail.then(|| extension::pack(&flow_detail(&record)));
            flow
        }
        Event::Message(flow) => *flow.message,
        Event::Recorded(response) => {
            let mut response = *response.message;
            if let Some(ResponseTypes::Flow(flow)) = &mut response.response_types {
                leave_out_detail(flow, with_detail);
            }
            return Some(response);
        }
        Event::Lost(lost) => {
            return Some(lost_event_response(
                lost_before_ring(lost),
                lost.time_ns,
                node,
            ));
        }
        Event::Agent(_) | Event::Debug(_) => return None,
    };
    leave_out_detail(&mut flow, with_detail);
    Some(GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(ResponseTypes::Flow(flow)),
    })
}

fn leave_out_detail(flow: &mut Flow, with_detail: bool) {
    if !with_detail && extension::is_flow_detail(flow.extensions.as_ref()) {
        flow.extensions = None;
    }
}

/// A gap before the ring.
fn lost_before_ring(lost: Lost) -> LostEvent {
    LostEvent {
        source: LostEventSource::PerfEventRingBuffer.into(),
        num_events_lost: lost.count,
        cpu: Some(lost.cpu as i32),
        first: None,
        last: None,
    }
}

/// A lost event, as a response of this node.
pub(crate) fn lost_event_response(
    event: LostEvent,
    time_ns: i64,
    node: &NodeFacts,
) -> GetFlowsResponse {
    GetFlowsResponse {
        node_name: node.name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(ResponseTypes::LostEvents(event)),
    }
}
