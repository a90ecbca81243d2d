//! Fields by their path in the contract, as in `l4.TCP.flags.SYN` or `detail.process.pid`.
//!
//! A path is looked up once in the contract's descriptors; then values are read from the flow's bytes
//! by the numbers of its fields. Nothing else of the flow is decoded.

use std::fmt::Write as _;

use flow_api::FILE_DESCRIPTOR_SET;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use prost_types::Timestamp;

use super::Observed;
use crate::print::time::TimeFormat;

/// What a path begins with that leads into what goes beyond Hubble's flows.
const DETAIL: &str = "detail";

/// The way to a field.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// As the contract spells it.
    pub(super) name: String,
    is_detail: bool,
    steps: Vec<Step>,
}

/// A field on the way, and what it holds.
#[derive(Clone, Debug)]
struct Step {
    number: u32,
    holds: Holds,
    /// What an absent field reads as, where its message is there.
    default: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Holds {
    Bool,
    Double,
    Enum(EnumDescriptor),
    Float,
    /// More steps lead on.
    Message,
    Signed,
    Text,
    Time,
    Unsigned,
    /// A number or text in a message of its own, so that it can be absent.
    Wrapped(Box<Step>),
}

/// Why a path leads nowhere.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum PathError {
    /// There is no such field; these are there instead.
    NoField {
        /// The part of the path that was found, with a dot behind it, or nothing.
        before: String,
        /// The fields that follow it.
        names: Vec<String>,
    },
    /// The field has fields of its own, which are these.
    NoValue {
        /// The path.
        path: String,
        /// Its fields.
        names: Vec<String>,
    },
}

impl Path {
    /// Looks a path up. Names may be written without regard to case and underscores.
    ///
    /// # Errors
    /// It leads to no field with a value.
    pub(super) fn find(text: &str) -> Result<Self, PathError> {
        let root = |name: &str| {
            // Our own descriptors are well formed.
            let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).ok();
            pool.and_then(|pool| pool.get_message_by_name(name))
        };
        let detail = text
            .strip_prefix(DETAIL)
            .and_then(|rest| rest.strip_prefix('.'));
        let (message, rest, mut name) = match detail {
            Some(rest) => (root("palomar.FlowDetail"), rest, format!("{DETAIL}.")),
            None => (root("flow.Flow"), text, String::new()),
        };
        let mut steps = Vec::new();
        let mut within = message;
        for part in rest.split('.') {
            let Some(message) = &within else {
                // The field before has no fields.
                return Err(PathError::NoField {
                    before: name,
                    names: Vec::new(),
                });
            };
            let Some(field) = message.fields().find(|field| same(field.name(), part)) else {
                return Err(PathError::NoField {
                    before: name,
                    names: names(message),
                });
            };
            name.push_str(field.name());
            name.push('.');
            let step = Step::new(&field);
            within = match (&step.holds, field.kind()) {
                (Holds::Message, Kind::Message(message)) => Some(message),
                _ => None,
            };
            steps.push(step);
        }
        name.pop();
        match within {
            Some(message) => Err(PathError::NoValue {
                path: name,
                names: names(&message),
            }),
            None => Ok(Self {
                name,
                is_detail: detail.is_some(),
                steps,
            }),
        }
    }

    /// The field of a flow that it begins with.
    pub(super) fn mask(&self) -> Option<&str> {
        // Not the whole path: fields within lists have none of their own in a mask.
        (!self.is_detail).then(|| self.name.split('.').next().unwrap_or_default())
    }

    /// Appends the value; of a list all values, with commas between.
    pub(super) fn take(&self, observed: &Observed<'_>, out: &mut String) {
        let bytes = if self.is_detail {
            observed.encoded_detail()
        } else {
            observed.encoded()
        };
        if !bytes.is_empty() {
            let start = out.len();
            // Bytes that are no message hold nothing to show.
            read(bytes, &self.steps, start, out).ok();
        }
    }
}

/// Whether a name was meant: `isReply`, `is-reply` and `IS_REPLY` are `is_reply`.
fn same(name: &str, given: &str) -> bool {
    let letters = |text: &str| -> Vec<u8> {
        let letters = text.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
        letters.map(|byte| byte.to_ascii_lowercase()).collect()
    };
    letters(name) == letters(given)
}

fn names(message: &MessageDescriptor) -> Vec<String> {
    let fields = message.fields();
    fields.map(|field| field.name().to_owned()).collect()
}

