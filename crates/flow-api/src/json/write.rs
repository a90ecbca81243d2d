//! The writer: fields of messages in, bytes out, nothing in between.

use std::str::{self, Utf8Error};

use super::enums::{Enumeration, Named};

/// Where values are written to.
pub struct Writer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// How many `Any` the current value is inside of.
    pub(super) any_depth: u32,
}

/// A type that can be written as one JSON value.
pub trait ToJson {
    /// Whether a field without presence leaves this value out.
    fn is_default(&self) -> bool;

    /// Whether JSON can say it at all. What it cannot say is left out, as if it were not known.
    fn has_json(&self) -> bool {
        true
    }

    /// Writes the value.
    fn write(&self, writer: &mut Writer<'_>);
}

/// The fields of a message. Implemented by generated code.
pub trait WriteFields {
    /// Writes them in the order of declaration.
    fn write_fields(&self, object: &mut Object<'_>);
}

/// An object whose opening brace is written.
pub struct Object<'a> {
    pub(super) writer: Writer<'a>,
    is_empty: bool,
}

impl Object<'_> {
    pub(super) fn write_root(message: &impl WriteFields, out: &mut Vec<u8>) {
        Writer { out, any_depth: 0 }.object(|object| message.write_fields(object));
    }

    /// A field without presence. Keys come with a comma, quoted, and with their colon.
    pub(super) fn singular<T: ToJson>(&mut self, key: &str, value: &T) {
        if !value.is_default() {
            self.present(key, value);
        }
    }

    /// A field with presence.
    pub(super) fn optional<T: ToJson>(&mut self, key: &str, value: &Option<T>) {
        if let Some(value) = value {
            self.present(key, value);
        }
    }

    /// An enum.
    pub(super) fn enumeration<E: Enumeration>(&mut self, key: &str, number: i32) {
        self.singular(key, &Named::<E>::new(number));
    }

    /// A list; left out when empty.
    pub(super) fn repeated<T: ToJson>(&mut self, key: &str, values: &[T]) {
        self.list(key, values, |value, writer| value.write(writer));
    }

    /// A list of enums.
    pub(super) fn enumerations<E: Enumeration>(&mut self, key: &str, numbers: &[i32]) {
        self.list(key, numbers, |number, writer| {
            Named::<E>::new(*number).write(writer)
        });
    }

    /// A value that is there whatever it is.
    pub(super) fn present<T: ToJson>(&mut self, key: &str, value: &T) {
        if value.has_json() {
            self.key(key);
            value.write(&mut self.writer);
        }
    }

    fn list<T>(&mut self, key: &str, values: &[T], write: impl Fn(&T, &mut Writer<'_>)) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        self.writer.out.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.writer.out.push(b',');
            }
            write(value, &mut self.writer);
        }
        self.writer.out.push(b']');
    }

    /// Begins a field.
    pub(super) fn key(&mut self, key: &str) {
        // The first one has no comma before it.
        let from = usize::from(std::mem::take(&mut self.is_empty));
        self.writer.raw(&key[from..]);
    }
}

impl Writer<'_> {
    /// Writes an object and lets `fields` fill it.
    pub(super) fn object(&mut self, fields: impl FnOnce(&mut Object<'_>)) {
        self.out.push(b'{');
        let writer = Writer {
            out: &mut *self.out,
            any_depth: self.any_depth,
        };
        fields(&mut Object {
            writer,
            is_empty: true,
        });
        self.out.push(b'}');
    }

    /// Writes what needs no escapes.
    pub(super) fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Writes what needs no escapes, in quotes.
    pub(super) fn quoted(&mut self, text: impl AsRef<[u8]>) {
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_ref());
        self.out.push(b'"');
    }

    /// Writes any text in quotes, escaped as Go's `encoding/json` does: HTML's special characters
    /// and JavaScript's line ends too, so that the text can stand in a page as it is.
    pub(super) fn text(&mut self, text: &str) {
        match is_plain(text.as_bytes()) {
            true => self.quoted(text),
            false => self.escaped(text),
        }
    }

    /// As [`text`](Self::text), of bytes that need not be text. Most are plain, and need no second look.
    pub(super) fn encoded_text(&mut self, bytes: &[u8]) -> Result<(), Utf8Error> {
        if is_plain(bytes) {
            self.quoted(bytes);
        } else {
            self.escaped(str::from_utf8(bytes)?);
        }
        Ok(())
    }

    fn escaped(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.out.push(b'"');
        // Everything before `start` is written.
        let mut start = 0;
        for (index, byte) in bytes.iter().enumerate() {
            let (length, escape) = match byte {
                b'"' => (1, "\\\""),
                b'\\' => (1, "\\\\"),
                b'\n' => (1, "\\n"),
                b'\r' => (1, "\\r"),
                b'\t' => (1, "\\t"),
                0x08 => (1, "\\b"),
                0x0c => (1, "\\f"),
                b'<' => (1, "\\u003c"),
                b'>' => (1, "\\u003e"),
                b'&' => (1, "\\u0026"),
                byte @ 0x00..0x20 => (1, CONTROL_ESCAPES[usize::from(*byte)]),
                // U+2028 and U+2029 are e2 80 a8 and e2 80 a9.
                0xe2 => match bytes.get(index + 1..index + 3) {
                    Some([0x80, 0xa8]) => (3, "\\u2028"),
                    Some([0x80, 0xa9]) => (3, "\\u2029"),
                    _ => continue,
                },
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[start..index]);
            self.raw(escape);
            start = index + length;
        }
        self.out.extend_from_slice(&bytes[start..]);
        self.out.push(b'"');
    }
}

