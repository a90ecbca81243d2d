//! Questions and answers of DNS.

use std::hash::BuildHasher as _;

use flow_api::flow::{self, L7FlowType, layer7::Record};

use super::{Admission, Asked, Conversation, Exchanges, Position, Sighting, Telling};
use crate::{
    decode::payload::dns::{self, Data, Framing, Message},
    layer7::dns_types,
    record::{FlowRecord, Transport},
    uuid::Uuids,
};

/// Who saw a message: nobody to whom it was sent, unlike Cilium's `proxy`.
const OBSERVATION_SOURCE: &str = "passive";
/// Messages that are read of one TCP segment. Resolvers send two: for IPv4 and IPv6.
const MAX_MESSAGES: usize = 16;
/// Bytes before each message over TCP: its length.
const PREFIX_BYTES: usize = 2;

/// A message in a packet.
struct Heard<'a> {
    flow: &'a FlowRecord,
    message: Message<'a>,
    bytes: &'a [u8],
    /// Where it begins in its stream; `None` for a datagram.
    sequence: Option<u32>,
}

impl Exchanges {
    /// All messages of a packet, of which `first` was parsed already.
    pub(super) fn dns(
        &mut self,
        flow: &FlowRecord,
        first: &Message<'_>,
        payload: &[u8],
        position: Position,
        uuids: &mut Uuids,
    ) {
        if !matches!(flow.packet.transport, Some(Transport::Tcp { .. })) {
            let heard = Heard {
                flow,
                message: *first,
                bytes: payload,
                sequence: None,
            };
            return self.dns_message(&heard, uuids);
        }
        let mut message = *first;
        let mut at = 0;
        for _ in 0..MAX_MESSAGES {
            let rest = payload.get(at..).unwrap_or_default();
            let Some(len) = rest.first_chunk() else {
                return;
            };
            let len = PREFIX_BYTES + usize::from(u16::from_be_bytes(*len));
            let heard = Heard {
                flow,
                message,
                bytes: rest.get(..len).unwrap_or(rest),
                sequence: Some(position.sequence.wrapping_add(at as u32)),
            };
            self.dns_message(&heard, uuids);
            at += len;
            let next = payload.get(at..).unwrap_or_default();
            let Ok(next) = dns::parse(next, Framing::Stream) else {
                return;
            };
            message = next;
        }
    }

    fn dns_message(&mut self, heard: &Heard<'_>, uuids: &mut Uuids) {
        let Some(question) = heard.message.questions().next() else {
            return;
        };
        let Some(sighting) = Sighting::of(heard.flow, heard.message.is_response()) else {
            return;
        };
        let mark = match heard.sequence {
            Some(sequence) => self.seen.segment(sequence, heard.bytes),
            None => self.seen.datagram(heard.bytes),
        };
        let admission = self.admit(mark, &sighting);
        if admission == Admission::Ignore {
            return;
        }
        // Some resolvers ask in random case, and names that differ in case alone are the same.
        let query = question.name.to_string().to_ascii_lowercase();
        let digest = self
            .hasher
            .hash_one((heard.message.id(), question.record_type, &query));
        let conversation = Conversation {
            client: sighting.client,
            server: sighting.server,
            question: Some(digest),
        };
        let is_silent = admission == Admission::Silent;
        if heard.message.is_response() {
            let asked = self.queries.take(&conversation);
            if !self.admit_response(mark, &sighting, &conversation, asked.as_ref(), is_silent) {
                return;
            }
            let telling = Telling {
                flow: heard.flow,
                direction: asked.as_ref().map_or(sighting.direction, |it| it.direction),
                layer7: flow::Layer7 {
                    r#type: L7FlowType::Response.into(),
                    latency_ns: asked.map_or(0, |it| it.latency_ns(&sighting)),
                    record: Some(Record::Dns(response(&heard.message, query))),
                },
                trace_id: None,
            };
            let event = self.event(telling, uuids);
            self.ready.push(event);
            return;
        }
        self.seen.insert(mark, &sighting, !is_silent);
        let position = Position::default();
        let asked = Asked {
            time_ns: sighting.time_ns,
            position,
            direction: sighting.direction,
            is_silent,
            method: Box::default(),
            url: Box::default(),
            trace_id: None,
        };
        self.ask(conversation, asked);
        if is_silent {
            return;
        }
        let telling = Telling {
            flow: heard.flow,
            direction: sighting.direction,
            layer7: flow::Layer7 {
                r#type: L7FlowType::Request.into(),
                latency_ns: 0,
                record: Some(Record::Dns(request(&heard.message, query))),
            },
            trace_id: None,
        };
        self.tell_request(telling, mark, &sighting, conversation, position, uuids);
    }
}

fn request(message: &Message<'_>, query: String) -> flow::Dns {
    flow::Dns {
        query,
        observation_source: OBSERVATION_SOURCE.to_owned(),
        qtypes: dns_types(message.questions().map(|it| it.record_type.0.into())),
        ..flow::Dns::default()
    }
}

fn response(message: &Message<'_>, query: String) -> flow::Dns {
    let (mut ips, mut cnames, mut types) = (Vec::new(), Vec::new(), Vec::new());
    for answer in message.answers() {
        match answer.data {
            Data::A(address) => ips.push(address.to_string()),
            Data::Aaaa(address) => ips.push(address.to_string()),
            Data::Cname(name) => cnames.push(name.to_string()),
            // Its type is all that flows tell of any other.
            _ => {}
        }
        let number = u64::from(answer.record_type.0);
        if !types.contains(&number) {
            types.push(number);
        }
    }
    flow::Dns {
        ips,
        // The answer as a whole holds as long as all of it does.
        ttl: message.answers().map(|it| it.ttl).min().unwrap_or(0),
        cnames,
        rcode: message.rcode().into(),
        rrtypes: dns_types(types),
        ..request(message, query)
    }
}
