//! A packet at a place, as the capture has it and as the agent tells it: what both must agree on.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use anyhow::{Result, bail, ensure};

/// The kind of device.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Device {
    /// The host side of a pod's device.
    Pod,
    /// The bridge's own.
    Bridge,
    /// The way to other nodes.
    Network,
    /// The VXLAN device.
    Overlay,
}

/// Whether the packet came in through the device or left through it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Way {
    In,
    Out,
}

impl Way {
    pub(crate) fn back(self) -> Self {
        match self {
            Self::In => Self::Out,
            Self::Out => Self::In,
        }
    }
}

/// Where a packet was seen. No packet passes a place twice.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) node: String,
    pub(crate) device: Device,
    pub(crate) way: Way,
}

/// What tells one direction of a connection from others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Transport {
    Icmp,
    Icmpv6,
    /// Nothing that a flow has a name for.
    Other,
    Tcp(u16, u16),
    Udp(u16, u16),
}

impl Transport {
    fn reversed(self) -> Self {
        match self {
            Self::Tcp(source, destination) => Self::Tcp(destination, source),
            Self::Udp(source, destination) => Self::Udp(destination, source),
            other => other,
        }
    }

    pub(crate) fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(source, destination) | Self::Udp(source, destination) => {
                Some((source, destination))
            }
            _ => None,
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tuple {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) transport: Transport,
}

impl Tuple {
    pub(crate) fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            transport: self.transport.reversed(),
        }
    }

    /// Whether either port is this one.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        let ports = self.transport.ports();
        ports.is_some_and(|(source, destination)| source == port || destination == port)
    }
}

/// The packet around the packet.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tunnel {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) ports: (u16, u16),
    pub(crate) network: u32,
}

/// What an ICMP message or a TCP segment says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    Flags(u16),
    Message { kind: u16, code: u16 },
    None,
}

/// A packet that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) place: Place,
    /// The device's name.
    pub(crate) interface: String,
    pub(crate) time_ns: i64,
    pub(crate) tuple: Tuple,
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) mark: Mark,
    /// With link layer headers.
    pub(crate) bytes: u64,
}

/// How far the two clocks may be apart for one packet.
const APART: Duration = Duration::from_millis(50);
/// Two processors that have a packet of the same stream each come to the capture in one order, and to the
/// probe in another, when they are there so close to each other.
const AT_ONCE: Duration = Duration::from_micros(10);
/// Differences that are shown: enough to see what they have in common.
const SHOWN: usize = 20;

/// Packets that belong together, in order: one direction of one connection at one device.
type Streams<'a> = BTreeMap<(&'a Place, &'a str, Tuple, Option<Tunnel>), Vec<&'a Packet>>;

/// Fails with the first differences unless both have the same packets: in each stream the same in
/// the same order, but for those that come at once, and at about the same time. Returns how many packets that were.
pub(crate) fn must_agree(captured: &[Packet], told: &[Packet]) -> Result<usize> {
    let (captured, told) = (streams(captured), streams(told));
    let mut differences = Vec::new();
    let mut compared = 0;
    let only_told = told.keys().filter(|it| !captured.contains_key(*it));
    for stream in captured.keys().chain(only_told) {
        let captured = captured.get(stream).map_or(&[][..], |it| it);
        let told = told.get(stream).map_or(&[][..], |it| it);
        let agreed = agreed(captured, told);
        if agreed < captured.len().max(told.len()) {
            let (place, interface, tuple, tunnel) = stream;
            differences.push(format!(
                "\n{place} {interface} {tuple} in {tunnel:?}, from packet {agreed} on:\n  \
                 captured {}\n  told     {}",
                list(captured, agreed),
                list(told, agreed)
            ));
        }
        compared += captured.len();
    }
    if !differences.is_empty() {
        bail!(
            "{} of {} streams differ:{}",
            differences.len(),
            captured.len(),
            differences[..differences.len().min(SHOWN)].concat()
        );
    }
    ensure!(compared > 0, "nothing was captured");
    Ok(compared)
}

/// How many packets at the beginning are the same.
fn agreed(captured: &[&Packet], told: &[&Packet]) -> usize {
    let mut captured = captured.to_vec();
    for (index, right) in told.iter().enumerate() {
        match captured[index.min(captured.len())..] {
            [left, ..] if same(left, right) => {}
            [left, next, ..] if same(next, right) && are_at_once(left, next) => {
                captured.swap(index, index + 1);
            }
            _ => return index,
        }
    }
    told.len()
}

fn are_at_once(one: &Packet, other: &Packet) -> bool {
    u128::from(one.time_ns.abs_diff(other.time_ns)) < AT_ONCE.as_nanos()
}

fn streams(packets: &[Packet]) -> Streams<'_> {
    let mut streams = Streams::new();
    for packet in packets {
        let key = (
            &packet.place,
            &*packet.interface,
            packet.tuple,
            packet.tunnel,
        );
        streams.entry(key).or_default().push(packet);
    }
    for packets in streams.values_mut() {
        packets.sort_by_key(|it| it.time_ns);
    }
    streams
}

fn same(captured: &Packet, told: &Packet) -> bool {
    captured.mark == told.mark
        && captured.bytes == told.bytes
        && u128::from(captured.time_ns.abs_diff(told.time_ns)) <= APART.as_nanos()
}

/// The first few from there on.
fn list(packets: &[&Packet], from: usize) -> String {
    let text: Vec<String> = packets
        .iter()
        .skip(from)
        .take(3)
        .map(|it| format!("{:?} of {} bytes at {}", it.mark, it.bytes, it.time_ns))
        .collect();
    format!("{} packets: {}", packets.len(), text.join(", "))
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?} {:?}", self.node, self.device, self.way)
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:?} {} to {}",
            self.transport, self.source, self.destination
        )
    }
}
