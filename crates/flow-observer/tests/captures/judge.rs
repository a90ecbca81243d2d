//! What tshark says about a capture.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

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
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).args([
        "-n",
        "-o",
        "ip.defragment:FALSE",
        "-o",
        "ipv6.defragment:FALSE",
        // Not its own default for this port.
        "-d",
        "udp.port==8472,vxlan",
        "-Tfields",
        "-Eoccurrence=a",
        "-Eaggregator=,",
        "-Eseparator=;",
    ]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    // Its settings are nobody's.
    let output = command
        .env("HOME", path.parent().unwrap_or(path))
        .env("TZ", "UTC")
        .output()
        .context("tshark")?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| judged(line).with_context(|| format!("tshark: {line}")))
        .collect()
}

fn judged(line: &str) -> Result<Option<Judged>> {
    const NETWORKS: &[&str] = &["ip", "ipv6", "arp"];
    let row = Row::new(line);
    if !row
        .outer
        .iter()
        .chain(&row.counted)
        .any(|it| NETWORKS.contains(it))
    {
        return Ok(None);
    }
    let ends = match row.first_of(NETWORKS) {
        Some("ip") => row.value("ip.src").zip(row.value("ip.dst")),
        Some("ipv6") => row.value("ipv6.src").zip(row.value("ipv6.dst")),
        Some("arp") => row
            .value("arp.src.proto_ipv4")
            .zip(row.value("arp.dst.proto_ipv4")),
        // A tunnel with nothing in it, or nothing that is left. Also, of a header that was cut
        // between its addresses, one address is no flow's.
        _ => None,
    };
    let is_later = |offset| row.value(offset).is_some_and(|offset| offset != "0");
    Ok(Some(Judged {
        packet: Packet {
            time: row.value("frame.time_epoch").unwrap_or_default().to_owned(),
            source: ends.map(|ends| ends.0.to_owned()),
            destination: ends.map(|ends| ends.1.to_owned()),
            transport: row.transport()?,
        },
        is_later_fragment: is_later("ip.frag_offset") || is_later("ipv6.fraghdr.offset"),
    }))
}

/// What tshark printed about a packet.
struct Row<'a> {
    /// All values of each field, in the order of the packet.
    fields: Vec<Vec<&'a str>>,
    /// The protocols up to the tunnel's, if there is one.
    outer: Vec<&'a str>,
    /// Those that a flow is about: behind the tunnel's, or all.
    counted: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn new(line: &'a str) -> Self {
        let fields: Vec<Vec<&str>> = line
            .split(';')
            .map(|field| field.split(',').filter(|it| !it.is_empty()).collect())
            .collect();
        let protocols = fields.get(1).and_then(|field| field.first()).copied();
        let mut outer: Vec<&str> = protocols.unwrap_or_default().split(':').collect();
        // One whose header was cut is none: what is there belongs to the outer packet.
        let has_number = fields.iter().rev().take(2).any(|vni| !vni.is_empty());
        let tunnel = outer
            .iter()
            .position(|protocol| ["vxlan", "geneve"].contains(protocol))
            .filter(|_| has_number);
        let counted = outer.split_off(tunnel.map_or(0, |at| at + 1));
        Self {
            fields,
            outer,
            counted,
        }
    }

    fn first_of(&self, protocols: &[&str]) -> Option<&'a str> {
        let mut counted = self.counted.iter().copied();
        counted.find(|protocol| protocols.contains(protocol))
    }

    /// The value of a field in the header that counts: the first of its protocol, except for those
    /// around a tunnel. An error of ICMP, for one, has the headers of another packet in it.
    fn value(&self, field: &str) -> Option<&'a str> {
        let at = FIELDS.iter().position(|known| *known == field)?;
        let protocol = field.split('.').next();
        let before = self.outer.iter().filter(|it| Some(**it) == protocol);
        self.fields.get(at)?.get(before.count()).copied()
    }

    fn number(&self, field: &str) -> Result<Option<u16>> {
        self.value(field)
            .map(|text| match text.strip_prefix("0x") {
                Some(digits) => u16::from_str_radix(digits, 16),
                None => text.parse(),
            })
            .transpose()
            .with_context(|| field.to_owned())
    }

    /// The transport that counts, if it is one with ports.
    fn transport(&self) -> Result<Option<Transport>> {
        const TRANSPORTS: &[&str] = &[
            "arp", "esp", "gre", "icmp", "icmpv6", "igmp", "sctp", "tcp", "udp", "vrrp",
        ];
        let Some(protocol @ ("tcp" | "udp" | "sctp")) = self.first_of(TRANSPORTS) else {
            return Ok(None);
        };
        let source_port = self.number(&format!("{protocol}.srcport"))?;
        let destination_port = self.number(&format!("{protocol}.dstport"))?;
        let (Some(source_port), Some(destination_port)) = (source_port, destination_port) else {
            return Ok(None);
        };
        Ok(Some(Transport {
            protocol: protocol.to_owned(),
            source_port,
            destination_port,
            flags: match protocol {
                "tcp" => self.number("tcp.flags")?.map(|bits| bits & 0x1ff),
                _ => None,
            },
        }))
    }
}
