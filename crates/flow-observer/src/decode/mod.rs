//! From the probes' records to flows: header and detail, packet bytes, meaning.
//!
//! In: the bytes of one record. Out: a [`Decoded`] event, or the reason why there is none. Nothing
//! here allocates, waits or panics.

mod drop_code;
mod packet;
mod record;
pub(crate) mod summary;

pub(crate) use drop_code::drop_code;
pub use packet::PacketError;
pub use record::{DecodeError, Decoded, Detail, decode};
