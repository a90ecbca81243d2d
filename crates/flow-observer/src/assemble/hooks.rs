//! What the optional programs add: flows of translated addresses, processes, and trouble in TCP.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use flow_filter::TcpFlags;
use probe_events::TranslationPoint;

use super::{Assembler, Surroundings, application::Payload};
use crate::{
    decode::{self, Hook, SocketEvent, TcpEvent},
    process::Process,
    record::{FlowRecord, Ip, Observation, PacketHeaders, Transport},
    ring::Event,
    source::Namespace,
};

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Assembler {
    /// A record of an optional program. Trouble in TCP waits for the connection's next flow.
    pub(super) fn hook(&mut self, bytes: &[u8], around: &Surroundings, events: &mut Vec<Event>) {
        match decode::decode_hook(bytes) {
            Ok(Hook::Socket(event)) => {
                if let Some(flow) = self.socket_flow(&event, around, events) {
                    self.add_translation(flow, around);
                    self.hear(events.len() - 1, Payload::default(), events);
                }
            }
            Ok(Hook::Tcp(event)) => self.tcp_trouble(&event),
            Err(error) => self.counters.undecodable(error.reason()),
        }
    }

    /// Adds what the optional programs know to a flow of the probes.
    #[inline]
    pub(super) fn add_hooks(&mut self, flow: &mut FlowRecord, around: &Surroundings) {
        if matches!(
            flow.observation,
            Observation::Trace { .. } | Observation::Closing { .. }
        ) && let Some((retransmits, resets_sent)) = self.tcp_troubles.take(&flow.packet)
        {
            flow.counts.tcp_retransmits = retransmits;
            flow.counts.tcp_resets_sent = resets_sent;
        }
        if !around.has_processes {
            return;
        }
        flow.process = if flow.socket_cookie != 0 {
            self.facts.process_of_socket(flow.socket_cookie)
        } else {
            self.receiver(&flow.packet)
        };
        self.units.name(flow);
    }

    /// Who waits for a packet that comes from elsewhere: it belongs to no socket yet.
    fn receiver(&mut self, packet: &PacketHeaders) -> Option<Arc<Process>> {
        let (protocol, port) = match packet.transport? {
            Transport::Tcp {
                destination_port, ..
            } => (TCP, destination_port),
            Transport::Udp {
                destination_port, ..
            } => (UDP, destination_port),
            _ => return None,
        };
        let address = packet.ip?.destination;
        self.facts.process_of_listener(address, protocol, port)
    }

    /// A translated address. `None` when the socket is another node's, or has no address.
    fn socket_flow<'events>(
        &mut self,
        event: &SocketEvent,
        around: &Surroundings,
        events: &'events mut Vec<Event>,
    ) -> Option<&'events mut FlowRecord> {
        let Some(namespace) = self.facts.namespace(event.netns_cookie) else {
            self.counters.socket_elsewhere();
            return None;
        };
        let Some(own) = own_address(&namespace, event.peer.ip()) else {
            return self.undecodable("socket_without_address");
        };
        let packet = headers(event, own);
        let time_ns = (event.time_ns as i64).saturating_add(around.offset_ns);
        let observation = Observation::Socket {
            point: event.point as u8,
            cgroup_id: event.process.cgroup_id,
        };
        // Remembered by socket; written anew only where the table of sockets has forgotten it.
        let process = self
            .facts
            .process_of_socket(event.socket_cookie)
            .unwrap_or_else(|| Arc::new(Process::from(&event.process)));
        let parties = around.parties(&packet);
        let flow = self.begin(events, time_ns, observation, &packet, parties)?;
        flow.socket_cookie = event.socket_cookie;
        flow.process = Some(process);
        Some(flow)
    }

    fn tcp_trouble(&mut self, event: &TcpEvent) {
        if self.facts.namespace(event.netns_cookie).is_some() {
            self.tcp_troubles.add(event);
        } else {
            self.counters.socket_elsewhere();
        }
    }
}

/// The first address in the namespace that can talk to `peer`. The hooks do not tell the socket's
/// own: before a connection it has none.
fn own_address(namespace: &Namespace, peer: IpAddr) -> Option<IpAddr> {
    let is_local = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    };
    if is_local(&peer) {
        return Some(peer);
    }
    namespace
        .addresses
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == peer.is_ipv4() && !is_local(address))
}

/// What a packet of the socket would look like, but for the socket's own port, which nobody tells.
fn headers(event: &SocketEvent, own: IpAddr) -> PacketHeaders {
    let own = SocketAddr::new(own, 0);
    let (source, destination) = match event.point {
        TranslationPoint::PreForward | TranslationPoint::PostForward => (own, event.peer),
        TranslationPoint::PreReverse | TranslationPoint::PostReverse => (event.peer, own),
    };
    let transport = match event.protocol {
        TCP => Some(Transport::Tcp {
            source_port: source.port(),
            destination_port: destination.port(),
            flags: TcpFlags::default(),
        }),
        UDP => Some(Transport::Udp {
            source_port: source.port(),
            destination_port: destination.port(),
        }),
        _ => None,
    };
    PacketHeaders {
        ip: Some(Ip {
            source: source.ip(),
            destination: destination.ip(),
        }),
        transport,
        ..PacketHeaders::default()
    }
}

#[cfg(test)]
mod tests;
