//! Ports of fragments.
//!
//! Only the first fragment of a packet has the transport header. This remembers what it said, for
//! those that follow: in captures, that is; in the kernel the probes remember it themselves.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use flow_filter::TcpFlags;

use crate::record::{PacketHeaders, Transport};

/// Fragmented packets of which more fragments may come. Those of one packet follow each other
/// closely, so this is room for thousands of senders at once; about half a megabyte.
const MOST_PACKETS: usize = 4096;

/// How long Linux waits for the fragments of a packet. Identifications are used again after that.
const LIFETIME_NS: i64 = 30_000_000_000;

/// What first fragments said. When full, the oldest is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    first: HashMap<Key, First>,
    /// The keys of `first`, oldest first.
    order: VecDeque<Key>,
}

/// What the fragments of a packet have in common (RFC 791, RFC 8200).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    id: u32,
}

#[derive(Clone, Copy, Debug)]
struct First {
    transport: Transport,
    time_ns: i64,
}

impl Fragments {
    /// Remembers the ports of a first fragment, and gives them to one that follows.
    #[inline]
    pub(crate) fn complete(&mut self, packet: &mut PacketHeaders, time_ns: i64) {
        let (Some(ip), Some(fragment)) = (packet.ip, packet.fragment) else {
            return;
        };
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            protocol: fragment.protocol,
            id: fragment.id,
        };
        if let Some(transport) = packet.transport {
            self.remember(key, First { transport, time_ns });
        } else if fragment.offset != 0 {
            packet.transport = self.recall(key, time_ns);
        }
    }

    fn remember(&mut self, key: Key, first: First) {
        if self.first.insert(key, first).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > MOST_PACKETS
            && let Some(oldest) = self.order.pop_front()
        {
            self.first.remove(&oldest);
        }
    }

    fn recall(&self, key: Key, time_ns: i64) -> Option<Transport> {
        let first = self.first.get(&key)?;
        if time_ns.saturating_sub(first.time_ns) > LIFETIME_NS {
            return None;
        }
        Some(match first.transport {
            // The flags are those of one segment, and were told with its first fragment.
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            } => Transport::Tcp {
                source_port,
                destination_port,
                flags: TcpFlags::from_bits(0),
            },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Fragment, Ip};

    const SECOND: i64 = 1_000_000_000;

    fn fragment(id: u32, offset: u16) -> PacketHeaders {
        PacketHeaders {
            ip: Some(Ip {
                source: [10, 0, 0, 1].into(),
                destination: [10, 0, 0, 2].into(),
            }),
            fragment: Some(Fragment {
                id,
                offset,
                more: true,
                protocol: 17,
            }),
            transport: (offset == 0).then_some(UDP),
            ..PacketHeaders::default()
        }
    }

    const UDP: Transport = Transport::Udp {
        source_port: 1000,
        destination_port: 53,
    };

    fn transport_of(
        fragments: &mut Fragments,
        mut packet: PacketHeaders,
        time_ns: i64,
    ) -> Option<Transport> {
        fragments.complete(&mut packet, time_ns);
        packet.transport
    }

    #[test]
    fn later_fragments_get_the_ports_of_the_first() {
        let mut fragments = Fragments::default();
        let early = transport_of(&mut fragments, fragment(7, 1480), 0);
        assert_eq!(early, None);
        transport_of(&mut fragments, fragment(7, 0), 0);
        for offset in [1480, 2960] {
            let later = transport_of(&mut fragments, fragment(7, offset), SECOND);
            assert_eq!(later, Some(UDP));
        }
        let other = transport_of(&mut fragments, fragment(8, 1480), SECOND);
        assert_eq!(other, None);
    }

    #[test]
    fn what_is_older_than_a_packets_life_is_of_another_packet() {
        let mut fragments = Fragments::default();
        transport_of(&mut fragments, fragment(7, 0), 0);
        let later = transport_of(&mut fragments, fragment(7, 1480), 31 * SECOND);
        assert_eq!(later, None);
        transport_of(&mut fragments, fragment(7, 0), 32 * SECOND);
        let later = transport_of(&mut fragments, fragment(7, 1480), 33 * SECOND);
        assert_eq!(later, Some(UDP));
    }

    #[test]
    fn when_full_the_oldest_is_forgotten() {
        let mut fragments = Fragments::default();
        for id in 0..=MOST_PACKETS as u32 {
            transport_of(&mut fragments, fragment(id, 0), 0);
        }
        assert_eq!(fragments.first.len(), MOST_PACKETS);
        assert_eq!(fragments.order.len(), MOST_PACKETS);
        assert_eq!(transport_of(&mut fragments, fragment(0, 8), 0), None);
        assert_eq!(transport_of(&mut fragments, fragment(1, 8), 0), Some(UDP));
    }
}
