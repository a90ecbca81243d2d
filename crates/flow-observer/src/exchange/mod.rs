//! Requests and their responses: flows of layer 7, made of what packets say.
//!
//! In: each flow of a packet whose payload was understood, with that payload. Out: for each DNS or
//! HTTP/1 message a flow of its own, as a proxy of Cilium's would log it, put behind the packet's.
//!
//! A message passes several places of a node and is told once (`sighting`, `seen`). A response
//! is told with what was asked and how long it took (`waiting`). All tables are bounded; what they
//! forget is counted.
//!
//! Everything is heard by the one thread that assembles flows, so nothing here is locked.

mod dns;
mod held;
mod http;
mod message;
mod seen;
mod sighting;
#[cfg(test)]
mod tests;
mod waiting;

use std::{hash::RandomState, sync::Arc};

use flow_api::flow;

use crate::{
    counters::Counters,
    decode::payload::{Application, Heard},
    encode::{self, NodeFacts},
    enrich::Directory,
    layer7::{self, Redaction},
    record::FlowRecord,
    ring::{Event, Message},
    source::Progress,
    uuid::Uuids,
};
use held::Held;
use seen::{Again, Mark, Seen};
use sighting::Sighting;
use waiting::{Asked, Conversation, Waiting};

/// What is counted about exchanges: its name among the counters.
const COUNTED: &str = "exchange";

/// Which exchanges become flows, and what is shown of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Questions and answers of DNS.
    pub dns: bool,
    /// Requests and responses of HTTP/1.
    pub http: bool,
    /// What is not shown.
    pub redaction: Redaction,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dns: true,
            http: true,
            redaction: Redaction::default(),
        }
    }
}

/// Makes flows of requests and responses.
#[derive(Debug)]
pub(crate) struct Exchanges {
    options: Options,
    node: NodeFacts,
    counters: Arc<Counters>,
    hasher: RandomState,
    seen: Seen,
    requests: Waiting,
    queries: Waiting,
    held: Held,
    /// Flows that [`Exchanges::tell`] hands out.
    ready: Vec<Event>,
}

/// Where a payload stands in the streams of its TCP connection; zeros for a datagram.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Position {
    /// Its first byte, in the sender's stream.
    pub(crate) sequence: u32,
    /// The first byte that the sender has not received, in the other side's stream.
    pub(crate) acknowledgment: u32,
}

/// What is to be done about a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Admission {
    /// It is new.
    Tell,
    /// It was told at another place of the node, where it had other addresses. Its response here is
    /// not to be told either.
    Silent,
    /// It is the same packet, or the same message sent again.
    Ignore,
}

/// A message that is to be told.
struct Telling<'a> {
    flow: &'a FlowRecord,
    direction: flow::TrafficDirection,
    layer7: flow::Layer7,
    trace_id: Option<&'a str>,
}

impl Exchanges {
    pub(crate) fn new(
        options: Options,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            options,
            node: NodeFacts {
                name: directory.node_name().to_owned(),
                directory: Some(directory),
            },
            counters,
            hasher: RandomState::new(),
            seen: Seen::default(),
            requests: Waiting::default(),
            queries: Waiting::default(),
            held: Held::default(),
            ready: Vec::new(),
        }
    }

    pub(crate) fn redaction(&self) -> &Redaction {
        &self.options.redaction
    }

    /// Hears what was said in a flow's packet, or in that and those before it; the flow has the time
    /// at which that began. What is made of it waits for [`Exchanges::tell`].
    pub(crate) fn hear(
        &mut self,
        flow: &FlowRecord,
        heard: &Heard<'_>,
        position: Position,
        uuids: &mut Uuids,
    ) {
        match &heard.application {
            Application::Dns(message) if self.options.dns => {
                self.dns(flow, message, heard.bytes, position, uuids);
            }
            Application::HttpRequest(_) | Application::HttpResponse(_) if self.options.http => {
                self.http(flow, &heard.application, heard.bytes, position, uuids);
            }
            _ => {}
        }
    }

    /// Puts the flows of what was heard behind `events`.
    pub(crate) fn tell(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.ready);
    }

    /// To be called at the end of each batch: what was held back long enough is told now; when the
    /// source has ended, all of it.
    pub(crate) fn settle(&mut self, progress: Progress, events: &mut Vec<Event>) {
        self.held.settle(progress == Progress::Ended, events);
    }

    /// Whether a request or a response is told here.
    fn admit(&mut self, mark: Mark, sighting: &Sighting) -> Admission {
        let again = self.seen.look(mark, sighting);
        if again != Again::No
            && sighting.is_device
            && let Some((conversation, sequence)) = self.held.take(mark)
        {
            // Seen before where it entered the node; here is the better place to tell it.
            self.waiting(&conversation).forget(&conversation, sequence);
            return Admission::Tell;
        }
        match again {
            Again::No => Admission::Tell,
            Again::Elsewhere => Admission::Silent,
            Again::Repeated => Admission::Ignore,
        }
    }

    fn waiting(&mut self, conversation: &Conversation) -> &mut Waiting {
        match conversation.question {
            None => &mut self.requests,
            Some(_) => &mut self.queries,
        }
    }

    /// Remembers a request until its response comes.
    fn ask(&mut self, conversation: Conversation, asked: Asked) {
        let forgotten = self.waiting(&conversation).push(conversation, asked);
        for _ in 0..forgotten {
            self.counters.note(COUNTED, "request_forgotten");
        }
    }

    /// Tells a request, now or, where a better place may follow, a little later.
    fn tell_request(
        &mut self,
        telling: Telling<'_>,
        mark: Mark,
        sighting: &Sighting,
        conversation: Conversation,
        position: Position,
        uuids: &mut Uuids,
    ) {
        let event = self.event(telling, uuids);
        if sighting.may_be_held {
            let overdue = self.held.hold(mark, conversation, position.sequence, event);
            self.ready.extend(overdue);
        } else {
            self.ready.push(event);
        }
    }

    /// Whether a response is told here, given what it answers.
    fn admit_response(
        &mut self,
        mark: Mark,
        sighting: &Sighting,
        conversation: &Conversation,
        asked: Option<&Asked>,
        is_elsewhere: bool,
    ) -> bool {
        if is_elsewhere || asked.is_some_and(|asked| asked.is_silent) {
            self.seen.insert(mark, sighting, false);
            return false;
        }
        if asked.is_none() {
            self.counters.note(COUNTED, "response_without_request");
            if sighting.needs_request {
                return false;
            }
        }
        self.ready.extend(self.held.release(conversation));
        self.seen.insert(mark, sighting, true);
        true
    }

    #[cfg(test)]
    pub(crate) fn tables_are_bounded(&self) -> bool {
        self.seen.is_bounded()
            && self.requests.is_bounded()
            && self.queries.is_bounded()
            && self.held.is_bounded()
    }

    fn event(&self, telling: Telling<'_>, uuids: &mut Uuids) -> Event {
        let Telling {
            flow,
            direction,
            layer7,
            trace_id,
        } = telling;
        let message = flow::Flow {
            uuid: encode::uuid_text(uuids.next()),
            traffic_direction: direction.into(),
            trace_context: trace_id.map(layer7::trace_context),
            ..message::message(flow, &self.node, layer7)
        };
        Event::Message(Message {
            time_ns: flow.time_ns,
            message: Box::new(message),
        })
    }
}
