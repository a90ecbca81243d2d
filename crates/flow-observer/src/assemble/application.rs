//! What applications say in the payload of a flow's packet: parsed once, then told to everybody whom
//! it concerns.

use super::Assembler;
use crate::{
    decode::{
        Dissected,
        payload::{Piece, Stream},
    },
    enrich::Identities,
    exchange::Position,
    record::{FlowRecord, Transport},
    ring::Event,
};

/// The captured payload of a packet; empty where there is no packet, or none of it was captured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Payload<'a> {
    /// The bytes.
    pub(super) bytes: &'a [u8],
    /// Where they begin in the sender's stream: TCP's sequence number, else 0.
    pub(super) sequence: u32,
    /// What of the other side's stream the sender had received: TCP's acknowledgment number, else 0.
    pub(super) acknowledgment: u32,
    /// The capture went as far as the packet.
    pub(super) is_whole: bool,
    /// All packets of the stream are captured.
    pub(super) is_followed: bool,
}

impl<'a> Payload<'a> {
    /// The payload of a packet that was found in `bytes`. Other packets of its stream may not be
    /// captured.
    pub(super) fn of(bytes: &'a [u8], is_whole: bool, packet: &Dissected) -> Self {
        Self {
            is_whole,
            is_followed: false,
            bytes: bytes.get(packet.payload.clone()).unwrap_or_default(),
            sequence: packet.sequence,
            acknowledgment: packet.acknowledgment,
        }
    }
}

impl Assembler {
    /// Hears what is said in the packet of the flow at `at` of `events`, which is complete
    /// otherwise, and puts names to its ends; the requests and responses in it come behind `events`.
    /// To be called once for each flow, also for those without a payload. A payload that looks like a
    /// protocol and is not of it is nobody's concern.
    pub(super) fn hear(&mut self, at: usize, payload: Payload<'_>, events: &mut Vec<Event>) {
        let Some(Event::Flow(flow)) = events.get_mut(at) else {
            return;
        };
        let heard =
            piece(flow, payload).and_then(|piece| self.beginnings.hear(piece, &mut self.scratch));
        if let Some(heard) = &heard {
            if let Some(summary) = heard.application.summary() {
                flow.rare.get_or_insert_default().application = Some(summary);
            }
            self.names.hear(&heard.application, flow);
        }
        self.names.name(flow, Identities::Ours);
        // With the names that were just put.
        if let Some(heard) = &heard {
            let position = Position {
                sequence: heard.sequence,
                acknowledgment: payload.acknowledgment,
            };
            let uuids = &mut self.uuids;
            if heard.time_ns == flow.time_ns {
                self.exchanges.hear(flow, heard, position, uuids);
            } else {
                let mut begun = flow.clone();
                begun.time_ns = heard.time_ns;
                self.exchanges.hear(&begun, heard, position, uuids);
            }
            self.exchanges.tell(events);
        }
    }

    /// Learns names from what is said in the packet of a flow whose source tells requests and
    /// responses itself.
    pub(super) fn hear_names(&mut self, flow: &mut FlowRecord, payload: Payload<'_>) {
        let heard =
            piece(flow, payload).and_then(|piece| self.beginnings.hear(piece, &mut self.scratch));
        if let Some(heard) = heard {
            if let Some(summary) = heard.application.summary() {
                flow.rare.get_or_insert_default().application = Some(summary);
            }
            self.names.hear(&heard.application, flow);
        }
    }
}

/// The payload of a flow's packet and where it belongs; `None` where there is none, and no connection
/// is opened of which more will be seen.
fn piece<'a>(flow: &FlowRecord, payload: Payload<'a>) -> Option<Piece<'a>> {
    if payload.bytes.is_empty() && !payload.is_followed {
        return None;
    }
    let transport = flow.packet.transport?;
    let ip = flow.packet.ip?;
    let ports = match transport {
        Transport::Tcp {
            source_port,
            destination_port,
            ..
        }
        | Transport::Udp {
            source_port,
            destination_port,
        } => (source_port, destination_port),
        _ => return None,
    };
    Some(Piece {
        stream: Stream {
            source: ip.source,
            destination: ip.destination,
            ports,
            device: flow.interface.as_ref().map_or(0, |device| device.index),
        },
        transport,
        bytes: payload.bytes,
        sequence: payload.sequence,
        time_ns: flow.time_ns,
        is_whole: payload.is_whole,
        is_followed: payload.is_followed,
    })
}
