//! What tshark reads in a capture.

use std::{collections::HashMap, net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

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
    let mut command = Command::new("tshark");
    command.arg("-r").arg(path).arg("-n");
    // Each fragment and each segment by itself.
    for preference in [
        "ip.defragment:FALSE",
        "ipv6.defragment:FALSE",
        "tcp.desegment_tcp_streams:FALSE",
    ] {
        command.args(["-o", preference]);
    }
    command.args([
        "-Tfields",
        "-Eoccurrence=a",
        "-Eaggregator=,",
        "-Eseparator=;",
    ]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let output = command
        // Its settings are nobody's.
        .env("HOME", path.parent().unwrap_or(path))
        .env("TZ", "UTC")
        .output()
        .context("cannot run tshark")?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut firsts = Firsts::new();
    String::from_utf8(output.stdout)?
        .lines()
        .map(|line| captured(line, node, &mut firsts).with_context(|| format!("tshark: {line}")))
        .collect()
}

/// Ports of packets that came in fragments, by interface: only the first has them.
type Firsts = HashMap<(String, IpAddr, IpAddr, String), Transport>;

fn captured(line: &str, node: &str, firsts: &mut Firsts) -> Result<Captured> {
    let row = Row::new(line);
    let interface = row.need("frame.interface_name")?.to_owned();
    // As they were given to dumpcap: in and out of each device in turn.
    let number: usize = row.need("frame.interface_id")?.parse()?;
    let place = Place {
        node: node.to_owned(),
        device: capture::kind(&interface).context("an unknown device")?,
        way: if number.is_multiple_of(2) {
            Way::In
        } else {
            Way::Out
        },
    };
    let [source, destination] = row.ends()?;
    let mut transport = row.transport()?;
    if let Some(id) = row.fragment()? {
        let key = (
            row.need("frame.interface_id")?.to_owned(),
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
            sequence: row.need("tcp.seq_raw")?.parse()?,
            length: row.need("tcp.len")?.parse()?,
            flags: row.number("tcp.flags")?,
        }),
        _ => None,
    };
    Ok(Captured {
        packet: Packet {
            place,
            interface,
            time_ns: nanoseconds(row.need("frame.time_epoch")?)?,
            tuple: Tuple {
                source,
                destination,
                transport,
            },
            tunnel: row.tunnel()?,
            mark: row.mark(transport)?,
            bytes: row.need("frame.len")?.parse()?,
        },
        segment,
    })
}

fn nanoseconds(text: &str) -> Result<i64> {
    let (seconds, fraction) = text.split_once('.').context("a time without a fraction")?;
    ensure!(fraction.len() == 9, "a time not in nanoseconds");
    Ok(seconds.parse::<i64>()? * 1_000_000_000 + fraction.parse::<i64>()?)
}

/// What tshark printed about a packet.
struct Row<'a> {
    /// All values of each field, in the order of the packet.
    fields: Vec<Vec<&'a str>>,
    /// The protocols up to the tunnel's, if there is one.
    outer: Vec<&'a str>,
    /// Those behind it, or all.
    inner: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn new(line: &'a str) -> Self {
        let fields: Vec<Vec<&str>> = line
            .split(';')
            .map(|field| field.split(',').filter(|it| !it.is_empty()).collect())
            .collect();
        let protocols = fields.first().and_then(|field| field.first()).copied();
        let mut outer: Vec<&str> = protocols.unwrap_or_default().split(':').collect();
        let tunnel = outer.iter().position(|protocol| *protocol == "vxlan");
        let inner = outer.split_off(tunnel.map_or(0, |at| at + 1));
        Self {
            fields,
            outer,
            inner,
        }
    }

    fn all(&self, field: &str) -> &[&'a str] {
        let at = FIELDS.iter().position(|known| *known == field);
        at.and_then(|at| self.fields.get(at)).map_or(&[], |it| it)
    }

    /// The value in the header that counts: the first one behind the tunnel. An error of ICMP, for
    /// one, has the headers of another packet in it.
    fn value(&self, field: &str) -> Option<&'a str> {
        let protocol = field.split('.').next();
        let before = self.outer.iter().filter(|it| Some(**it) == protocol);
        self.all(field).get(before.count()).copied()
    }

    fn need(&self, field: &str) -> Result<&'a str> {
        self.value(field).with_context(|| format!("no {field}"))
    }

    fn number(&self, field: &str) -> Result<u16> {
        number(self.need(field)?).with_context(|| field.to_owned())
    }

    fn first_of(&self, protocols: &[&str]) -> Option<&'a str> {
        let mut inner = self.inner.iter().copied();
        inner.find(|protocol| protocols.contains(protocol))
    }

    fn ends(&self) -> Result<[IpAddr; 2]> {
        let fields = match self.first_of(&["ip", "ipv6", "arp"]) {
            Some("ip") => ["ip.src", "ip.dst"],
            Some("ipv6") => ["ipv6.src", "ipv6.dst"],
            Some("arp") => ["arp.src.proto_ipv4", "arp.dst.proto_ipv4"],
            _ => bail!("neither IP nor ARP"),
        };
        Ok([
            self.need(fields[0])?.parse()?,
            self.need(fields[1])?.parse()?,
        ])
    }

    fn transport(&self) -> Result<Transport> {
        Ok(
            match self.first_of(&["icmp", "icmpv6", "igmp", "tcp", "udp"]) {
                Some("icmp") => Transport::Icmp,
                Some("icmpv6") => Transport::Icmpv6,
                Some("tcp") => {
                    Transport::Tcp(self.number("tcp.srcport")?, self.number("tcp.dstport")?)
                }
                Some("udp") => {
                    Transport::Udp(self.number("udp.srcport")?, self.number("udp.dstport")?)
                }
                _ => Transport::Other,
            },
        )
    }

    /// What the fragments of a packet have in common besides their ends; none for a whole packet.
    fn fragment(&self) -> Result<Option<String>> {
        if self.first_of(&["ip", "ipv6"]) == Some("ip") {
            let is_whole = self.need("ip.frag_offset")? == "0" && self.need("ip.flags.mf")? == "0";
            let id =
                || -> Result<_> { Ok([self.need("ip.id")?, self.need("ip.proto")?].join(" ")) };
            return if is_whole { Ok(None) } else { id().map(Some) };
        }
        // The number is in a header of its own.
        let values = self.all("ipv6.fraghdr.ident");
        Ok(values.first().map(|&id| id.to_owned()))
    }

    fn mark(&self, transport: Transport) -> Result<Mark> {
        Ok(match transport {
            // Those of a later fragment are not there.
            Transport::Tcp(..) => Mark::Flags(self.number("tcp.flags")? & 0xff),
            Transport::Icmp => Mark::Message {
                kind: self.number("icmp.type")?,
                code: self.number("icmp.code")?,
            },
            Transport::Icmpv6 => Mark::Message {
                kind: self.number("icmpv6.type")?,
                code: self.number("icmpv6.code")?,
            },
            _ => Mark::None,
        })
    }

    fn tunnel(&self) -> Result<Option<Tunnel>> {
        if self.outer.is_empty() {
            return Ok(None);
        }
        let first = |field: &str| {
            let values = self.all(field);
            values
                .first()
                .copied()
                .with_context(|| format!("no outer {field}"))
        };
        let version = if self.outer.contains(&"ipv6") {
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
}

fn number(text: &str) -> Result<u16> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16)?,
        None => text.parse()?,
    })
}
