//! What tshark says about a capture.

use std::path::Path;

use anyhow::Result;
use testbed::tshark::{Packets, Row};

use crate::observed::{Packet, Transport};

const FIELDS: &[&str] = &[
    "frame.time_epoch",
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "ip.frag_offset",
    "ipv6.fraghdr.offset",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.flags",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
    "vxlan.vni",
    "geneve.vni",
];

/// A packet as tshark has it.
#[derive(Debug)]
pub(crate) struct Judged {
    packet: Packet,
    /// A fragment that is not the first: what ports it has, tshark does not say.
    is_later_fragment: bool,
}

impl Judged {
    pub(crate) fn is_told_by(&self, found: &Packet) -> bool {
        let mut found = found.clone();
        if self.is_later_fragment {
            found.transport = None;
        }
        // Of a TCP header that was cut right behind its flags, tshark does not tell them.
        if let (Some(expected), Some(found)) = (&self.packet.transport, &mut found.transport)
            && expected.flags.is_none()
        {
            found.flags = None;
        }
        self.packet == found
    }
}

/// One entry for each packet of the file, empty for what is neither IP nor ARP.
pub(crate) fn read(path: &Path) -> Result<Vec<Option<Judged>>> {
    // Not its own default for this port.
    let options = ["-d", "udp.port==8472,vxlan"];
    Packets::read(path, FIELDS, &options)?.each(judged)
}

fn judged(row: Row<'_>) -> Result<Option<Judged>> {
    let is_network = |protocol: &&str| ["ip", "ipv6", "arp"].contains(protocol);
    if !row.outer.iter().chain(&row.inner).any(is_network) {
        return Ok(None);
    }
    // None of a tunnel with nothing in it, or nothing that is left. Also, of a header that was cut
    // between its addresses, one address is no flow's.
    let ends = row.ends();
    let is_later = |offset| row.value(offset).is_some_and(|offset| offset != "0");
    Ok(Some(Judged {
        packet: Packet {
            time: row.value("frame.time_epoch").unwrap_or_default().to_owned(),
            source: ends.map(|[source, _]| source.to_owned()),
            destination: ends.map(|[_, destination]| destination.to_owned()),
            transport: transport(&row)?,
        },
        is_later_fragment: is_later("ip.frag_offset") || is_later("ipv6.fraghdr.offset"),
    }))
}

/// The transport that counts, if it is one with ports.
fn transport(row: &Row<'_>) -> Result<Option<Transport>> {
    const TRANSPORTS: &[&str] = &[
        "arp", "esp", "gre", "icmp", "icmpv6", "igmp", "sctp", "tcp", "udp", "vrrp",
    ];
    let Some(protocol @ ("tcp" | "udp" | "sctp")) = row.first_of(TRANSPORTS) else {
        return Ok(None);
    };
    let source_port = row.number(&format!("{protocol}.srcport"))?;
    let destination_port = row.number(&format!("{protocol}.dstport"))?;
    let (Some(source_port), Some(destination_port)) = (source_port, destination_port) else {
        return Ok(None);
    };
    Ok(Some(Transport {
        protocol: protocol.to_owned(),
        source_port,
        destination_port,
        flags: match protocol {
            "tcp" => row.number("tcp.flags")?.map(|bits| bits & 0x1ff),
            _ => None,
        },
    }))
}
