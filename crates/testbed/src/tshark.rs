//! What tshark reads in a capture: a judge of packets that owes us nothing.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// Tunnels that are looked into, each with the field that tells a whole header.
const TUNNELS: [(&str, &str); 2] = [("geneve", "geneve.vni"), ("vxlan", "vxlan.vni")];

/// What it printed about the packets of a file.
#[derive(Debug)]
pub struct Packets {
    fields: &'static [&'static str],
    lines: String,
}

impl Packets {
    /// Reads these fields of all packets, among them `frame.protocols`. Each fragment stands by itself.
    ///
    /// # Errors
    /// There is no tshark, or it cannot read the file.
    pub fn read(path: &Path, fields: &'static [&'static str], options: &[&str]) -> Result<Self> {
        let mut command = Command::new("tshark");
        command.arg("-r").arg(path).arg("-n");
        command.args(["-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE"]);
        command.args(options).args([
            "-Tfields",
            "-Eoccurrence=a",
            "-Eaggregator=,",
            "-Eseparator=;",
        ]);
        for field in fields {
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
        let lines = String::from_utf8(output.stdout)?;
        Ok(Self { fields, lines })
    }

    /// What `read` makes of each packet, in order.
    ///
    /// # Errors
    /// Those of `read`, with the line that it failed at.
    pub fn each<'a, T>(&'a self, mut read: impl FnMut(Row<'a>) -> Result<T>) -> Result<Vec<T>> {
        let lines = self.lines.lines();
        lines
            .map(|line| {
                read(Row::new(self.fields, line)).with_context(|| format!("tshark: {line}"))
            })
            .collect()
    }
}

/// What it printed about a packet.
#[derive(Debug)]
pub struct Row<'a> {
    names: &'static [&'static str],
    /// All values of each field, in the order of the packet.
    values: Vec<Vec<&'a str>>,
    /// The protocols up to the tunnel's, if there is one.
    pub outer: Vec<&'a str>,
    /// Those behind it, or all: what a flow is about.
    pub inner: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn new(names: &'static [&'static str], line: &'a str) -> Self {
        let values = line
            .split(';')
            .map(|field| field.split(',').filter(|it| !it.is_empty()).collect())
            .collect();
        let mut row = Self {
            names,
            values,
            outer: Vec::new(),
            inner: Vec::new(),
        };
        let protocols = row.all("frame.protocols").first().copied();
        row.outer = protocols.unwrap_or_default().split(':').collect();
        // A tunnel whose header was cut is none: what is there belongs to the outer packet.
        let has_number = TUNNELS.iter().any(|(_, vni)| !row.all(vni).is_empty());
        let is_tunnel = |protocol: &&str| TUNNELS.iter().any(|(name, _)| name == protocol);
        let tunnel = row.outer.iter().position(is_tunnel);
        let tunnel = tunnel.filter(|_| has_number);
        row.inner = row.outer.split_off(tunnel.map_or(0, |at| at + 1));
        row
    }

    /// All values of a field, in the order of the packet.
    #[must_use]
    pub fn all(&self, field: &str) -> &[&'a str] {
        let at = self.names.iter().position(|known| *known == field);
        at.and_then(|at| self.values.get(at)).map_or(&[], |it| it)
    }

    /// The value in the header that counts: the first of its protocol, except for those around a
    /// tunnel. An error of ICMP, for one, has the headers of another packet in it.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&'a str> {
        let protocol = field.split('.').next();
        let before = self.outer.iter().filter(|it| Some(**it) == protocol);
        self.all(field).get(before.count()).copied()
    }

    /// The same as a number, decimal or hexadecimal.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn number(&self, field: &str) -> Result<Option<u16>> {
        self.value(field)
            .map(number)
            .transpose()
            .with_context(|| field.to_owned())
    }

    /// The first of these protocols that counts.
    #[must_use]
    pub fn first_of(&self, protocols: &[&str]) -> Option<&'a str> {
        let mut inner = self.inner.iter().copied();
        inner.find(|protocol| protocols.contains(protocol))
    }

    /// The addresses that count, source first: of IP, or those that ARP is about.
    #[must_use]
    pub fn ends(&self) -> Option<[&'a str; 2]> {
        let [source, destination] = match self.first_of(&["ip", "ipv6", "arp"])? {
            "ip" => ["ip.src", "ip.dst"],
            "ipv6" => ["ipv6.src", "ipv6.dst"],
            _ => ["arp.src.proto_ipv4", "arp.dst.proto_ipv4"],
        };
        Some([self.value(source)?, self.value(destination)?])
    }
}

/// A number as tshark prints it.
///
/// # Errors
/// It is none, or too large.
pub fn number(text: &str) -> Result<u16> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16)?,
        None => text.parse()?,
    })
}
