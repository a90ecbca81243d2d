//! From the probes' records to flows: header and detail, packet bytes, meaning.
//!
//! In: the bytes of one record. Out: a [`Decoded`] event, or the reason why there is none. Nothing
//! here allocates, waits or panics.

mod datapath_file;
mod drop_code;
mod packet;
mod record;
pub(crate) mod summary;

pub(crate) use datapath_file::datapath_file;
pub(crate) use drop_code::drop_code;
pub use packet::{PacketError, Start};
pub use record::{DecodeError, Decoded, Detail, decode};

use crate::{record::PacketHeaders, source::CapturedPacket};

/// Decodes one packet of a capture file.
///
/// # Errors
/// When it is malformed.
pub(crate) fn captured(packet: &CapturedPacket<'_>) -> Result<PacketHeaders, PacketError> {
    let cut = packet.original_len as usize > packet.bytes.len();
    packet::dissect(packet.bytes, cut, packet.start)
}
