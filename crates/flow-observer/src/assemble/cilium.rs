//! Events of Cilium's records: what each kind of record says of a flow.
//!
//! The rules are those of Hubble's parser. Records have no time; theirs is that of reading.

mod agent;
mod packets;
mod socket;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::{Assembler, Surroundings, application::Payload, now_ns, services};
use crate::{
    decode::{
        self, Dissected, Start,
        cilium::{self as records, Overlay, Packet, PacketStart, Record, Requests},
    },
    enrich::{CiliumEndpoints, End, Identities, Known, Snapshot, Told},
    record::{PacketHeaders, Party, TunnelProtocol},
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
            self.add_translation(flow, around);
            self.hear_names(flow, payload);
            self.names.name(flow, Identities::Theirs);
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

    /// Who is who, given a packet, identities, and what the record tells of numbers. The sender may
    /// have had another address before; names and services are those of the packet's.
    #[inline(always)]
    fn ends(
        &mut self,
        packet: &PacketHeaders,
        original_source: Option<IpAddr>,
        identities: (u32, u32),
        numbers: (Told, Told),
        around: &Surroundings,
    ) -> Ends {
        let endpoints = &mut self.cilium.endpoints;
        let snapshot = &*around.snapshot;
        let mut source = End {
            address: None,
            identity: identities.0,
            number: numbers.0,
        };
        let mut destination = End {
            address: None,
            identity: identities.1,
            number: numbers.1,
        };
        let Some(ip) = packet.ip else {
            let (source, _) = endpoints.party(snapshot, source);
            let (destination, _) = endpoints.party(snapshot, destination);
            return Ends {
                parties: (source, destination),
                ids: None,
            };
        };
        let known = (
            snapshot.look_up(ip.source),
            snapshot.look_up(ip.destination),
        );
        let sender = original_source.map_or(known.0.endpoint, |it| snapshot.endpoint(it));
        source.address = original_source.or(Some(ip.source));
        destination.address = Some(ip.destination);
        let (source, source_id) = endpoints.party_known_as(sender, source);
        let (destination, destination_id) = endpoints.party_known_as(known.1.endpoint, destination);
        let mut parties = (source, destination);
        put_known(snapshot, packet, known, &mut parties);
        Ends {
            parties,
            ids: Some((source_id, destination_id)),
        }
    }
}

/// Puts to both sides what is known of the packet's addresses, whoever has them.
#[inline(always)]
fn put_known(
    snapshot: &Snapshot,
    packet: &PacketHeaders,
    known: (Known<'_>, Known<'_>),
    parties: &mut (Party, Party),
) {
    parties.0.names = known.0.names.cloned();
    parties.1.names = known.1.names.cloned();
    services::add(snapshot, packet, known, parties);
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
