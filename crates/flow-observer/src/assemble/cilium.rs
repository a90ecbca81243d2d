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
    /// An event of one record. `None` for one that cannot be read, or is of no known kind.
    pub(super) fn cilium_event(
        &mut self,
        cpu: u32,
        bytes: &[u8],
        around: &Surroundings,
    ) -> Option<Event> {
        let record = match records::decode(bytes) {
            Ok(record) => record,
            Err(error) => return self.undecodable(error.reason()),
        };
        match record {
            Record::Trace(notify, packet) => self.trace(&notify, &packet, around).map(Event::Flow),
            Record::Drop(notify, packet) => self
                .datapath_drop(&notify, &packet, around)
                .map(Event::Flow),
            Record::PolicyVerdict(notify, packet) => self
                .policy_verdict(&notify, &packet, around)
                .map(Event::Flow),
            Record::Capture(capture, packet) => self
                .debug_capture(&capture, &packet, around)
                .map(Event::Flow),
            Record::Socket(notify) => Some(Event::Flow(self.datapath_socket(&notify, around))),
            Record::AccessLog(log) => self.request(&log, around).map(|flow| {
                Event::Message(Message {
                    time_ns: now_ns(),
                    message: Box::new(flow),
                })
            }),
            Record::Agent(notification) => Some(self.agent_event(&notification)),
            Record::Debug(message) => Some(self.debug_event(&message, cpu)),
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
