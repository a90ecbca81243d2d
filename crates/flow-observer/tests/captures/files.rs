//! Writes capture files.

/// How a file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Pcap,
    /// Big-endian, with nanoseconds.
    PcapNanoseconds,
    Pcapng,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Pcap, Self::PcapNanoseconds, Self::Pcapng];
}

/// A capture of one interface.
pub(crate) struct Capture {
    pub(crate) format: Format,
    pub(crate) link_type: u16,
    pub(crate) packets: Vec<Captured>,
}

/// A packet, of which bytes may be missing.
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    original_len: u32,
}

impl Capture {
    pub(crate) fn new(format: Format, link_type: u16, packets: Vec<Vec<u8>>) -> Self {
        let packets = packets
            .into_iter()
            .map(|bytes| Captured {
                original_len: bytes.len() as u32,
                bytes,
            })
            .collect();
        Self {
            format,
            link_type,
            packets,
        }
    }

    /// The file's bytes. Packets are a second and 3 microseconds apart.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut file = match self.format {
            Format::Pcap => header(
                0xa1b2_c3d4,
                self.link_type,
                u32::to_le_bytes,
                u16::to_le_bytes,
            ),
            Format::PcapNanoseconds => header(
                0xa1b2_3c4d,
                self.link_type,
                u32::to_be_bytes,
                u16::to_be_bytes,
            ),
            Format::Pcapng => {
                let mut section = 0x1a2b_3c4du32.to_le_bytes().to_vec();
                section.extend([1, 0, 0, 0]);
                section.extend([0xff; 8]);
                let mut interface = self.link_type.to_le_bytes().to_vec();
                interface.extend([0, 0, 0, 0, 4, 0]);
                // A name, and nanoseconds.
                interface.extend(*b"\x02\0\x04\0eth0\x09\0\x01\0\x09\0\0\0\0\0\0\0");
                [block(0x0a0d_0d0a, section), block(1, interface)].concat()
            }
        };
        for (packet, number) in self.packets.iter().zip(0u32..) {
            file.extend(self.packet(packet, 1_700_000_000 + number, number * 3));
        }
        file
    }

    fn packet(&self, packet: &Captured, seconds: u32, microseconds: u32) -> Vec<u8> {
        let len = packet.bytes.len() as u32;
        let lens = [len, packet.original_len];
        match self.format {
            Format::Pcap => {
                let numbers = [seconds, microseconds, lens[0], lens[1]].map(u32::to_le_bytes);
                [&numbers.concat()[..], &packet.bytes].concat()
            }
            Format::PcapNanoseconds => {
                let numbers = [seconds, microseconds * 1000 + 1, lens[0], lens[1]];
                [&numbers.map(u32::to_be_bytes).concat()[..], &packet.bytes].concat()
            }
            Format::Pcapng => {
                let time = u64::from(seconds) * 1_000_000_000 + u64::from(microseconds) * 1000 + 1;
                let numbers = [0, (time >> 32) as u32, time as u32, lens[0], lens[1]];
                let head = numbers.map(u32::to_le_bytes).concat();
                block(6, [&head[..], &packet.bytes].concat())
            }
        }
    }
}

fn header(
    magic: u32,
    link_type: u16,
    long: fn(u32) -> [u8; 4],
    short: fn(u16) -> [u8; 2],
) -> Vec<u8> {
    let mut header = long(magic).to_vec();
    header.extend([short(2), short(4)].concat());
    header.extend([0, 0, 262_144, u32::from(link_type)].map(long).concat());
    header
}

fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    body.resize(body.len().next_multiple_of(4), 0);
    let len = (body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &body, &len].concat()
}

/// An IP packet as captures of a link type hold it; `None` when they do not hold such a one.
pub(crate) fn with_link_header(link_type: u16, ip: Vec<u8>) -> Option<Vec<u8>> {
    let is_ipv4 = ip[0] >> 4 == 4;
    let ethertype: [u8; 2] = if is_ipv4 { [8, 0] } else { [0x86, 0xdd] };
    let header = match link_type {
        0 => vec![if is_ipv4 { 2 } else { 30 }, 0, 0, 0],
        108 => vec![0, 0, 0, if is_ipv4 { 2 } else { 24 }],
        113 => [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &ethertype].concat(),
        276 => [
            &ethertype[..],
            &[0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0],
        ]
        .concat(),
        228 if !is_ipv4 => return None,
        229 if is_ipv4 => return None,
        _ => Vec::new(),
    };
    Some([header, ip].concat())
}
