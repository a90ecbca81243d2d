//! Events of Cilium's records: what each kind of record says of a flow.
//!
//! The rules are those of Hubble's parser. Records have no time; theirs is that of reading.

mod agent;
mod packets;
mod socket;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::{Assembler, Surroundings, application::Payload, now_ns};
use crate::{
    decode::{
        self, Dissected, Start,
        cilium::{self as records, Overlay, Packet, PacketStart, Record, Requests},
    },
    enrich::{CiliumEndpoints, End, Told},
    record::{Party, TunnelProtocol},
    ring::{Event, Message},
};

/// What is remembered from one record to the next.
#[derive(Debug, Default)]
pub(super) struct Cilium {
    endpoints: CiliumEndpoints,
    requests: Requests,
}

impl Assembler {
    /// The event of one record, put behind `events`; none of one that cannot be read, or is of no
    /// known kind.
    pub(super) fn cilium_event(
        &mut self,
        cpu: u32,
        bytes: &[u8],
        around: &Surroundings,
        events: &mut Vec<Event>,
    ) {
        let record = records::decode(bytes);
        // Looked at where it is, not moved.
        let record = match &record {
            Ok(record) => record,
            Err(error) => return self.counters.undecodable(error.reason()),
        };
        let mut payload = Payload::default();
        let flow = match record {
            Record::Trace(notify, packet) => {
                self.trace(notify, packet, around, events, &mut payload)
            }
            Record::Drop(notify, packet) => self.datapath_drop(notify, packet, around, events),
            Record::PolicyVerdict(notify, packet) => {
                self.policy_verdict(notify, packet, around, events)
            }
            Record::Capture(capture, packet) => self.debug_capture(capture, packet, around, events),
            Record::Socket(notify) => self.datapath_socket(notify, around, events),
            Record::AccessLog(log) => {
                let flow = self.request(log, around);
                events.extend(flow.map(|flow| {
                    Event::Message(Message {
                        time_ns: now_ns(),
                        message: Box::new(flow),
                    })
                }));
                None
            }
            Record::Agent(notification) => {
                events.push(self.agent_event(notification));
                None
            }
            Record::Debug(message) => {
                events.push(self.debug_event(message, cpu));
                None
            }
        };
        if let Some(flow) = flow {
            self.add_services(flow, around);
            self.hear_names(flow, payload);
            self.put_names(flow, around);
        }
    }

    /// Reads a packet's headers into `dissected`, which is still empty.
    fn dissect(&mut self, packet: &Packet<'_>, dissected: &mut Dissected) -> Option<()> {
        let start = match packet.start {
            PacketStart::Ethernet => Start::Ethernet,
            PacketStart::Ipv4 => Start::Ipv4,
            PacketStart::Ipv6 => Start::Ipv6,
        };
        let overlay = packet.overlay.map(|overlay| match overlay {
            Overlay::Geneve => TunnelProtocol::Geneve,
            Overlay::Vxlan => TunnelProtocol::Vxlan,
        });
        match decode::dissect_as_hubble_into(packet.bytes, start, overlay, dissected) {
            Ok(()) => Some(()),
            Err(error) => self.undecodable(error.reason()),
        }
    }

    /// Who is who, given addresses, identities, and what the record tells of numbers.
    #[inline(always)]
    fn ends(
        &mut self,
        addresses: Option<(IpAddr, IpAddr)>,
        identities: (u32, u32),
        numbers: (Told, Told),
        around: &Surroundings,
    ) -> Ends {
        let endpoints = &mut self.cilium.endpoints;
        let source = End {
            address: addresses.map(|(source, _)| source),
            identity: identities.0,
            number: numbers.0,
        };
        let destination = End {
            address: addresses.map(|(_, destination)| destination),
            identity: identities.1,
            number: numbers.1,
        };
        let (source, source_id) = endpoints.party(&around.snapshot, source);
        let (destination, destination_id) = endpoints.party(&around.snapshot, destination);
        Ends {
            parties: (source, destination),
            ids: addresses.map(|_| (source_id, destination_id)),
        }
    }
}

/// Both ends of a record's packet.
struct Ends {
    parties: (Party, Party),
    /// The endpoints' numbers, 0 for those that are not known; `None` without addresses.
    ids: Option<(u16, u16)>,
}

impl Ends {
    /// Whether the packet comes from the endpoint with this number, on whose behalf the datapath
    /// ran; `None` when there is none, and as long as nobody told whose number it is.
    fn is_from(&self, id: u16) -> Option<bool> {
        match self.ids {
            _ if id == 0 => None,
            None => Some(false),
            Some((0, destination)) => (destination == id).then_some(false),
            Some((source, _)) => Some(source == id),
        }
    }
}
