//! Numbers and byte strings of a gob stream: every number takes as many bytes as it needs.

use super::GobError;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next `len` bytes as they are.
    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], GobError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(GobError::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// An unsigned number: below 128 the byte itself, else the negated count of the big-endian
    /// bytes that follow.
    pub(super) fn uint(&mut self) -> Result<u64, GobError> {
        let first = self.bytes(1)?[0];
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let count = usize::from(first.wrapping_neg());
        if count > size_of::<u64>() {
            return Err(GobError::Number { bytes: count });
        }
        let bytes = self.bytes(count)?;
        Ok(bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A signed number: bit 0 tells that the others are complemented.
    pub(super) fn int(&mut self) -> Result<i64, GobError> {
        let number = self.uint()?;
        let magnitude = (number >> 1) as i64;
        Ok(if number & 1 == 0 {
            magnitude
        } else {
            !magnitude
        })
    }

    /// A count of things that take at least a byte each, so that no count can ask for more than
    /// the message holds.
    pub(super) fn count(&mut self) -> Result<usize, GobError> {
        let count = usize::try_from(self.uint()?).map_err(|_| GobError::Cut)?;
        if count > self.rest.len() {
            return Err(GobError::Cut);
        }
        Ok(count)
    }

    /// A byte string with its length before it.
    pub(super) fn counted_bytes(&mut self) -> Result<&'a [u8], GobError> {
        let count = self.count()?;
        self.bytes(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uint(bytes: &[u8]) -> Result<u64, GobError> {
        Reader::new(bytes).uint()
    }

    #[test]
    fn a_number_takes_as_many_bytes_as_it_needs() {
        assert_eq!(uint(&[0]), Ok(0));
        assert_eq!(uint(&[127]), Ok(127));
        assert_eq!(uint(&[0xff, 128]), Ok(128));
        assert_eq!(uint(&[0xfe, 1, 0]), Ok(256));
        assert_eq!(uint(&[0xf8; 9]), Ok(0xf8f8_f8f8_f8f8_f8f8));
    }

    #[test]
    fn a_number_of_more_than_eight_bytes_is_refused() {
        assert_eq!(uint(&[0xf7; 10]), Err(GobError::Number { bytes: 9 }));
        assert_eq!(uint(&[0x80; 200]), Err(GobError::Number { bytes: 128 }));
    }

    #[test]
    fn the_sign_is_the_lowest_bit() {
        let int = |bytes: &[u8]| Reader::new(bytes).int();
        assert_eq!(int(&[0]), Ok(0));
        assert_eq!(int(&[1]), Ok(-1));
        assert_eq!(int(&[2]), Ok(1));
        assert_eq!(int(&[0xf8; 9]).map(i64::is_positive), Ok(true));
        assert_eq!(
            int(&[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]),
            Ok(i64::MIN)
        );
    }

    #[test]
    fn a_count_beyond_the_message_is_refused_before_anything_is_reserved() {
        assert_eq!(
            Reader::new(&[0xf8, 255, 255, 255, 255, 255, 255, 255, 255]).counted_bytes(),
            Err(GobError::Cut)
        );
        assert_eq!(Reader::new(&[3, 1, 2]).counted_bytes(), Err(GobError::Cut));
    }
}
