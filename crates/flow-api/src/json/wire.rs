//! JSON of encoded messages, without the messages in between.
//!
//! In: protobuf's wire format. Out: the bytes that [`write()`](super::write()) makes of the same
//! message. Fields are looked for first and then written in the order of declaration, in which they
//! rarely are on the wire. What is unusual, as a field that comes in two parts, is left to the message
//! itself: it is decoded and written as ever.

mod unknown;

use std::str::Utf8Error;

use prost::{DecodeError, Message, bytes::Buf as _, encoding::decode_varint};

use super::{
    Json,
    write::{Object, ToJson, Writer},
};
pub use unknown::unknown_field_number;

/// A table finds the fields with smaller numbers.
const LOW: usize = 48;
/// A message has at most so many fields, as the generator sees to.
const MOST_FIELDS: usize = 64;
/// As many as an endpoint has, and twice that.
const FEW_FIELDS: usize = 16;
/// Messages that lie inside each other, beyond what any event has.
const DEPTH: u32 = 16;

/// A message whose encoded form can be told field by field. Implemented by generated code.
pub trait EncodedFields {
    /// Its fields.
    fn shape() -> &'static Shape;
}

/// What a message is made of.
#[derive(Debug)]
pub struct Shape {
    /// By number: the index of the field and one more, or 0 for none.
    low: [u8; LOW],
    /// In the order of declaration.
    fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
struct Field {
    number: u32,
    /// As it is written behind another, with comma, quotes and colon.
    key: &'static str,
    /// Fields of the same group exclude each other; 0 for none.
    group: u8,
    is_list: bool,
    kind: Kind,
}

/// What a field holds.
#[derive(Debug)]
enum Kind {
    Text,
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Enum(fn(i32) -> Option<&'static str>),
    /// By a function, since messages may hold themselves.
    Message(fn() -> &'static Shape),
    /// A message with a JSON form of its own.
    Other(fn(&[u8], &str, &mut Object<'_>) -> Result<(), Unusual>),
    /// Anything else.
    Rare,
}

impl Kind {
    const fn other<T: Message + Default + ToJson>() -> Self {
        Self::Other(|bytes, key, object| {
            let value = T::decode(bytes).map_err(|_damaged| Unusual)?;
            object.present(key, &value);
            Ok(())
        })
    }
}

/// To be decoded as a message, which knows what to do, or what is wrong.
#[derive(Debug)]
struct Unusual;

impl From<Utf8Error> for Unusual {
    fn from(_: Utf8Error) -> Self {
        Self
    }
}

impl From<DecodeError> for Unusual {
    fn from(_: DecodeError) -> Self {
        Self
    }
}

/// Appends the JSON form of an encoded message, without a line end.
///
/// # Errors
/// When the bytes are no such message; then nothing is appended.
pub fn write_encoded<T: Json + Default>(
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let start = out.len();
    let mut result = Ok(());
    Writer { out, any_depth: 0 }
        .object(|object| result = write_fields(T::shape(), bytes, object, DEPTH));
    if result.is_err() {
        out.truncate(start);
        super::write(&T::decode(bytes)?, out);
    }
    Ok(())
}

/// Where a field is: a value, or for a list the range from its first to its last element.
#[derive(Clone, Copy, Default)]
struct Place {
    start: u32,
    end: u32,
}

fn write_fields(
    shape: &Shape,
    bytes: &[u8],
    object: &mut Object<'_>,
    depth: u32,
) -> Result<(), Unusual> {
    let depth = depth.checked_sub(1).ok_or(Unusual)?;
    // Most messages are small, and clearing what they do not need would take longer than they do.
    match shape.fields.len() {
        ..=FEW_FIELDS => write_up_to::<FEW_FIELDS>(shape, bytes, object, depth),
        _ => write_up_to::<MOST_FIELDS>(shape, bytes, object, depth),
    }
}

/// As [`write_fields`], for a message with so many fields at most.
fn write_up_to<const FIELDS: usize>(
    shape: &Shape,
    bytes: &[u8],
    object: &mut Object<'_>,
    depth: u32,
) -> Result<(), Unusual> {
    let mut places = [Place::default(); FIELDS];
    let (mut seen, mut groups) = (0u64, 0u64);
    let mut rest = bytes;
    if u32::try_from(bytes.len()).is_err() {
        return Err(Unusual);
    }
    while !rest.is_empty() {
        let start = bytes.len() - rest.len();
        let (tag, value) = next_field(&mut rest)?;
        let Some(index) = shape.find((tag >> 3) as u32) else {
            continue;
        };
        let field = &shape.fields[index];
        if (tag & 7) as u8 != field.wire_type()? {
            return Err(Unusual);
        }
        let end = (bytes.len() - rest.len()) as u32;
        let bit = 1 << index;
        let was_seen = seen & bit != 0;
        seen |= bit;
        let place = &mut places[index];
        if field.is_list {
            place.start = if was_seen { place.start } else { start as u32 };
            place.end = end;
            continue;
        }
        // Parts of a message are one message.
        if was_seen && matches!(field.kind, Kind::Message(_) | Kind::Other(_)) {
            return Err(Unusual);
        }
        if field.group > 0 {
            if groups >> field.group & 1 != 0 {
                return Err(Unusual);
            }
            groups |= 1 << field.group;
        }
        *place = Place {
            start: end - value as u32,
            end,
        };
    }
    while seen != 0 {
        let index = seen.trailing_zeros() as usize;
        seen &= seen - 1;
        let (field, place) = (&shape.fields[index], places[index]);
        let value = &bytes[place.start as usize..place.end as usize];
        if field.is_list {
            write_list(shape, index, value, object, depth)?;
        } else {
            field.write(value, object, depth)?;
        }
    }
    Ok(())
}

/// Writes the elements of a list, between which others may lie.
fn write_list(
    shape: &Shape,
    index: usize,
    bytes: &[u8],
    object: &mut Object<'_>,
    depth: u32,
) -> Result<(), Unusual> {
    let field = &shape.fields[index];
    object.key(field.key);
    object.writer.out.push(b'[');
    let mut rest = bytes;
    let mut is_first = true;
    while !rest.is_empty() {
        let (tag, value) = next_field(&mut rest)?;
        if (tag >> 3) as u32 != field.number {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            object.writer.out.push(b',');
        }
        let end = bytes.len() - rest.len();
        let value = &bytes[end - value..end];
        match &field.kind {
            Kind::Text => object.writer.encoded_text(value)?,
            Kind::Message(shape) => {
                let mut result = Ok(());
                object
                    .writer
                    .object(|object| result = write_fields(shape(), value, object, depth));
                result?;
            }
            // Lists of numbers may be packed, and are in no event.
            _ => return Err(Unusual),
        }
    }
    object.writer.out.push(b']');
    Ok(())
}

impl Shape {
    /// The index of a field.
    #[inline]
    fn find(&self, number: u32) -> Option<usize> {
        match self.low.get(number as usize) {
            Some(&place) => usize::from(place).checked_sub(1),
            None => self.fields.iter().position(|field| field.number == number),
        }
    }
}

impl Field {
    #[inline]
    fn wire_type(&self) -> Result<u8, Unusual> {
        match self.kind {
            Kind::Text | Kind::Message(_) | Kind::Other(_) => Ok(2),
            Kind::Rare => Err(Unusual),
            _ if self.is_list => Err(Unusual),
            _ => Ok(0),
        }
    }

    /// Writes a field that is no list.
    fn write(&self, value: &[u8], object: &mut Object<'_>, depth: u32) -> Result<(), Unusual> {
        // In a group, presence is told apart from the default value.
        let is_present = self.group > 0;
        match &self.kind {
            Kind::Text => {
                if is_present || !value.is_empty() {
                    object.key(self.key);
                    object.writer.encoded_text(value)?;
                }
                return Ok(());
            }
            Kind::Message(shape) => {
                object.key(self.key);
                let mut result = Ok(());
                object
                    .writer
                    .object(|object| result = write_fields(shape(), value, object, depth));
                return result;
            }
            Kind::Other(write) => return write(value, self.key, object),
            _ => {}
        }
        let mut value = value;
        let number = varint(&mut value)?;
        let put = |object: &mut Object<'_>, value: &dyn Fn(&mut Object<'_>)| {
            object.key(self.key);
            value(object);
        };
        match self.kind {
            Kind::Bool if is_present || number != 0 => {
                put(object, &|object| (number != 0).write(&mut object.writer));
            }
            Kind::Int32 if is_present || number as i32 != 0 => {
                put(object, &|object| (number as i32).write(&mut object.writer));
            }
            Kind::Uint32 if is_present || number as u32 != 0 => {
                put(object, &|object| (number as u32).write(&mut object.writer));
            }
            Kind::Int64 if is_present || number != 0 => {
                put(object, &|object| {
                    number.cast_signed().write(&mut object.writer)
                });
            }
            Kind::Uint64 if is_present || number != 0 => {
                put(object, &|object| number.write(&mut object.writer));
            }
            Kind::Enum(name) if is_present || number as i32 != 0 => {
                object.key(self.key);
                match name(number as i32) {
                    Some(name) => object.writer.quoted(name),
                    None => (number as i32).write(&mut object.writer),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Takes a field off the bytes: its tag, and how long its value is.
#[inline]
fn next_field(rest: &mut &[u8]) -> Result<(u64, usize), Unusual> {
    let tag = varint(rest)?;
    let before = rest.len();
    match tag & 7 {
        0 => {
            varint(rest)?;
            Ok((tag, before - rest.len()))
        }
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_too_long| Unusual)?;
            *rest = rest.get(length..).ok_or(Unusual)?;
            Ok((tag, length))
        }
        1 if before >= 8 => {
            rest.advance(8);
            Ok((tag, 8))
        }
        5 if before >= 4 => {
            rest.advance(4);
            Ok((tag, 4))
        }
        _ => Err(Unusual),
    }
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Unusual> {
    match **rest {
        [low @ ..0x80, ref tail @ ..] => {
            *rest = tail;
            Ok(low.into())
        }
        [low, high @ ..0x80, ref tail @ ..] => {
            *rest = tail;
            Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
        }
        _ => long_varint(rest),
    }
}

/// Apart, so that the short way is short enough to be put where it is used.
#[inline(never)]
fn long_varint(rest: &mut &[u8]) -> Result<u64, Unusual> {
    Ok(decode_varint(rest)?)
}

mod generated {
    //! The fields of every message, generated from `proto/` when this crate is built.

    #![allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        deprecated,
        reason = "generated; deprecated fields are part of the contract"
    )]

    use super::{super::enums::Enumeration, EncodedFields, Field, Kind, Shape};

    include!(concat!(env!("OUT_DIR"), "/json_wire.rs"));
}
