//! The pcapng format: blocks of many kinds, in sections (draft-ietf-opsawg-pcapng).
//!
//! ```text
//! block:  type 4 | length of all 4 | body | length again 4
//! ```

use std::{fmt, sync::Arc};

use tracing::warn;

use super::{LONGEST_BLOCK, Packet, Step, link, numbers::ByteOrder};

/// The same in both byte orders.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// What there was before the enhanced packet block; some programs still write it.
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Interfaces of a section. Machines with thousands of containers have some thousand.
const MOST_INTERFACES: usize = 16 * 1024;
/// Longer names are cut: Linux has 15 bytes, Windows about 50.
const LONGEST_NAME_BYTES: usize = 128;

pub(super) struct Ng {
    /// What warnings call the file.
    what: String,
    /// That of the section.
    order: ByteOrder,
    /// Those of the section, by number.
    interfaces: Vec<Interface>,
    /// Simple packets have no time; they get that of the one before.
    newest_ns: i64,
}

struct Interface {
    link_type: u16,
    /// Most bytes captured of a packet; 0 for any.
    snap_len: u32,
    name: Arc<str>,
    resolution: Resolution,
    /// What to add to all times.
    offset_seconds: i64,
}

/// Units in which an interface counts time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Resolution {
    /// Nanoseconds per unit, a whole number.
    Coarse(u64),
    /// Units per second.
    Fine(u64),
}

/// Why the rest of a file cannot be read.
type Problem = &'static str;

impl Ng {
    /// Whether a file that begins like this is of this format.
    pub(super) fn is_ng(head: &[u8]) -> bool {
        ByteOrder::Big.u32(head, 0) == Some(SECTION_HEADER)
    }

    pub(super) fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            newest_ns: 0,
        }
    }

    pub(super) fn step<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a> {
        const HEAD: usize = 12;
        let Some(head) = bytes.get(..HEAD) else {
            return Step::Need(HEAD);
        };
        self.block(head, bytes).unwrap_or_else(Step::Damaged)
    }

    fn block<'a>(&'a mut self, head: &[u8], bytes: &'a [u8]) -> Result<Step<'a>, Problem> {
        let kind = self.order.u32(head, 0).unwrap_or(0);
        if kind == SECTION_HEADER {
            self.order = section_order(head)?;
        }
        let block_len = self.order.u32(head, 4).unwrap_or(0);
        let len = block_len as usize;
        if len < 12 || !len.is_multiple_of(4) {
            return Err("a block whose length is impossible");
        }
        let is_ours = matches!(
            kind,
            SECTION_HEADER
                | INTERFACE_DESCRIPTION
                | OBSOLETE_PACKET
                | SIMPLE_PACKET
                | ENHANCED_PACKET
        );
        if !is_ours {
            return Ok(other(len));
        }
        if len > LONGEST_BLOCK {
            return Err("a block of more than 16 MiB");
        }
        let Some(block) = bytes.get(..len) else {
            return Ok(Step::Need(len));
        };
        if self.order.u32(block, len - 4) != Some(block_len) {
            return Err("a block whose two lengths differ");
        }
        let body = block.get(8..len - 4).unwrap_or_default();
        match kind {
            SECTION_HEADER => {
                self.interfaces.clear();
                match self.order.u16(body, 4) {
                    Some(1) => Ok(other(len)),
                    _ => Err("a section of an unknown version"),
                }
            }
            INTERFACE_DESCRIPTION => {
                self.describe(body)?;
                Ok(other(len))
            }
            SIMPLE_PACKET => self.simple_packet(body, len),
            _ => self.packet(body, len, kind == OBSOLETE_PACKET),
        }
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), Problem> {
        const SHORT: Problem = "an interface that is not described in full";
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err("a section with more than 16384 interfaces");
        }
        let mut interface = Interface {
            link_type: self.order.u16(body, 0).ok_or(SHORT)?,
            snap_len: self.order.u32(body, 4).ok_or(SHORT)?,
            name: "".into(),
            resolution: Resolution::Coarse(1_000),
            offset_seconds: 0,
        };
        self.options(body.get(8..).unwrap_or_default(), &mut interface)?;
        if !link::is_known(interface.link_type) {
            let (file, number) = (&self.what, self.interfaces.len());
            let link_type = LinkType(interface.link_type);
            warn!(
                %file, interface = number, name = %interface.name, %link_type,
                "packets of this interface are skipped: its link layer is not known",
            );
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Each option: number 2 | length 2 | value, filled up to four bytes.
    fn options(&self, mut options: &[u8], interface: &mut Interface) -> Result<(), Problem> {
        const END: u16 = 0;
        const NAME: u16 = 2;
        const RESOLUTION: u16 = 9;
        const OFFSET: u16 = 14;
        while let Some(number) = self.order.u16(options, 0) {
            let len = usize::from(self.order.u16(options, 2).unwrap_or(0));
            let Some(value) = options.get(4..4 + len) else {
                return Err("an option that is longer than its block");
            };
            match number {
                END => break,
                NAME => interface.name = name(value),
                RESOLUTION => {
                    interface.resolution = value
                        .first()
                        .and_then(|&code| Resolution::of(code))
                        .ok_or("an interface whose unit of time is unknown")?;
                }
                OFFSET => interface.offset_seconds = self.order.i64(value, 0).unwrap_or(0),
                _ => {}
            }
            let whole = 4 + len.next_multiple_of(4);
            options = options.get(whole..).unwrap_or_default();
        }
        Ok(())
    }

    /// Interface 4 | time 8, upper half first | captured 4 | original 4 | bytes. The obsolete block
    /// has 2 bytes for the interface, then 2 for a count of drops.
    fn packet<'a>(
        &'a mut self,
        body: &'a [u8],
        len: usize,
        is_obsolete: bool,
    ) -> Result<Step<'a>, Problem> {
        const SHORT: Problem = "a packet that is longer than its block";
        let number = if is_obsolete {
            self.order.u16(body, 0).map(u32::from)
        } else {
            self.order.u32(body, 0)
        }
        .ok_or(SHORT)?;
        let upper = self.order.u32(body, 4).ok_or(SHORT)?;
        let lower = self.order.u32(body, 8).ok_or(SHORT)?;
        let captured_len = self.order.u32(body, 12).ok_or(SHORT)? as usize;
        let original_len = self.order.u32(body, 16).ok_or(SHORT)?;
        let bytes = body
            .get(20..)
            .and_then(|rest| rest.get(..captured_len))
            .ok_or(SHORT)?;
        let time = u64::from(upper) << 32 | u64::from(lower);
        let interface = self.interface(number)?;
        let time_ns = interface.time_ns(time);
        self.newest_ns = time_ns;
        self.found(number, time_ns, bytes, original_len, len)
    }

    /// Original 4 | bytes; of the first interface.
    fn simple_packet<'a>(&'a mut self, body: &'a [u8], len: usize) -> Result<Step<'a>, Problem> {
        const SHORT: Problem = "a packet that is longer than its block";
        let original_len = self.order.u32(body, 0).ok_or(SHORT)?;
        let rest = body.get(4..).unwrap_or_default();
        let captured_len = match self.interface(0)?.snap_len {
            0 => original_len,
            snap_len => original_len.min(snap_len),
        };
        // Up to three bytes of filling follow; a packet longer than what is there was cut.
        let bytes = rest.get(..captured_len as usize).unwrap_or(rest);
        self.found(0, self.newest_ns, bytes, original_len, len)
    }

    fn found<'a>(
        &'a self,
        number: u32,
        time_ns: i64,
        bytes: &'a [u8],
        original_len: u32,
        len: usize,
    ) -> Result<Step<'a>, Problem> {
        let interface = self.interface(number)?;
        if !link::is_known(interface.link_type) {
            return Ok(Step::Other {
                len: len as u64,
                lost: Some("unknown_link_type"),
            });
        }
        let packet = Packet {
            time_ns,
            bytes,
            original_len,
            link_type: interface.link_type,
            interface: Some((number, &interface.name)),
        };
        Ok(Step::Packet { len, packet })
    }

    fn interface(&self, number: u32) -> Result<&Interface, Problem> {
        self.interfaces
            .get(number as usize)
            .ok_or("a packet of an interface that is not described")
    }
}

