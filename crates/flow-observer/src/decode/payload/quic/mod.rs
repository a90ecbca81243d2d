//! QUIC Initial packets of a client (RFC 9000, RFC 9369): the ClientHello that they carry.
//!
//! In: a UDP payload that begins like one ([`may_hold`]). Out: an [`Initial`], which borrows the
//! decrypted packet from the [`Room`] it was given. Initial packets are encrypted with keys that
//! anybody can derive from what they begin with, so that only a change on the way is noticed; a
//! packet that the capture cut is therefore of no use.
//!
//! Of packets that share a datagram the first is read: a client's first Initial is never behind
//! another kind of packet. [`Initial::len`] tells where the next one begins. A ClientHello that takes
//! several packets is told in [`Fragment`]s, which [`join`] can put together.

mod frames;
mod protection;

pub use frames::{Fragment, Frames, join};

use super::{
    PayloadError, Protocol,
    reader::Reader,
    tls::{self, ClientHello},
};
use protection::Keys;

/// Connection ids are at most this long in versions 1 and 2 (RFC 9000, 17.2).
const MAX_ID_LEN: usize = 20;
/// Clients must begin with an id of at least this length (RFC 9000, 7.2); a server's packets to
/// clients that choose shorter ones are told apart by it.
const MIN_FIRST_ID_LEN: usize = 8;

const CUT: PayloadError = PayloadError::Cut {
    protocol: Protocol::Quic,
};

fn malformed(what: &'static str) -> PayloadError {
    PayloadError::Malformed {
        protocol: Protocol::Quic,
        what,
    }
}

/// A version of QUIC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// RFC 9000.
    V1,
    /// RFC 9369.
    V2,
}

impl Version {
    fn from_number(number: [u8; 4]) -> Option<Self> {
        match number {
            [0, 0, 0, 1] => Some(Self::V1),
            [0x6b, 0x33, 0x43, 0xcf] => Some(Self::V2),
            _ => None,
        }
    }

    /// The first byte of an Initial, as far as it is not encrypted: long header, fixed bit, type.
    fn initial_bits(self) -> u8 {
        match self {
            Self::V1 => 0b1100_0000,
            Self::V2 => 0b1101_0000,
        }
    }
}

/// Room for one packet, reused from packet to packet; grows to the largest.
#[derive(Debug, Default)]
pub struct Room {
    packet: Vec<u8>,
    handshake: Vec<u8>,
}

/// A client's Initial packet, decrypted.
#[derive(Clone, Copy, Debug)]
pub struct Initial<'a> {
    /// The version.
    pub version: Version,
    /// The id that the client chose for the server: all of its first packets carry it.
    pub destination_id: &'a [u8],
    /// The ClientHello, cut where it goes on in another packet; `None` when its beginning is in
    /// another packet, or when this one carries none.
    pub client_hello: Option<ClientHello<'a>>,
    /// Bytes of the payload that it takes.
    pub len: usize,
    frames: Frames<'a>,
}

impl<'a> Initial<'a> {
    /// What several packets carried, as if one had: only the handshake is known of it.
    pub(super) fn of_handshake(handshake: &'a [u8]) -> Result<Self, PayloadError> {
        Ok(Self {
            version: Version::V1,
            destination_id: &[],
            client_hello: Some(tls::client_hello(handshake)?),
            len: 0,
            frames: Frames::NONE,
        })
    }

    /// The pieces of the handshake that this packet carries, in the packet's order.
    pub fn fragments(&self) -> impl Iterator<Item = Fragment<'a>> + use<'a> {
        self.frames.fragments()
    }
}

/// Whether a payload begins like a client's first Initial packet.
#[must_use]
pub fn may_hold(payload: &[u8]) -> bool {
    Header::read(&mut Reader::new(payload)).is_ok()
}

/// Decrypts a client's Initial packet.
///
/// # Errors
/// [`PayloadError::Cut`] when the packet is not complete; [`PayloadError::UnknownKeys`] when it is
/// not a client's, or not one of the first; [`PayloadError::Malformed`] when it is no Initial
/// packet or does not contain what one may.
pub fn parse<'a>(payload: &'a [u8], room: &'a mut Room) -> Result<Initial<'a>, PayloadError> {
    let mut reader = Reader::new(payload);
    let header = Header::read(&mut reader)?;
    let token_len = variable(&mut reader).ok_or(CUT)?;
    skip(&mut reader, token_len).ok_or(CUT)?;
    let len = variable(&mut reader).ok_or(CUT)?;
    let number_at = reader.at();
    skip(&mut reader, len).ok_or(CUT)?;
    let packet = payload.get(..reader.at()).ok_or(CUT)?;

    let keys = Keys::of_client(header.version, header.destination_id)?;
    room.packet.clear();
    room.packet.extend_from_slice(packet);
    let frames = Frames::read(keys.open(&mut room.packet, number_at)?)?;

    room.handshake.clear();
    join(frames.fragments(), &mut room.handshake);
    let client_hello = match tls::client_hello(&room.handshake) {
        Ok(hello) => Some(hello),
        // Nothing of it, or so little that it tells nothing.
        Err(PayloadError::Cut { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Initial {
        version: header.version,
        destination_id: header.destination_id,
        client_hello,
        len: packet.len(),
        frames,
    })
}

/// What an Initial begins with.
struct Header<'a> {
    version: Version,
    destination_id: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads up to the token.
    fn read(reader: &mut Reader<'a>) -> Result<Self, PayloadError> {
        let first = reader.u8().ok_or(CUT)?;
        let version = Version::from_number(reader.array().ok_or(CUT)?)
            .filter(|version| first & 0b1111_0000 == version.initial_bits())
            .ok_or(malformed("version or packet type"))?;
        let destination_id = reader.vector8().ok_or(CUT)?;
        let source_id = reader.vector8().ok_or(CUT)?;
        if !(MIN_FIRST_ID_LEN..=MAX_ID_LEN).contains(&destination_id.len())
            || source_id.len() > MAX_ID_LEN
        {
            return Err(malformed("length of a connection id"));
        }
        Ok(Self {
            version,
            destination_id,
        })
    }
}

/// A number of 1, 2, 4 or 8 bytes, as its first two bits say (RFC 9000, 16).
fn variable(reader: &mut Reader<'_>) -> Option<u64> {
    let first = reader.u8()?;
    let rest = reader.take((1 << (first >> 6)) - 1)?;
    Some(rest.iter().fold(u64::from(first & 0x3f), |number, &byte| {
        number << 8 | u64::from(byte)
    }))
}

fn skip(reader: &mut Reader<'_>, len: u64) -> Option<()> {
    reader.take(usize::try_from(len).ok()?).map(drop)
}

#[cfg(test)]
pub(crate) mod tests;