impl Step {
    fn new(field: &FieldDescriptor) -> Self {
        let holds = match field.kind() {
            Kind::Bool => Holds::Bool,
            Kind::Bytes | Kind::String => Holds::Text,
            Kind::Double => Holds::Double,
            Kind::Enum(of) => Holds::Enum(of),
            Kind::Float => Holds::Float,
            Kind::Message(of) => match of.full_name() {
                "google.protobuf.Timestamp" => Holds::Time,
                // Each of these has one field, with the number 1.
                "google.protobuf.BoolValue"
                | "google.protobuf.Int32Value"
                | "google.protobuf.UInt32Value" => match of.get_field(1) {
                    Some(value) => Holds::Wrapped(Box::new(Self::new(&value))),
                    None => Holds::Message,
                },
                _ => Holds::Message,
            },
            Kind::Fixed32 | Kind::Fixed64 | Kind::Uint32 | Kind::Uint64 => Holds::Unsigned,
            // The contract has no zigzag numbers.
            Kind::Int32
            | Kind::Int64
            | Kind::Sfixed32
            | Kind::Sfixed64
            | Kind::Sint32
            | Kind::Sint64 => Holds::Signed,
        };
        let can_be_absent =
            field.is_list() || field.supports_presence() || field.containing_oneof().is_some();
        let default = match &holds {
            _ if can_be_absent => None,
            Holds::Bool => Some("false"),
            Holds::Signed | Holds::Unsigned => Some("0"),
            _ => None,
        };
        Self {
            number: field.number(),
            holds,
            default,
        }
    }
}

/// Why bytes are no message.
struct Malformed;

impl From<prost::DecodeError> for Malformed {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// Appends the values that the steps lead to. `start` is where the first of them begins.
fn read(mut bytes: &[u8], steps: &[Step], start: usize, out: &mut String) -> Result<(), Malformed> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(());
    };
    let mut is_there = false;
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes)?;
        let value = take_value(&mut bytes, wire_type)?;
        if number != step.number {
            continue;
        }
        is_there = true;
        match (&step.holds, &value) {
            (Holds::Message, Value::Bytes(message)) => read(message, rest, start, out)?,
            _ => step.write(&value, start, out)?,
        }
    }
    if let (false, Some(default)) = (is_there, step.default) {
        next(start, out).push_str(default);
    }
    Ok(())
}

/// `out`, with a comma behind what is there.
fn next(start: usize, out: &mut String) -> &mut String {
    if out.len() > start {
        out.push(',');
    }
    out
}

/// A value as it stands on the wire.
enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
}

fn take_value<'b>(bytes: &mut &'b [u8], wire_type: WireType) -> Result<Value<'b>, Malformed> {
    let length = match wire_type {
        WireType::Varint => return Ok(Value::Number(decode_varint(bytes)?)),
        WireType::LengthDelimited => {
            usize::try_from(decode_varint(bytes)?).map_err(|_too_long| Malformed)?
        }
        WireType::ThirtyTwoBit => 4,
        WireType::SixtyFourBit => 8,
        // Groups are of the time before proto3.
        WireType::StartGroup | WireType::EndGroup => return Err(Malformed),
    };
    let (value, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    if wire_type == WireType::LengthDelimited {
        return Ok(Value::Bytes(value));
    }
    let mut number = [0; 8];
    number[..length].copy_from_slice(value);
    Ok(Value::Number(u64::from_le_bytes(number)))
}

impl Step {
    fn write(&self, value: &Value<'_>, start: usize, out: &mut String) -> Result<(), Malformed> {
        match (&self.holds, value) {
            (Holds::Wrapped(inner), Value::Bytes(message)) => {
                read(message, std::slice::from_ref(inner), start, out)?;
                return Ok(());
            }
            (Holds::Text, Value::Bytes(text)) => {
                next(start, out).push_str(&String::from_utf8_lossy(text));
                return Ok(());
            }
            (Holds::Time, Value::Bytes(time)) => {
                let time: Timestamp = prost::Message::decode(*time)?;
                let mut text = Vec::new();
                TimeFormat::Rfc3339Nano.write(&mut text, Some(&time));
                next(start, out).push_str(&String::from_utf8_lossy(&text));
                return Ok(());
            }
            // Many numbers in one value.
            (_, Value::Bytes(packed)) => {
                let mut packed = *packed;
                while !packed.is_empty() {
                    let number = decode_varint(&mut packed)?;
                    self.write(&Value::Number(number), start, out)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let Value::Number(number) = *value else {
            return Ok(());
        };
        let out = next(start, out);
        let written = match &self.holds {
            Holds::Bool => write!(out, "{}", number != 0),
            Holds::Double => write!(out, "{}", f64::from_bits(number)),
            // The lower half holds all of a float, and all of an enum's number.
            Holds::Float => write!(out, "{}", f32::from_bits(number as u32)),
            Holds::Enum(of) => match of.get_value(number as i32) {
                Some(value) => write!(out, "{}", value.name()),
                None => write!(out, "{}", number as i32),
            },
            Holds::Signed => write!(out, "{}", number.cast_signed()),
            _ => write!(out, "{number}"),
        };
        debug_assert!(written.is_ok(), "writing to memory cannot fail");
        Ok(())
    }
}
