//! A place in a packet.

use super::PacketError;

/// Takes one header after the other. Never goes past the end, which a length in a header may move
/// to the front: link layer padding is not payload.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// From the first captured byte to the last one that belongs to the packet.
    bytes: &'a [u8],
    /// At most `bytes.len()`.
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Of a packet that begins `at` bytes from the beginning.
    pub(super) fn behind(at: usize, bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: at.min(bytes.len()),
        }
    }

    /// What is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Bytes from the beginning of the capture to here.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Bytes from the beginning of the capture to the end of the packet.
    pub(super) fn end(&self) -> usize {
        self.bytes.len()
    }

    /// The next bytes, which stay the next ones.
    #[inline]
    pub(super) fn peek<const N: usize>(
        &self,
        layer: &'static str,
    ) -> Result<&'a [u8; N], PacketError> {
        self.rest()
            .first_chunk()
            .ok_or(PacketError::Short { layer })
    }

    /// The next bytes.
    #[inline]
    pub(super) fn take<const N: usize>(
        &mut self,
        layer: &'static str,
    ) -> Result<&'a [u8; N], PacketError> {
        let header = self.peek(layer)?;
        self.at += N;
        Ok(header)
    }

    /// Goes over bytes that nobody wants.
    #[inline]
    pub(super) fn skip(&mut self, len: usize, layer: &'static str) -> Result<(), PacketError> {
        if self.rest().len() < len {
            return Err(PacketError::Short { layer });
        }
        self.at += len;
        Ok(())
    }

    /// Moves the end to `len` bytes from here, if the packet is longer than that.
    #[inline]
    pub(super) fn limit(&mut self, len: usize) {
        if let Some(shorter) = self.bytes.get(..self.at.saturating_add(len)) {
            self.bytes = shorter;
        }
    }
}

/// The bytes `at..at + N` of a header. Both are constants that lie within it, so this becomes a
/// load; a copy of a slice would become a call.
#[inline]
pub(super) fn field<const N: usize, const HEADER: usize>(
    header: &[u8; HEADER],
    at: usize,
) -> [u8; N] {
    let field = header.get(at..).and_then(|rest| rest.first_chunk());
    debug_assert!(field.is_some(), "{at}..{at} + {N} of {HEADER}");
    field.copied().unwrap_or([0; N])
}

/// As [`field`], a number of 16 bits.
#[inline]
pub(super) fn number<const HEADER: usize>(header: &[u8; HEADER], at: usize) -> u16 {
    u16::from_be_bytes(field(header, at))
}
