//! Drop records (type 1).

use super::{
    CaptureHeader, CiliumError, Packet, PacketFlags,
    header::{fixed, packet_bytes, u16_at, u32_at, u64_at},
};

const KIND: &str = "drop";
/// Header lengths by version. Version 0 never left the tests and is read like 1.
const LENGTHS: [usize; 4] = [36, 36, 40, 48];

/// The datapath dropped a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DropNotify {
    /// The common part; the subtype is the drop reason.
    pub header: CaptureHeader,
    /// Security identity of the sender.
    pub source_identity: u32,
    /// Security identity of the receiver.
    pub destination_identity: u32,
    /// Number of the receiving endpoint, 0 for egress.
    pub destination_endpoint: u32,
    /// Line of the datapath's source.
    pub line: u16,
    /// Number of the datapath's source file.
    pub file: u8,
    /// A further error number, 0 for none.
    pub ext_error: i8,
    /// Index of the device.
    pub ifindex: u32,
    /// What the packet is; nothing is known before version 2.
    pub flags: PacketFlags,
    /// Number from an IP option, 0 for none and before version 3.
    pub ip_trace_id: u64,
}

impl DropNotify {
    #[inline(always)]
    pub(super) fn read(record: &[u8]) -> Result<(Self, Packet<'_>), CiliumError> {
        let base: &[u8; 36] = fixed(record, KIND)?;
        let header = CaptureHeader::read(base);
        let length = data_offset(header.version)?;
        let bytes = packet_bytes(record, length, KIND)?;
        let flags = match header.version {
            0 | 1 => PacketFlags::default(),
            _ => PacketFlags(fixed::<40>(record, KIND)?[36]),
        };
        let ip_trace_id = match header.version {
            0..=2 => 0,
            _ => u64_at(fixed::<48>(record, KIND)?, 40),
        };
        let notify = Self {
            header,
            source_identity: u32_at(base, 16),
            destination_identity: u32_at(base, 20),
            destination_endpoint: u32_at(base, 24),
            line: u16_at(base, 28),
            file: base[30],
            ext_error: base[31].cast_signed(),
            ifindex: u32_at(base, 32),
            flags,
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
