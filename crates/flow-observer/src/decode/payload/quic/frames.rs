//! Frames of Initial packets (RFC 9000, 12.4): pieces of the handshake among little else.

use super::{PayloadError, malformed, skip, variable};
use crate::decode::payload::reader::Reader;

const PADDING: u8 = 0x00;
const PING: u8 = 0x01;
const ACK: u8 = 0x02;
const ACK_WITH_ECN: u8 = 0x03;
const CRYPTO: u8 = 0x06;
const CONNECTION_CLOSE: u8 = 0x1c;

/// Pieces that one packet may have. Browsers split and shuffle a hello into a dozen; the bound
/// keeps the work of joining small.
const MAX_FRAGMENTS: usize = 64;
/// The longest handshake that is joined: several times a hello with the largest keys in use.
const MAX_HANDSHAKE_LEN: usize = 16 * 1024;

/// A piece of the handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment<'a> {
    /// Where it begins in the handshake.
    pub offset: u64,
    /// The piece.
    pub bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// What this piece has from `at` on, when it does not leave a gap before.
    fn from(&self, at: usize) -> Option<&'a [u8]> {
        let skipped = at.checked_sub(usize::try_from(self.offset).ok()?)?;
        self.bytes.get(skipped..).filter(|rest| !rest.is_empty())
    }
}

/// Appends pieces to a handshake that begins with what `handshake` holds, as long as there is no
/// gap and up to 16 KiB. Pieces may come in any order, overlap, and be of several packets.
pub fn join<'a>(fragments: impl Iterator<Item = Fragment<'a>> + Clone, handshake: &mut Vec<u8>) {
    while let Some(next) = fragments
        .clone()
        .find_map(|fragment| fragment.from(handshake.len()))
    {
        let room = MAX_HANDSHAKE_LEN.saturating_sub(handshake.len());
        if room == 0 {
            return;
        }
        handshake.extend_from_slice(&next[..next.len().min(room)]);
    }
}

/// What a packet carries, decrypted and found good.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a>(&'a [u8]);

impl<'a> Frames<'a> {
    /// Those of a packet without any.
    pub(super) const NONE: Self = Self(&[]);

    /// Checks the frames of an Initial packet.
    ///
    /// # Errors
    /// [`PayloadError::Malformed`] for frames that do not belong there, or too many of them.
    pub fn read(bytes: &'a [u8]) -> Result<Self, PayloadError> {
        let mut reader = Reader::new(bytes);
        let mut fragments = 0;
        while !reader.rest().is_empty() {
            if let Frame::Crypto(_) = next(&mut reader).ok_or(malformed("frame"))? {
                fragments += 1;
            }
        }
        if fragments > MAX_FRAGMENTS {
            return Err(malformed("number of handshake pieces"));
        }
        Ok(Self(bytes))
    }

    /// The pieces of the handshake, in the packet's order.
    pub fn fragments(self) -> impl Iterator<Item = Fragment<'a>> + Clone + use<'a> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            loop {
                if let Frame::Crypto(fragment) = next(&mut reader)? {
                    return Some(fragment);
                }
            }
        })
    }
}

enum Frame<'a> {
    Crypto(Fragment<'a>),
    Other,
}

fn next<'a>(reader: &mut Reader<'a>) -> Option<Frame<'a>> {
    match reader.u8()? {
        PADDING => {
            let zeros = reader.rest().iter().take_while(|&&byte| byte == PADDING);
            reader.take(zeros.count())?;
        }
        PING => {}
        kind @ (ACK | ACK_WITH_ECN) => {
            let _largest = variable(reader)?;
            let _delay = variable(reader)?;
            let ranges = variable(reader)?;
            let _first = variable(reader)?;
            for _ in 0..ranges {
                let _gap = variable(reader)?;
                let _len = variable(reader)?;
            }
            if kind == ACK_WITH_ECN {
                for _ in 0..3 {
                    variable(reader)?;
                }
            }
        }
        CRYPTO => {
            let offset = variable(reader)?;
            let len = usize::try_from(variable(reader)?).ok()?;
            let bytes = reader.take(len)?;
            return Some(Frame::Crypto(Fragment { offset, bytes }));
        }
        CONNECTION_CLOSE => {
            let _code = variable(reader)?;
            let _frame_type = variable(reader)?;
            let reason_len = variable(reader)?;
            skip(reader, reason_len)?;
        }
        _ => return None,
    }
    Some(Frame::Other)
}
