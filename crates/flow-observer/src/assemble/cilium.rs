//! Events of Cilium's records: what each kind of record says of a flow.
//!
//! The rules are those of Hubble's parser. Records have no time; theirs is that of reading.

mod agent;
mod packets;
mod socket;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use super::{Assembler, Surroundings, now_ns};
use crate::{
    decode::{
        self, Start,
        cilium::{self as records, Overlay, Packet, PacketStart, Record, Requests},
    },
    enrich::CiliumEndpoints,
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
        let record = match records::decode(bytes) {
            Ok(record) => record,
            Err(error) => return self.counters.undecodable(error.reason()),
        };
        let flow = match record {
            Record::Trace(notify, packet) => self.trace(&notify, &packet, around),
            Record::Drop(notify, packet) => self.datapath_drop(&notify, &packet, around),
            Record::PolicyVerdict(notify, packet) => self.policy_verdict(&notify, &packet, around),
            Record::Capture(capture, packet) => self.debug_capture(&capture, &packet, around),
            Record::Socket(notify) => Some(self.datapath_socket(&notify, around)),
            Record::AccessLog(log) => {
                let flow = self.request(&log, around);
                return events.extend(flow.map(|flow| {
                    Event::Message(Message {
                        time_ns: now_ns(),
                        message: Box::new(flow),
                    })
                }));
            }
            Record::Agent(notification) => return events.push(self.agent_event(&notification)),
            Record::Debug(message) => return events.push(self.debug_event(&message, cpu)),
        };
        if let Some(flow) = flow {
            events.push(Event::Flow(flow));
        }
    }

    fn dissect(&mut self, packet: &Packet<'_>) -> Option<PacketHeaders> {
        let start = match packet.start {
            PacketStart::Ethernet => Start::Ethernet,
            PacketStart::Ipv4 => Start::Ipv4,
            PacketStart::Ipv6 => Start::Ipv6,
        };
        let overlay = packet.overlay.map(|overlay| match overlay {
            Overlay::Geneve => TunnelProtocol::Geneve,
            Overlay::Vxlan => TunnelProtocol::Vxlan,
        });
        match decode::dissect_as_hubble(packet.bytes, start, overlay) {
            Ok(dissected) => Some(dissected.headers),
            Err(error) => self.undecodable(error.reason()),
        }
    }

    fn parties(
        &mut self,
        ends: Option<(IpAddr, IpAddr)>,
        (source, destination): (u32, u32),
        around: &Surroundings,
    ) -> (Party, Party) {
        let endpoints = &mut self.cilium.endpoints;
        let snapshot = &around.snapshot;
        (
            endpoints.party(snapshot, ends.map(|(from, _)| from), source),
            endpoints.party(snapshot, ends.map(|(_, to)| to), destination),
        )
    }
}
