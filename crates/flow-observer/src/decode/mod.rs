//! From the probes' records to flows: header and detail, packet bytes, meaning.
//!
//! In: the bytes of one record. Out: a [`Decoded`] event, or the reason why there is none. Nothing
//! here allocates, waits or panics.

pub mod cilium;
mod closing;
mod datapath_file;
mod drop_code;
mod fragments;
pub mod gob;
mod hook;
mod packet;
pub mod payload;
mod record;
pub(crate) mod summary;

pub(crate) use closing::closing;
pub(crate) use datapath_file::datapath_file;
pub(crate) use drop_code::drop_code;
pub(crate) use fragments::Fragments;
pub use hook::{Hook, HookError, SocketEvent, TcpEvent, decode_hook};
pub(crate) use packet::dissect_as_hubble_into;
pub use packet::{Dissected, Network, PacketError, Start, dissect, dissect_as_hubble};
pub(crate) use record::decode_into;
pub use record::{DecodeError, Decoded, Detail, decode};
pub(crate) use summary::{icmpv4_text, icmpv6_text};
