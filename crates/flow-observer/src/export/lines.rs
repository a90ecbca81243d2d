//! Events as lines: `ExportEvent`s in JSON, as Hubble's exporter writes them.

use super::spec::{Spec, SpecError};
use flow_api::{
    flow::{LostEvent, LostEventSource},
    json,
    observer::{ExportEvent, GetFlowsResponse, export_event::ResponseTypes},
};
use flow_filter::{EventKind, Filter, FlowView, NoEndpoint};

use crate::{
    assemble::now_ns,
    encode::{
        NodeFacts, Surroundings, Writer, lost_event_response, put_message, put_record,
        put_recorded, put_response, timestamp,
    },
    ring::{Event, Message},
    serve::{Choice, Mask},
    view::matches,
};

/// Makes lines of events.
#[derive(Debug)]
pub(super) struct Lines {
    mask: Option<Mask>,
    /// The node without its cluster, of whom all but flows are.
    plain: NodeFacts,
    /// An event as protobuf.
    encoded: Vec<u8>,
}

/// What is to be written that cannot be told in JSON; a message of a server that breaks the
/// contract.
#[derive(Debug)]
pub(super) struct Unreadable;

impl Lines {
    pub(super) fn new(mask: Option<Mask>, plain: NodeFacts) -> Self {
        Self {
            mask,
            plain,
            encoded: Vec::new(),
        }
    }

    /// Appends the line of an event, if it is one that is exported.
    pub(super) fn put(
        &mut self,
        event: &Event,
        around: &Surroundings<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let choice = self.mask.as_ref().map_or(Choice::Whole, Choice::Parts);
        let apply = |bytes: Vec<u8>| match &self.mask {
            None => bytes,
            Some(mask) => mask.apply(&bytes),
        };
        self.encoded.clear();
        let writer = &mut Writer::new(&mut self.encoded);
        match event {
            Event::Flow(record) => put_record(record, around, choice, &[], writer),
            Event::Message(flow) => put_message(flow, choice, false, apply, writer),
            Event::Recorded(response) => put_recorded(response, choice, false, apply, writer),
            Event::Lost(_) => put_response(event, &Surroundings::now(&self.plain), writer),
            Event::Agent(agent) => {
                let event = ResponseTypes::AgentEvent((*agent.message).clone());
                self.put_other(event, agent.time_ns, out);
                return Ok(());
            }
            Event::Debug(debug) => {
                let event = ResponseTypes::DebugEvent((*debug.message).clone());
                self.put_other(event, debug.time_ns, out);
                return Ok(());
            }
        }
        put_line(&self.encoded, out)
    }

    /// Appends the line of a gap of this exporter.
    pub(super) fn put_gap(&self, gap: &Gap, out: &mut Vec<u8>) {
        let event = LostEvent {
            source: LostEventSource::HubbleRingBuffer.into(),
            num_events_lost: gap.count,
            cpu: None,
            first: Some(timestamp(gap.first_ns)),
            last: Some(timestamp(gap.last_ns)),
        };
        let response = lost_event_response(event, now_ns(), &self.plain);
        json::write(&response, out);
        out.push(b'\n');
    }

    fn put_other(&self, event: ResponseTypes, time_ns: i64, out: &mut Vec<u8>) {
        let event = ExportEvent {
            response_types: Some(event),
            node_name: self.plain.name.clone(),
            time: Some(timestamp(time_ns)),
        };
        json::write(&event, out);
        out.push(b'\n');
    }
}

/// Appends an encoded event as a line. A response to `GetFlows` is encoded as an exported event is.
pub(super) fn put_line(encoded: &[u8], out: &mut Vec<u8>) -> Result<(), Unreadable> {
    json::write_encoded::<ExportEvent>(encoded, out).map_err(|_damaged| Unreadable)?;
    out.push(b'\n');
    Ok(())
}

/// Makes the lines that an exporter would write, for who has to know them.
#[derive(Debug)]
pub struct LineForm {
    lines: Lines,
}

impl LineForm {
    /// As an exporter is to do it.
    ///
    /// # Errors
    /// For a mask that means nothing.
    pub fn new(spec: &Spec) -> Result<Self, SpecError> {
        let mask = spec.compile()?.mask;
        Ok(Self {
            lines: Lines::new(mask, NodeFacts::default()),
        })
    }

    /// The line of a flow or a gap, without its end.
    pub fn line(&mut self, response: &GetFlowsResponse) -> Vec<u8> {
        let event = Event::Recorded(Message {
            time_ns: 0,
            message: Box::new(response.clone()),
        });
        let node = NodeFacts::default();
        let mut line = Vec::new();
        // What is neither has no line, and is like nothing that is written.
        drop(self.lines.put(&event, &Surroundings::now(&node), &mut line));
        line.pop();
        line
    }
}

/// Events that an exporter did not come to, and is to tell of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Gap {
    pub(super) count: u64,
    pub(super) first_ns: i64,
    pub(super) last_ns: i64,
}

/// Whether an event is exported: filters judge all kinds of them, and most filters want flows only.
pub(super) fn is_wanted(filter: &Filter, event: &Event, node: &NodeFacts) -> bool {
    if filter.matches_everything() {
        return event.is_flow() || !matches!(event, Event::Flow(_));
    }
    let kind = match event {
        _ if event.is_flow() => return matches(filter, event, node),
        // What is left of a connection, which only our own clients know.
        Event::Flow(_) | Event::Message(_) => return false,
        Event::Recorded(_) | Event::Lost(_) => EventKind::Lost,
        Event::Agent(event) => EventKind::Agent {
            sub_type: event.message.r#type,
        },
        Event::Debug(event) => EventKind::Debug {
            sub_type: event.message.r#type,
        },
    };
    filter.matches(&Other(kind))
}

/// An event that is no flow, as filters see it.
struct Other(EventKind);

impl FlowView for Other {
    type Endpoint<'a> = NoEndpoint;

    fn kind(&self) -> EventKind {
        self.0
    }
}
