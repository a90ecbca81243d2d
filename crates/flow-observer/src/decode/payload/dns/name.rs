//! Names in DNS messages: labels, the last of which may be a pointer to an earlier name.

use std::fmt::{self, Write as _};

use super::{CUT, HEADER_LEN, PayloadError, Reader, malformed};

/// The longest name, with the lengths of its labels (RFC 1035, 2.3.4).
const MAX_LEN: usize = 255;
/// A name has at most 127 labels, and no writer needs more than a pointer for each. Bounds the work
/// that a chain of pointers can cause.
const MAX_POINTERS: usize = 127;

/// A domain name within a message. Known to be well-formed: no loop, no more than 255 bytes.
///
/// Shown with its final dot, and with `\.`, `\\` and `\DDD` for bytes that would be taken for
/// something else.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Name<'a> {
    /// Reads the name at the reader's place, and moves the reader behind it.
    pub(super) fn read(message: &'a [u8], reader: &mut Reader<'a>) -> Result<Self, PayloadError> {
        let name = Self {
            message,
            at: reader.at(),
        };
        let mut walk = Walk::new(name);
        while walk.label()?.is_some() {}
        // To the first pointer, or the end of the labels.
        let len = walk.own_end.unwrap_or(walk.at) - name.at;
        reader.take(len).ok_or(CUT)?;
        Ok(name)
    }

    /// Its labels, as they are on the wire; none for the root.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        let mut walk = Walk::new(self);
        std::iter::from_fn(move || walk.label().ok().flatten())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_root = true;
        for label in self.labels() {
            is_root = false;
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    b'!'..=b'~' => f.write_char(byte.into())?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_char('.')?;
        }
        if is_root { f.write_char('.') } else { Ok(()) }
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A walk along the labels of a name.
struct Walk<'a> {
    message: &'a [u8],
    at: usize,
    /// Where the labels that are being walked begin: pointers lead to before here.
    run_start: usize,
    /// The end of the name's own bytes, once a pointer has led away from them.
    own_end: Option<usize>,
    len: usize,
    pointers: usize,
}

impl<'a> Walk<'a> {
    fn new(name: Name<'a>) -> Self {
        Self {
            message: name.message,
            at: name.at,
            run_start: name.at,
            own_end: None,
            // The empty label at the end.
            len: 1,
            pointers: 0,
        }
    }

    /// The next label; `None` at the end of the name.
    fn label(&mut self) -> Result<Option<&'a [u8]>, PayloadError> {
        loop {
            let first = *self.message.get(self.at).ok_or(CUT)?;
            let after = self.at + 1;
            match first >> 6 {
                0b00 if first == 0 => {
                    self.at = after;
                    return Ok(None);
                }
                0b00 => {
                    let end = after + usize::from(first);
                    let label = self.message.get(after..end).ok_or(CUT)?;
                    self.len += 1 + label.len();
                    if self.len > MAX_LEN {
                        return Err(malformed("name of more than 255 bytes"));
                    }
                    self.at = end;
                    return Ok(Some(label));
                }
                0b11 => {
                    let low = *self.message.get(after).ok_or(CUT)?;
                    let target = usize::from(u16::from_be_bytes([first & 0x3f, low]));
                    self.own_end.get_or_insert(after + 1);
                    self.pointers += 1;
                    // Only ever backwards, so that no walk goes on for ever.
                    if !(HEADER_LEN..self.run_start).contains(&target)
                        || self.pointers > MAX_POINTERS
                    {
                        return Err(malformed("compression pointer"));
                    }
                    self.run_start = target;
                    self.at = target;
                }
                _ => return Err(malformed("label type")),
            }
        }
    }
}
