//! Records of what the pods of a node do, in fixed shares.

use std::{net::Ipv4Addr, time::Duration};

use flow_observer::source::{Progress, RawEvent, Source, SourceError};
use probe_events::TracePoint;

use crate::{
    node::{outside, pod},
    packets,
};

/// Which flows there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mix {
    /// Packets, of which nothing is understood but the headers.
    L3L4,
    /// Of 100 flows, 85 are packets that passed, 5 were dropped, 7 are requests and responses of
    /// HTTP, and 3 are of DNS. 12 go to the outside, by a name.
    All,
}

impl Mix {
    pub(crate) const ALL: [Self; 2] = [Self::L3L4, Self::All];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::L3L4 => "l3-l4",
            Self::All => "mix",
        }
    }
}

/// What is done, over and over. Each packet is a flow, and each message in one is another.
const CYCLE: usize = 2 * 90;

/// What a packet of the cycle is.
enum Packet {
    Tcp,
    Udp,
    ToOutside,
    Dropped,
    /// The request or the response of an exchange with this number within the cycle.
    Http(usize, bool),
    Dns(usize, bool),
}

/// Hands out records without an end, but says after so many that it has ended.
pub(crate) struct Traffic {
    mix: Mix,
    records: usize,
    next: usize,
}

impl Traffic {
    pub(crate) fn new(mix: Mix, records: usize) -> Self {
        Self {
            mix,
            records,
            next: 0,
        }
    }

    fn packet(&self, at: usize) -> Packet {
        let tcp_or_udp = if at % 13 == 5 {
            Packet::Udp
        } else {
            Packet::Tcp
        };
        match (self.mix, at) {
            (_, 0..24) => Packet::ToOutside,
            (Mix::L3L4, _) => tcp_or_udp,
            (Mix::All, 24..34) => Packet::Dropped,
            // What is asked is answered in the same cycle.
            (Mix::All, 40..47) => Packet::Http(at - 40, false),
            (Mix::All, 60..67) => Packet::Http(at - 60, true),
            (Mix::All, 80..83) => Packet::Dns(at - 80, false),
            (Mix::All, 90..93) => Packet::Dns(at - 90, true),
            (Mix::All, _) => tcp_or_udp,
        }
    }

    fn record(&self, number: usize) -> Vec<u8> {
        let (cycle, at) = (number / CYCLE, number % CYCLE);
        let (from, to) = (pod(number), pod(number * 7 + 1));
        let ifindex = packets::device(from);
        let time_ns = 1_000 * number as u64;
        let trace = |packet: &[u8]| packets::trace_record(packet, ifindex, time_ns);
        // Seen at the device of whoever asked.
        let message = |packet: &[u8], is_response| {
            let mut record = trace(packet);
            if is_response {
                record[3] = TracePoint::ToEndpoint as u8;
            }
            record
        };
        match self.packet(at) {
            Packet::Tcp => trace(&packets::tcp(from, to, (number as u32, 0), b"")),
            Packet::Udp => trace(&packets::udp((from, 40_000), (to, 4_000), b"")),
            Packet::ToOutside => {
                let from = pod(number / 3);
                trace(&packets::tcp(from, server(from), (number as u32, 0), b""))
            }
            Packet::Dropped => {
                let packet = packets::tcp(from, to, (number as u32, 0), b"");
                packets::drop_record(&packet, time_ns)
            }
            Packet::Http(exchange, is_response) => {
                let number = cycle * 7 + exchange;
                let (client, server) = (pod(number), pod(number * 7 + 1));
                let packet = packets::http(client, server, number, is_response);
                message(&packet, is_response)
            }
            Packet::Dns(exchange, is_response) => {
                let number = cycle * 3 + exchange;
                let client = pod(number);
                let packet = packets::dns(client, server(client), number, is_response);
                message(&packet, is_response)
            }
        }
    }
}

/// Whom a pod talks to on the outside.
fn server(pod: Ipv4Addr) -> Ipv4Addr {
    outside(pod.to_bits() as usize)
}

impl Source for Traffic {
    fn poll(
        &mut self,
        _patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        for _ in 0..limit {
            sink(RawEvent::Record(&self.record(self.next)));
            self.next += 1;
            if self.next.is_multiple_of(self.records) {
                return Ok(Progress::Ended);
            }
        }
        Ok(Progress::More)
    }
}
