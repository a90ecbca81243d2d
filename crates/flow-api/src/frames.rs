//! Encoded messages one after the other, each behind the prefix that gRPC puts before it on a
//! stream.
//!
//! ```text
//! | 0 | length, 4 bytes, big-endian | message | 0 | length | message | ...
//!   not compressed
//! ```
//!
//! Many messages in one piece of memory cost one allocation, and need no list of where each begins.

use bytes::{Buf as _, Bytes};

/// Length of the prefix.
pub const PREFIX: usize = 5;

/// Appends a message that `write` appends.
pub fn put_frame(frames: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = frames.len();
    frames.extend_from_slice(&[0; PREFIX]);
    write(frames);
    let length = frames.len() - start - PREFIX;
    // A message of 4 GiB is none that anybody would take.
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    frames[start + 1..start + PREFIX].copy_from_slice(&length.to_be_bytes());
}

/// The messages of a piece of memory, in order.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    rest: Bytes,
}

impl Frames {
    /// Those that [`put_frame`] put together.
    #[must_use]
    pub fn new(frames: Bytes) -> Self {
        Self { rest: frames }
    }

    /// The next message with its prefix.
    pub fn next_frame(&mut self) -> Option<Bytes> {
        let &[_, a, b, c, d] = self.rest.first_chunk::<PREFIX>()?;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        let end = length.checked_add(PREFIX)?;
        (end <= self.rest.len()).then(|| self.rest.split_to(end))
    }

    /// What was not taken yet.
    #[must_use]
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }
}

impl Iterator for Frames {
    type Item = Bytes;

    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        let mut frame = self.next_frame()?;
        frame.advance(PREFIX);
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let messages = [vec![1; 3], vec![], vec![2; 70_000]];
        let mut frames = Vec::new();
        for message in &messages {
            put_frame(&mut frames, |bytes| bytes.extend_from_slice(message));
        }
        let taken: Vec<Bytes> = Frames::new(frames.into()).collect();
        assert_eq!(taken, messages);
    }

    #[test]
    fn what_is_cut_is_no_message() {
        let mut frames = Vec::new();
        put_frame(&mut frames, |bytes| bytes.extend_from_slice(&[7; 9]));
        for length in 0..frames.len() {
            let cut = Bytes::copy_from_slice(&frames[..length]);
            assert_eq!(Frames::new(cut).next(), None);
        }
    }
}
