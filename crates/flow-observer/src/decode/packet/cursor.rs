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

    /// Whether the end is that of the capture, and not one that a header told.
    pub(super) fn is_unlimited(&self, captured: &[u8]) -> bool {
        self.bytes.len() == captured.len()
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

/// The bytes `at..at + N` of a header; both are constants, checked by the tests.
#[inline]
pub(super) fn field<const N: usize, const HEADER: usize>(
    header: &[u8; HEADER],
    at: usize,
) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

/// As [`field`], a number of 16 bits.
#[inline]
pub(super) fn number<const HEADER: usize>(header: &[u8; HEADER], at: usize) -> u16 {
    u16::from_be_bytes(field(header, at))
}
