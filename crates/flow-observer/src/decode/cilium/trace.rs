//! Trace records (type 4).

use std::net::IpAddr;

use super::{
    CaptureHeader, CiliumError, Packet, PacketFlags,
    header::{address_at, fixed, packet_bytes, u16_at, u32_at, u64_at},
};

const KIND: &str = "trace";
/// Header lengths by version.
const LENGTHS: [usize; 3] = [32, 48, 56];
/// The packet is, or was, encrypted; the other bits of the byte are the reason.
const ENCRYPTED: u8 = 0x80;

/// A packet passed a trace point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceNotify {
    /// The common part; the subtype is the trace point.
    pub header: CaptureHeader,
    /// Security identity of the sender.
    pub source_identity: u32,
    /// Security identity of the receiver.
    pub destination_identity: u32,
    /// Number of the receiving endpoint; at the point `to-proxy`, the proxy's port.
    pub destination_endpoint: u16,
    /// What was known of the connection, as the datapath numbers it.
    pub reason: u8,
    /// The packet is, or was, encrypted.
    pub encrypted: bool,
    /// What the packet is.
    pub flags: PacketFlags,
    /// Index of the device, 0 for none.
    pub ifindex: u32,
    /// The sender's address before its translation, where there was one.
    pub original_source: Option<IpAddr>,
    /// Number from an IP option, 0 for none and before version 2.
    pub ip_trace_id: u64,
}

impl TraceNotify {
    #[inline(always)]
    pub(super) fn read(record: &[u8]) -> Result<(Self, Packet<'_>), CiliumError> {
        let base: &[u8; 32] = fixed(record, KIND)?;
        let header = CaptureHeader::read(base);
        let length = data_offset(header.version)?;
        let bytes = packet_bytes(record, length, KIND)?;
        let flags = PacketFlags(base[27]);
        let original_source = match header.version {
            0 => None,
            _ => address_at(fixed::<48>(record, KIND)?, 32, flags.is_ipv6()),
        };
        let ip_trace_id = match header.version {
            0 | 1 => 0,
            _ => u64_at(fixed::<56>(record, KIND)?, 48),
        };
        let notify = Self {
            header,
            source_identity: u32_at(base, 16),
            destination_identity: u32_at(base, 20),
            destination_endpoint: u16_at(base, 24),
            reason: base[26] & !ENCRYPTED,
            encrypted: base[26] & ENCRYPTED != 0,
            flags,
            ifindex: u32_at(base, 28),
            original_source,
            ip_trace_id,
        };
        let packet = Packet {
            bytes,
            original_len: header.original_len,
            start: flags.start(),
            overlay: flags.overlay(),
        };
        Ok((notify, packet))
    }
}

/// Where the packet starts.
pub(super) fn data_offset(version: u8) -> Result<usize, CiliumError> {
    LENGTHS
        .get(usize::from(version))
        .copied()
        .ok_or(CiliumError::UnknownVersion {
            kind: KIND,
            version,
            newest: LENGTHS.len() as u8 - 1,
        })
}
