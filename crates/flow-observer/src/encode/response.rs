//! Events as responses of their streams: `GetFlows`, `GetAgentEvents` and `GetDebugEvents`.

use flow_api::{
    extension,
    flow::{LostEvent, LostEventSource},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};

use super::{
    Everything, NodeFacts, Select, Surroundings, Writer, detail::flow_detail, flow::put_flow,
    flow_message, put_timestamp, timestamp,
};
use crate::{
    record::FlowRecord,
    ring::{Event, Lost},
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
        // A flow of another node keeps that node's name.
        Event::Message(flow) => {
            writer.prost(FLOW, &*flow.message);
            (flow.message.node_name.as_str(), flow.time_ns)
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

/// A flow that is encoded already as a response; `select` is what was wanted of it.
pub(crate) fn put_encoded_flow(
    flow: &[u8],
    node_name: &str,
    time_ns: i64,
    select: impl Select,
    writer: &mut Writer<'_>,
) {
    writer.element(FLOW, flow);
    put_envelope(node_name, time_ns, select, writer);
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
    let flow = match event {
        Event::Flow(record) => {
            let mut flow = flow_message(&record, node);
            flow.extensions = with_detail.then(|| extension::pack(&flow_detail(&record)));
            flow
        }
        Event::Message(flow) => *flow.message,
        Event::Lost(lost) => {
            return Some(lost_event_response(
                lost_before_ring(lost),
                lost.time_ns,
                node,
            ));
        }
        Event::Agent(_) | Event::Debug(_) => return None,
    };
    Some(GetFlowsResponse {
        node_name: flow.node_name.clone(),
        time: Some(timestamp(time_ns)),
        response_types: Some(ResponseTypes::Flow(flow)),
    })
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
