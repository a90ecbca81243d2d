//! What tshark reads in a capture.

use std::{collections::HashMap, net::IpAddr, path::Path};

use anyhow::{Context as _, Result, ensure};
use testbed::tshark::{Packets, Row, number};

use super::{
    capture,
    packet::{Mark, Packet, Place, Transport, Tunnel, Tuple, Way},
};

/// A packet, and what only a capture has.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    pub(crate) packet: Packet,
    pub(crate) segment: Option<Segment>,
}

/// What TCP numbers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Segment {
    sequence: u32,
    /// Of its data.
    length: u32,
    flags: u16,
}

impl Segment {
    /// Whether it takes part in the numbering, and so is sent until it is acknowledged. An answer to
    /// a SYN does too, but its retransmission the kernel does not tell.
    pub(crate) fn is_worth_sending_again(self) -> bool {
        const FIN: u16 = 1;
        const SYN: u16 = 2;
        const ACK: u16 = 16;
        self.length > 0 || self.flags & FIN != 0 || self.flags & (SYN | ACK) == SYN
    }
}

const FIELDS: &[&str] = &[
    "frame.protocols",
    "frame.interface_id",
    "frame.interface_name",
    "frame.time_epoch",
    "frame.len",
    "ip.src",
    "ip.dst",
    "ip.id",
    "ip.frag_offset",
    "ip.flags.mf",
    "ip.proto",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.fraghdr.ident",
    "ipv6.fraghdr.offset",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "icmp.type",
    "icmp.code",
    "icmpv6.type",
    "icmpv6.code",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.len",
    "udp.srcport",
    "udp.dstport",
    "vxlan.vni",
];

/// The packets of the file, which is of the node `node`.
pub(crate) fn read(path: &Path, node: &str) -> Result<Vec<Captured>> {
    // Each segment by itself.
    let options = ["-o", "tcp.desegment_tcp_streams:FALSE"];
    let mut firsts = Firsts::new();
    Packets::read(path, FIELDS, &options)?.each(|row| captured(&row, node, &mut firsts))
}

/// Ports of packets that came in fragments, by interface: only the first has them.
type Firsts = HashMap<(String, IpAddr, IpAddr, String), Transport>;

fn captured(row: &Row<'_>, node: &str, firsts: &mut Firsts) -> Result<Captured> {
    let interface = need(row, "frame.interface_name")?.to_owned();
    // As they were given to dumpcap: in and out of each device in turn.
    let number: usize = need(row, "frame.interface_id")?.parse()?;
    let place = Place {
        node: node.to_owned(),
        device: capture::kind(&interface).context("an unknown device")?,
        way: if number.is_multiple_of(2) {
            Way::In
        } else {
            Way::Out
        },
    };
    let ends = row.ends().context("neither IP nor ARP")?;
    let (source, destination) = (ends[0].parse()?, ends[1].parse()?);
    let mut transport = transport(row)?;
    if let Some(id) = fragment(row)? {
        let key = (
            need(row, "frame.interface_id")?.to_owned(),
            source,
            destination,
            id,
        );
        if transport == Transport::Other {
            transport = *firsts.get(&key).context("a fragment without a first")?;
        } else {
            firsts.insert(key, transport);
        }
    }
    let segment = match transport {
        Transport::Tcp(..) => Some(Segment {
            sequence: need(row, "tcp.seq_raw")?.parse()?,
            length: need(row, "tcp.len")?.parse()?,
            flags: numeral(row, "tcp.flags")?,
        }),
        _ => None,
    };
    Ok(Captured {
        packet: Packet {
            place,
            interface,
            time_ns: nanoseconds(need(row, "frame.time_epoch")?)?,
            tuple: Tuple {
                source,
                destination,
                transport,
            },
            tunnel: tunnel(row)?,
            mark: mark(row, transport)?,
            bytes: need(row, "frame.len")?.parse()?,
        },
        segment,
    })
}

fn nanoseconds(text: &str) -> Result<i64> {
    let (seconds, fraction) = text.split_once('.').context("a time without a fraction")?;
    ensure!(fraction.len() == 9, "a time not in nanoseconds");
    Ok(seconds.parse::<i64>()? * 1_000_000_000 + fraction.parse::<i64>()?)
}

fn need<'a>(row: &Row<'a>, field: &str) -> Result<&'a str> {
    row.value(field).with_context(|| format!("no {field}"))
}

fn numeral(row: &Row<'_>, field: &str) -> Result<u16> {
    row.number(field)?.with_context(|| format!("no {field}"))
}

fn transport(row: &Row<'_>) -> Result<Transport> {
    Ok(
        match row.first_of(&["icmp", "icmpv6", "igmp", "tcp", "udp"]) {
            Some("icmp") => Transport::Icmp,
            Some("icmpv6") => Transport::Icmpv6,
            Some("tcp") => {
                Transport::Tcp(numeral(row, "tcp.srcport")?, numeral(row, "tcp.dstport")?)
            }
            Some("udp") => {
                Transport::Udp(numeral(row, "udp.srcport")?, numeral(row, "udp.dstport")?)
            }
            _ => Transport::Other,
        },
    )
}

/// What the fragments of a packet have in common besides their ends; none for a whole packet.
fn fragment(row: &Row<'_>) -> Result<Option<String>> {
    if row.first_of(&["ip", "ipv6"]) == Some("ip") {
        let is_whole = need(row, "ip.frag_offset")? == "0" && need(row, "ip.flags.mf")? == "0";
        let id = || -> Result<_> { Ok([need(row, "ip.id")?, need(row, "ip.proto")?].join(" ")) };
        return if is_whole { Ok(None) } else { id().map(Some) };
    }
    // The number is in a header of its own.
    let values = row.all("ipv6.fraghdr.ident");
    Ok(values.first().map(|&id| id.to_owned()))
}

fn mark(row: &Row<'_>, transport: Transport) -> Result<Mark> {
    Ok(match transport {
        // Those of a later fragment are not there.
        Transport::Tcp(..) => Mark::Flags(numeral(row, "tcp.flags")? & 0xff),
        Transport::Icmp => Mark::Message {
            kind: numeral(row, "icmp.type")?,
            code: numeral(row, "icmp.code")?,
        },
        Transport::Icmpv6 => Mark::Message {
            kind: numeral(row, "icmpv6.type")?,
            code: numeral(row, "icmpv6.code")?,
        },
        _ => Mark::None,
    })
}

fn tunnel(row: &Row<'_>) -> Result<Option<Tunnel>> {
    if row.outer.is_empty() {
        return Ok(None);
    }
    let first = |field: &str| {
        let values = row.all(field);
        values
            .first()
            .copied()
            .with_context(|| format!("no outer {field}"))
    };
    let version = if row.outer.contains(&"ipv6") {
        "ipv6"
    } else {
        "ip"
    };
    Ok(Some(Tunnel {
        source: first(&format!("{version}.src"))?.parse()?,
        destination: first(&format!("{version}.dst"))?.parse()?,
        ports: (
            number(first("udp.srcport")?)?,
            number(first("udp.dstport")?)?,
        ),
        network: first("vxlan.vni")?.parse()?,
    }))
}