/// A block without a packet.
fn other(len: usize) -> Step<'static> {
    Step::Other {
        len: len as u64,
        lost: None,
    }
}

/// The byte order of a section, by a number whose value is known.
fn section_order(head: &[u8]) -> Result<ByteOrder, Problem> {
    const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find(|order| order.u32(head, 8) == Some(BYTE_ORDER_MAGIC))
        .ok_or("a section without byte order")
}

fn name(value: &[u8]) -> Arc<str> {
    let value = value.get(..LONGEST_NAME_BYTES).unwrap_or(value);
    // Some writers count the zero at the end.
    String::from_utf8_lossy(value).trim_end_matches('\0').into()
}

impl Interface {
    fn time_ns(&self, time: u64) -> i64 {
        let ns = match self.resolution {
            Resolution::Coarse(unit_ns) => i128::from(time) * i128::from(unit_ns),
            Resolution::Fine(per_second) => {
                i128::from(time) * 1_000_000_000 / i128::from(per_second)
            }
        };
        let offset = i128::from(self.offset_seconds) * 1_000_000_000;
        i64::try_from(ns + offset).unwrap_or(i64::MAX)
    }
}

impl Resolution {
    /// The upper bit tells whether the rest is a negative power of 2 or of 10.
    fn of(code: u8) -> Option<Self> {
        let exponent = u32::from(code & 0x7f);
        let per_second = if code & 0x80 == 0 {
            10u64.checked_pow(exponent)
        } else {
            2u64.checked_pow(exponent)
        }?;
        Some(if 1_000_000_000 % per_second == 0 {
            Self::Coarse(1_000_000_000 / per_second)
        } else {
            Self::Fine(per_second)
        })
    }
}

/// For warnings.
struct LinkType(u16);

impl fmt::Display for LinkType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.0, link::name(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_time_becomes_nanoseconds() {
        let time_ns = |code: u8, time: u64, offset_seconds: i64| {
            Interface {
                link_type: 1,
                snap_len: 0,
                name: "".into(),
                resolution: Resolution::of(code).unwrap(),
                offset_seconds,
            }
            .time_ns(time)
        };
        assert_eq!(time_ns(0, 7, 0), 7_000_000_000);
        assert_eq!(time_ns(6, 1_500_000, 0), 1_500_000_000);
        assert_eq!(time_ns(9, 1_500_000_001, -1), 500_000_001);
        assert_eq!(time_ns(12, 1_999, 0), 1);
        assert_eq!(time_ns(0x80 | 10, 1_536, 2), 3_500_000_000);
        assert_eq!(time_ns(9, u64::MAX, i64::MAX), i64::MAX);
        assert_eq!(Resolution::of(20), None);
        assert_eq!(Resolution::of(0x80 | 64), None);
    }
}
