//! What went wrong on TCP connections since their last flow.
//!
//! In: retransmissions and resets, as the kernel sends them. Out: how many there were, taken by
//! the connection's next flow, in whichever direction that goes.

use std::net::{IpAddr, SocketAddr};

use probe_events::TcpTrouble;

use crate::{
    decode::TcpEvent,
    recent::Recent,
    record::{PacketHeaders, Transport},
};

/// Connections in trouble at the same time, half of them. Entries are small, and leave with the
/// connection's next packet, which the trouble itself announces.
const GENERATION: usize = 4096;

/// Counts per connection, until somebody takes them.
#[derive(Debug)]
pub struct TcpTroubles {
    connections: Recent<Connection, Counts>,
}

/// Both ends, the smaller first, so that both directions are one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Connection([(IpAddr, u16); 2]);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    retransmits: u32,
    resets_sent: u32,
}

impl Default for TcpTroubles {
    fn default() -> Self {
        Self {
            connections: Recent::with_generation(GENERATION),
        }
    }
}

impl TcpTroubles {
    /// Counts one.
    pub fn add(&mut self, event: &TcpEvent) {
        let connection = Connection::between(event.source, event.destination);
        if let Some(counts) = self.connections.get_mut(&connection) {
            counts.add(event.trouble);
        } else {
            let mut counts = Counts::default();
            counts.add(event.trouble);
            self.connections.insert(connection, counts);
        }
    }

    /// Retransmissions and sent resets of the packet's connection since this was last asked.
    #[inline]
    pub fn take(&mut self, packet: &PacketHeaders) -> Option<(u32, u32)> {
        // So in the ordinary case a packet costs nothing here.
        if self.connections.is_empty() {
            return None;
        }
        self.take_of(packet)
    }

    fn take_of(&mut self, packet: &PacketHeaders) -> Option<(u32, u32)> {
        let (
            Some(ip),
            Some(Transport::Tcp {
                source_port,
                destination_port,
                ..
            }),
        ) = (&packet.ip, &packet.transport)
        else {
            return None;
        };
        let connection = Connection::between(
            SocketAddr::new(ip.source, *source_port),
            SocketAddr::new(ip.destination, *destination_port),
        );
        let counts = self.connections.remove(&connection)?;
        Some((counts.retransmits, counts.resets_sent))
    }
}

impl Counts {
    fn add(&mut self, trouble: TcpTrouble) {
        let count = match trouble {
            TcpTrouble::Retransmit => &mut self.retransmits,
            TcpTrouble::Reset => &mut self.resets_sent,
        };
        *count = count.saturating_add(1);
    }
}

impl Connection {
    fn between(one: SocketAddr, other: SocketAddr) -> Self {
        let mut ends = [(one.ip(), one.port()), (other.ip(), other.port())];
        ends.sort_unstable();
        Self(ends)
    }
}

#[cfg(test)]
mod tests {
    use flow_filter::TcpFlags;

    use super::*;
    use crate::record::Ip;

    fn end(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    fn event(trouble: TcpTrouble, source: SocketAddr, destination: SocketAddr) -> TcpEvent {
        TcpEvent {
            trouble,
            time_ns: 0,
            socket_cookie: 0,
            netns_cookie: 0,
            source,
            destination,
        }
    }

    fn segment(source: SocketAddr, destination: SocketAddr) -> PacketHeaders {
        PacketHeaders {
            ip: Some(Ip {
                source: source.ip(),
                destination: destination.ip(),
            }),
            transport: Some(Transport::Tcp {
                source_port: source.port(),
                destination_port: destination.port(),
                flags: TcpFlags::default(),
            }),
            ..PacketHeaders::default()
        }
    }

    #[test]
    fn the_next_packet_of_either_direction_takes_what_was_counted_once() {
        let (client, server) = (end(1, 4000), end(2, 80));
        let mut troubles = TcpTroubles::default();
        troubles.add(&event(TcpTrouble::Retransmit, client, server));
        troubles.add(&event(TcpTrouble::Retransmit, client, server));
        troubles.add(&event(TcpTrouble::Reset, server, client));
        assert_eq!(troubles.take(&segment(client, end(2, 81))), None);
        assert_eq!(troubles.take(&segment(server, client)), Some((2, 1)));
        assert_eq!(troubles.take(&segment(client, server)), None);
    }

    #[test]
    fn connections_that_never_send_again_are_forgotten() {
        let mut troubles = TcpTroubles::default();
        troubles.add(&event(TcpTrouble::Reset, end(1, 1), end(2, 80)));
        for port in 0..2 * GENERATION {
            let client = end(3, port as u16);
            troubles.add(&event(TcpTrouble::Reset, client, end(2, 80)));
        }
        assert_eq!(troubles.take(&segment(end(1, 1), end(2, 80))), None);
    }
}
