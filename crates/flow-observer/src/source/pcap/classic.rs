//! The pcap format: a header, then packets (draft-ietf-opsawg-pcap).
//!
//! ```text
//! file:    magic 4 | version 2+2 | reserved 4+4 | snap length 4 | link type 4
//! packet:  seconds 4 | micro- or nanoseconds 4 | captured 4 | original 4 | bytes
//! ```

use super::{Packet, Step, numbers::ByteOrder};

pub(super) struct Classic {
    order: ByteOrder,
    /// Nanoseconds per unit of the second part of a time.
    fraction_ns: i64,
    /// Length of what precedes a packet.
    record_header: usize,
    pub(super) link_type: u16,
}

impl Classic {
    pub(super) const HEADER_BYTES: usize = 24;

    /// The format as the first bytes of a file tell it; `None` when they are of something else.
    pub(super) fn recognize(head: &[u8]) -> Option<Self> {
        const MICROSECONDS: u32 = 0xa1b2_c3d4;
        const NANOSECONDS: u32 = 0xa1b2_3c4d;
        /// Of a Linux of long ago: eight more bytes before each packet.
        const LONG_RECORDS: u32 = 0xa1b2_cd34;
        [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .find_map(|order| {
                let (fraction_ns, record_header) = match order.u32(head, 0)? {
                    MICROSECONDS => (1_000, 16),
                    NANOSECONDS => (1, 16),
                    LONG_RECORDS => (1_000, 24),
                    _ => return None,
                };
                Some(Self {
                    order,
                    fraction_ns,
                    record_header,
                    // The upper half is about checksums at the end of packets, which no header needs.
                    link_type: (order.u32(head, 20)? & 0xffff) as u16,
                })
            })
    }

    pub(super) fn step<'a>(&self, bytes: &'a [u8]) -> Step<'a> {
        self.packet(bytes).unwrap_or(Step::Need(self.record_header))
    }

    fn packet<'a>(&self, bytes: &'a [u8]) -> Option<Step<'a>> {
        let header = bytes.get(..self.record_header)?;
        let seconds = self.order.u32(header, 0)?;
        let fraction = self.order.u32(header, 4)?;
        let captured_len = self.order.u32(header, 8)? as usize;
        let len = self.record_header.saturating_add(captured_len);
        let Some(captured) = bytes.get(self.record_header..len) else {
            return Some(Step::Need(len));
        };
        let packet = Packet {
            time_ns: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.fraction_ns,
            bytes: captured,
            original_len: self.order.u32(header, 12)?,
            link_type: self.link_type,
            interface: None,
        };
        Some(Step::Packet { len, packet })
    }
}
