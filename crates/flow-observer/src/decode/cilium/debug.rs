//! Debug messages (type 2) and debug captures (type 3).

use super::{
    CiliumError, Packet, PacketStart,
    header::{fixed, packet_bytes, u16_at, u32_at},
};

const CAPTURE: &str = "debug-capture";
/// Length of a debug message.
pub(super) const MESSAGE_LENGTH: usize = 20;
/// Where the packet of a capture starts.
pub(super) const CAPTURE_LENGTH: usize = 24;

/// The datapath tells what it is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DebugMessage {
    /// Number of the message.
    pub subtype: u8,
    /// Number of the endpoint on whose behalf the program ran, 0 for none.
    pub source: u16,
    /// The kernel's hash of the flow.
    pub hash: u32,
    /// What the message tells; meanings depend on its number.
    pub arguments: [u32; 3],
}

impl DebugMessage {
    pub(super) fn read(record: &[u8]) -> Result<Self, CiliumError> {
        let base: &[u8; MESSAGE_LENGTH] = fixed(record, "debug")?;
        Ok(Self {
            subtype: base[1],
            source: u16_at(base, 2),
            hash: u32_at(base, 4),
            arguments: [u32_at(base, 8), u32_at(base, 12), u32_at(base, 16)],
        })
    }
}

/// A packet that was captured for debugging.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DebugCapture {
    /// Where it was captured.
    pub point: u8,
    /// Number of the endpoint on whose behalf the program ran, 0 for none.
    pub source: u16,
    /// The kernel's hash of the flow.
    pub hash: u32,
    /// Bytes of the packet that the datapath copied.
    pub captured_len: u32,
    /// Bytes of the packet when it was whole.
    pub original_len: u32,
    /// A device's index, or at the proxy its port in network byte order.
    pub argument1: u32,
    /// Not used by any point.
    pub argument2: u32,
}

impl DebugCapture {
    pub(super) fn read(record: &[u8]) -> Result<(Self, Packet<'_>), CiliumError> {
        let base: &[u8; CAPTURE_LENGTH] = fixed(record, CAPTURE)?;
        let capture = Self {
            point: base[1],
            source: u16_at(base, 2),
            hash: u32_at(base, 4),
            captured_len: u32_at(base, 8),
            original_len: u32_at(base, 12),
            argument1: u32_at(base, 16),
            argument2: u32_at(base, 20),
        };
        let packet = Packet {
            bytes: packet_bytes(record, CAPTURE_LENGTH, CAPTURE)?,
            original_len: capture.original_len,
            start: PacketStart::Ethernet,
            overlay: None,
        };
        Ok((capture, packet))
    }
}