/// Whether bytes are ASCII that needs no escapes, as nearly all texts are. All are looked at, since
/// branches would take longer.
fn is_plain(bytes: &[u8]) -> bool {
    let (chunks, tail) = bytes.as_chunks::<16>();
    // The compiler makes vectors of it, as long as these are bytes.
    let in_chunk = |any: u8, chunk: &[u8; 16]| {
        chunk
            .iter()
            .fold(any, |any, &byte| any | u8::from(is_other(byte)))
    };
    let in_chunks = chunks.iter().fold(0, in_chunk);
    let in_tail = tail
        .iter()
        .fold(false, |any, &byte| any | OTHER[usize::from(byte)]);
    in_chunks == 0 && !in_tail
}

#[inline]
const fn is_other(byte: u8) -> bool {
    (byte < 0x20)
        | (byte >= 0x80)
        | (byte == b'"')
        | (byte == b'\\')
        | (byte == b'<')
        | (byte == b'>')
        | (byte == b'&')
}

/// What [`is_other`] tells, for bytes that come one by one.
const OTHER: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_other(byte as u8);
        byte += 1;
    }
    table
};

#[rustfmt::skip]
const CONTROL_ESCAPES: [&str; 0x20] = [
    "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
    "\\u0008", "\\u0009", "\\u000a", "\\u000b", "\\u000c", "\\u000d", "\\u000e", "\\u000f",
    "\\u0010", "\\u0011", "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017",
    "\\u0018", "\\u0019", "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
];

impl<T: WriteFields> ToJson for T {
    fn is_default(&self) -> bool {
        false
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.object(|object| self.write_fields(object));
    }
}

impl ToJson for String {
    fn is_default(&self) -> bool {
        self.is_empty()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(self);
    }
}

impl ToJson for bool {
    fn is_default(&self) -> bool {
        !self
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.raw(if *self { "true" } else { "false" });
    }
}

macro_rules! whole_number {
    ($($kind:ty => $write:ident),* $(,)?) => {$(
        impl ToJson for $kind {
            fn is_default(&self) -> bool {
                *self == 0
            }

            fn write(&self, writer: &mut Writer<'_>) {
                writer.$write(itoa::Buffer::new().format(*self));
            }
        }
    )*};
}

// JavaScript has no 64-bit integers, so these go as strings.
whole_number! { i32 => raw, u32 => raw, i64 => quoted, u64 => quoted }

impl ToJson for f64 {
    fn is_default(&self) -> bool {
        // Minus zero is not the default.
        self.to_bits() == 0
    }

    /// The shortest digits that read back as the same number; with an exponent below 1e-6 and from
    /// 1e21 on.
    fn write(&self, writer: &mut Writer<'_>) {
        let size = self.abs();
        if self.is_nan() {
            writer.quoted("NaN");
        } else if size.is_infinite() {
            writer.quoted(if *self > 0.0 { "Infinity" } else { "-Infinity" });
        } else if size >= 1e21 {
            writer.raw(&format!("{self:e}").replace('e', "e+"));
        } else if size != 0.0 && size < 1e-6 {
            writer.raw(&format!("{self:e}"));
        } else {
            writer.raw(&self.to_string());
        }
    }
}
