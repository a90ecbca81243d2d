//! Protobuf's wire format, written forwards in one pass.
//!
//! In: field numbers and values. Out: bytes at the end of a buffer. A message within a message is
//! written behind a length of expected size; where the length takes more or fewer bytes, the message
//! is moved. Fields that have their default value are left out, as proto3 does.

use std::{io::Write as _, net::IpAddr};

use prost::Message;

/// Wire types.
const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

/// Appends fields of a message to a buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// A number or an enum; `uint32`, `uint64` and what is cast to them.
    #[inline]
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, VARINT);
            self.varint(value);
        }
    }

    /// An `int32`, `int64` or an enum: a negative one takes ten bytes.
    #[inline]
    pub(crate) fn signed(&mut self, field: u32, value: i64) {
        self.number(field, value.cast_unsigned());
    }

    /// A `bool`.
    #[inline]
    pub(crate) fn flag(&mut self, field: u32, value: bool) {
        self.number(field, value.into());
    }

    /// A `string`.
    #[inline]
    pub(crate) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.element(field, text.as_bytes());
        }
    }

    /// An element of a `repeated string`, there even if it is empty.
    #[inline]
    pub(crate) fn element(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    /// The texts of a `repeated string`.
    #[inline]
    pub(crate) fn elements<'t>(&mut self, field: u32, texts: impl Iterator<Item = &'t str>) {
        for text in texts {
            self.element(field, text.as_bytes());
        }
    }

    /// A message that is there even if nothing is written into it. Best where it takes fewer than
    /// 128 bytes.
    #[inline]
    pub(crate) fn message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.delimited::<1>(field, write);
    }

    /// As [`message`](Self::message), and best where it takes 128 bytes to 16 KiB.
    #[inline]
    pub(crate) fn long_message(&mut self, field: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.delimited::<2>(field, write);
    }

    #[inline]
    fn delimited<const EXPECTED: usize>(
        &mut self,
        field: u32,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        self.tag(field, LENGTH_DELIMITED);
        let start = self.bytes.len();
        self.raw(&[0; EXPECTED]);
        write(&mut Writer { bytes: self.bytes });
        let length = self.bytes.len() - start - EXPECTED;
        let (digits, taken) = varint(length as u64);
        if taken == EXPECTED {
            self.bytes[start..start + EXPECTED].copy_from_slice(&digits[..EXPECTED]);
        } else {
            let digits = digits[..taken].iter().copied();
            drop(self.bytes.splice(start..start + EXPECTED, digits));
        }
    }

    /// Bytes that are fields already.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A message that is one already.
    pub(crate) fn prost(&mut self, field: u32, message: &impl Message) {
        self.tag(field, LENGTH_DELIMITED);
        let written = message.encode_length_delimited(self.bytes);
        // Memory does not fail to be written to.
        debug_assert!(written.is_ok());
    }

    /// A text that is put together in place; shorter than 128 bytes, there even if it is empty.
    #[inline]
    fn short_text(&mut self, field: u32, put: impl FnOnce(&mut Vec<u8>)) {
        self.message(field, |writer| put(writer.bytes));
    }

    /// An address as text: four decimal numbers, or as in RFC 5952.
    #[inline]
    pub(crate) fn address(&mut self, field: u32, address: IpAddr) {
        self.short_text(field, |bytes| match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                put_decimal(a, bytes);
                for octet in [b, c, d] {
                    bytes.push(b'.');
                    put_decimal(octet, bytes);
                }
            }
            IpAddr::V6(address) => {
                let written = write!(bytes, "{address}");
                // Memory does not fail to be written to.
                debug_assert!(written.is_ok());
            }
        });
    }

    /// A link layer address as text: `aa:bb:cc:dd:ee:ff`.
    #[inline]
    pub(crate) fn mac(&mut self, field: u32, mac: [u8; 6]) {
        let mut text = [b':'; 17];
        for (at, byte) in text.chunks_mut(3).zip(mac) {
            at[..2].copy_from_slice(&hex(byte));
        }
        self.element(field, &text);
    }

    #[inline]
    fn tag(&mut self, field: u32, wire_type: u32) {
        self.varint(u64::from(field << 3 | wire_type));
    }

    #[inline]
    fn varint(&mut self, value: u64) {
        if value < 0x80 {
            self.bytes.push(value as u8);
        } else {
            self.long_varint(value);
        }
    }

    /// Apart, so that the short way is short enough to be put where it is used.
    #[inline(never)]
    fn long_varint(&mut self, value: u64) {
        let (digits, taken) = varint(value);
        self.bytes.extend_from_slice(&digits[..taken]);
    }
}

/// A number in groups of seven bits, the lowest first, and how many there are.
#[inline]
fn varint(mut value: u64) -> ([u8; 10], usize) {
    let mut digits = [0; 10];
    let mut taken = 0;
    while value >= 0x80 {
        digits[taken] = value as u8 | 0x80;
        value >>= 7;
        taken += 1;
    }
    digits[taken] = value as u8;
    (digits, taken + 1)
}

#[inline]
fn put_decimal(number: u8, bytes: &mut Vec<u8>) {
    let digit = |of: u8| b'0' + of % 10;
    match number {
        0..10 => bytes.push(digit(number)),
        10..100 => bytes.extend_from_slice(&[digit(number / 10), digit(number)]),
        100.. => {
            bytes.extend_from_slice(&[digit(number / 100), digit(number / 10), digit(number)]);
        }
    }
}

/// The two hexadecimal digits of a byte.
#[inline]
pub(super) fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::encode_varint;

    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut Writer::new(&mut bytes));
        bytes
    }

    #[test]
    fn a_message_of_any_length_has_its_length_before_it() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 70_000] {
            let content = vec![7; length];
            let mut expected = vec![5 << 3 | 2];
            encode_varint(length as u64, &mut expected);
            expected.extend_from_slice(&content);
            assert_eq!(written(|it| it.message(5, |it| it.raw(&content))), expected);
            let long = written(|it| it.long_message(5, |it| it.raw(&content)));
            assert_eq!(long, expected);
        }
    }

    #[test]
    fn a_mac_address_has_two_digits_for_each_byte() {
        let mac = written(|it| it.mac(1, [0xaa, 0, 1, 2, 3, 0xff]));
        assert_eq!(&mac[2..], b"aa:00:01:02:03:ff");
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_prost_writes_them(value: u64) {
            let mut expected = Vec::new();
            encode_varint(value, &mut expected);
            let (digits, taken) = varint(value);
            prop_assert_eq!(&digits[..taken], &expected[..]);
        }

        #[test]
        fn addresses_are_written_as_the_standard_library_does(address: IpAddr) {
            let bytes = written(|it| it.address(1, address));
            prop_assert_eq!(str::from_utf8(&bytes[2..]), Ok(&*address.to_string()));
        }
    }
}
