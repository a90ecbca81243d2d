//! Connections whose addresses somebody replaces on their way: a service's by one of its backends',
//! a pod's by its node's.

mod table;

use std::net::{IpAddr, SocketAddr};

pub(crate) use table::Translations;

use crate::record::{FlowRecord, Observation, PacketHeaders, Transport};

/// Number of the IP protocol.
pub(crate) const TCP: u8 = 6;
/// Number of the IP protocol.
pub(crate) const UDP: u8 = 17;
/// Number of the IP protocol.
pub(crate) const SCTP: u8 = 132;

/// A port at an address.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct End {
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
}

impl From<SocketAddr> for End {
    fn from(address: SocketAddr) -> Self {
        Self {
            ip: address.ip(),
            port: address.port(),
        }
    }
}

/// Where a packet comes from and where it goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ends {
    /// Sender.
    pub source: End,
    /// Receiver.
    pub destination: End,
}

impl Ends {
    /// The ends of a packet, with the number of its protocol; `None` for protocols without ports.
    pub(crate) fn of(packet: &PacketHeaders) -> Option<(u8, Self)> {
        let ip = packet.ip?;
        let (protocol, source, destination) = match packet.transport? {
            Transport::Tcp {
                source_port,
                destination_port,
                ..
            } => (TCP, source_port, destination_port),
            Transport::Udp {
                source_port,
                destination_port,
            } => (UDP, source_port, destination_port),
            Transport::Sctp {
                source_port,
                destination_port,
                ..
            } => (SCTP, source_port, destination_port),
            _ => return None,
        };
        let ends = Self {
            source: End {
                ip: ip.source,
                port: source,
            },
            destination: End {
                ip: ip.destination,
                port: destination,
            },
        };
        Some((protocol, ends))
    }

    /// The ends of an answer.
    pub(crate) fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
        }
    }
}

/// A connection, and what became of its addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Translation {
    /// Number of the IP protocol.
    pub protocol: u8,
    /// As whoever opened the connection has them.
    pub original: Ends,
    /// As whoever answers has them; opener first, too.
    pub translated: Ends,
    /// The socket at which the address is replaced; 0 where it is replaced in packets.
    pub socket_cookie: u64,
}

/// Where on the way of a translated connection a packet is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Where whoever opened the connection has its translated address.
    pub(crate) is_masqueraded: bool,
    /// On its way back to whoever opened the connection.
    pub(crate) is_reply: bool,
}

impl Translation {
    /// The ends before the translation, behind it, and between: a firewall replaces destinations
    /// when a packet comes in and sources when it goes out, and a bridge can be in the middle.
    fn stages(&self) -> [Ends; 3] {
        let between = Ends {
            source: self.original.source,
            destination: self.translated.destination,
        };
        [self.original, self.translated, between]
    }

    /// Where a packet with these ends is; `None` when it is of another connection.
    pub(crate) fn place(&self, ends: &Ends) -> Option<Place> {
        let back = ends.reversed();
        let stage = |ends: &Ends| self.stages().iter().position(|stage| stage == ends);
        let (stage, is_reply) = stage(ends)
            .map(|stage| (stage, false))
            .or_else(|| stage(&back).map(|stage| (stage, true)))?;
        Some(Place {
            is_masqueraded: stage == 1,
            is_reply,
        })
    }

    /// By what its packets are found.
    pub(crate) fn keys(&self) -> [Connection; 3] {
        self.stages()
            .map(|ends| Connection::between(self.protocol, &ends))
    }
}

/// Both ends of a connection, the smaller first: the same for both directions.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Connection {
    protocol: u8,
    ends: [End; 2],
}

impl Connection {
    pub(crate) fn between(protocol: u8, ends: &Ends) -> Self {
        let mut ends = [ends.source, ends.destination];
        ends.sort_unstable();
        Self { protocol, ends }
    }
}

impl FlowRecord {
    /// Who sent the packet, where its own source is somebody who masquerades it. Only of packets
    /// that passed: as in Hubble, drops have what the packet has.
    pub(crate) fn original_source(&self) -> Option<IpAddr> {
        let source = self.packet.ip?.source;
        let told = self.rare.as_ref().and_then(|rare| rare.original_source);
        let original = told.or_else(|| self.masqueraded())?;
        (original != source).then_some(original)
    }

    fn masqueraded(&self) -> Option<IpAddr> {
        let translation = self.translation.as_ref()?;
        if !matches!(
            self.observation,
            Observation::Trace { .. } | Observation::Closing { .. }
        ) {
            return None;
        }
        let (_, ends) = Ends::of(&self.packet)?;
        let place = translation.place(&ends)?;
        (place.is_masqueraded && !place.is_reply).then_some(translation.original.source.ip)
    }
}
