//! Strings in canonical form: what must be escaped is, in the one way that the writer has, and
//! nothing else.

use super::Walker;

/// What stands between the quotes of a string.
#[derive(Clone, Copy, Debug)]
pub(in crate::json) struct Text<'a> {
    raw: &'a str,
    has_escapes: bool,
}

impl<'a> Text<'a> {
    pub(in crate::json) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The text as it stands, if it stands for itself.
    pub(in crate::json) fn undecoded(self) -> Option<&'a str> {
        (!self.has_escapes).then_some(self.raw)
    }

    pub(in crate::json) fn decoded(self) -> String {
        if !self.has_escapes {
            return self.raw.to_owned();
        }
        let mut decoded = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((before, after)) = rest.split_once('\\') {
            decoded.push_str(before);
            rest = after;
            // They were checked when the text was read.
            if let Some((character, length)) = escaped(after.as_bytes()) {
                decoded.push(character);
                rest = after.get(length..).unwrap_or_default();
            }
        }
        decoded.push_str(rest);
        decoded
    }
}

impl<'a> Walker<'a> {
    pub(in crate::json) fn text(&mut self) -> Option<Text<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = self.rest();
        let (length, has_escapes) = if self.is_plain {
            (find_quote(rest)?, false)
        } else {
            find_end(rest)?
        };
        self.at += length + 1;
        Some(Text {
            raw: self.text.get(start..start + length)?,
            has_escapes,
        })
    }
}

/// Whether a text holds nothing that a string could not hold as it is, but quotes.
pub(super) fn is_plain(text: &[u8]) -> bool {
    // Without a way out in between, so that the compiler looks at many bytes at once.
    !text.iter().fold(false, |found, byte| {
        found
            | (byte.wrapping_sub(0x20) >= 0x60)
            | (*byte == b'\\')
            | (*byte | 2 == b'>')
            | (*byte == b'&')
    })
}

/// The position of the first quote.
fn find_quote(text: &[u8]) -> Option<usize> {
    find(text, |eight| zeros(eight ^ each(b'"')), |byte| byte == b'"')
}

/// The position of the first quote that is not escaped, and whether there are escapes before it.
/// `None` as well for what the writer would have escaped, or not have escaped.
fn find_end(text: &[u8]) -> Option<(usize, bool)> {
    let mut at = 0;
    let mut has_escapes = false;
    loop {
        at += find(text.get(at..)?, specials, is_special)?;
        at += match text.get(at)? {
            b'"' => return Some((at, has_escapes)),
            b'\\' => {
                has_escapes = true;
                escaped(text.get(at + 1..)?)?.1 + 1
            }
            // U+2028 and U+2029.
            0xe2 if matches!(text.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => return None,
            0xe2 => 1,
            _ => return None,
        };
    }
}

/// A byte that ends a string, must not stand in it, or has to be looked at together with the next.
fn is_special(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2)
}

/// The same for eight bytes.
fn specials(eight: u64) -> u64 {
    let controls = eight.wrapping_sub(each(0x20)) & !eight & each(0x80);
    controls
        | zeros(eight ^ each(b'"'))
        | zeros(eight ^ each(b'\\'))
        | zeros((eight | each(2)) ^ each(b'>'))
        | zeros(eight ^ each(b'&'))
        | zeros(eight ^ each(0xe2))
}

/// The position of the first byte of a kind, looked for in eight bytes at a time: `in_eight` gives a
/// word whose lowest bit that is set is the highest one of the first such byte.
fn find(
    text: &[u8],
    in_eight: impl Fn(u64) -> u64,
    is_wanted: impl Fn(u8) -> bool,
) -> Option<usize> {
    let (chunks, rest) = text.as_chunks();
    for (index, chunk) in chunks.iter().enumerate() {
        let found = in_eight(u64::from_le_bytes(*chunk));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let position = rest.iter().position(|byte| is_wanted(*byte))?;
    Some(text.len() - rest.len() + position)
}

/// The highest bit of the first byte that is zero, and perhaps bits above.
fn zeros(eight: u64) -> u64 {
    eight.wrapping_sub(each(1)) & !eight & each(0x80)
}

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// What the writer escapes in this way, and the length after the backslash.
fn escaped(text: &[u8]) -> Option<(char, usize)> {
    let short = match text.first()? {
        b'"' => '"',
        b'\\' => '\\',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let digits = text.get(1..5)?;
            let code = digits.iter().try_fold(0, |code, digit| match digit {
                b'0'..=b'9' => Some(code << 4 | u32::from(digit - b'0')),
                b'a'..=b'f' => Some(code << 4 | u32::from(digit - b'a' + 10)),
                _ => None,
            })?;
            let character = char::from_u32(code)?;
            let is_usual = match character {
                '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => false,
                '\0'..='\x1f' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => true,
                _ => false,
            };
            return is_usual.then_some((character, 5));
        }
        _ => return None,
    };
    Some((short, 1))
}
