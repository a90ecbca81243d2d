//! What expressions compute with. Values borrow from the flow and from the program where they can.

use std::borrow::Cow;
use std::rc::Rc;

use prost_reflect::{DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor, Value as Wire};

use super::error::EvaluationError;
use super::schema::Schema;
use super::syntax::Literal;
use super::time::{Duration, Timestamp};

/// A value. Clones share what is large.
#[derive(Clone, Debug)]
pub(super) enum Value<'m> {
    Bool(bool),
    Bytes(Cow<'m, [u8]>),
    Double(f64),
    Duration(Duration),
    Int(i64),
    List(List<'m>),
    /// The entries in no order; a map is as long as an expression can write it.
    Map(Rc<[(Value<'m>, Value<'m>)]>),
    Message(Message<'m>),
    Null,
    String(Cow<'m, str>),
    Timestamp(Timestamp),
    /// The name of a type.
    Type(Cow<'m, str>),
    Uint(u64),
}

/// A list.
#[derive(Clone, Debug)]
pub(super) enum List<'m> {
    Built(Rc<[Value<'m>]>),
    /// A repeated field, whose elements are made when they are asked for.
    Field(&'m [Wire]),
}

/// A message.
#[derive(Clone, Debug)]
pub(super) enum Message<'m> {
    /// One that is not there, and reads as one in which nothing is set.
    Absent(MessageDescriptor),
    Borrowed(&'m DynamicMessage),
    Built(Rc<DynamicMessage>),
    /// As [`Message::Absent`], and equal to no message that is one.
    Invalid(MessageDescriptor),
}

impl<'m> Value<'m> {
    pub(super) fn of_literal(literal: &'m Literal) -> Self {
        match literal {
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Bytes(value) => Self::Bytes(Cow::Borrowed(value)),
            Literal::Double(value) => Self::Double(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Null => Self::Null,
            Literal::String(value) => Self::String(Cow::Borrowed(value)),
            Literal::Uint(value) => Self::Uint(*value),
        }
    }

    pub(super) fn of_wire(value: &'m Wire) -> Result<Self, EvaluationError> {
        Ok(match value {
            Wire::String(text) => Self::String(Cow::Borrowed(text)),
            Wire::Bytes(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
            Wire::List(elements) => Self::List(List::Field(elements)),
            Wire::Map(entries) => {
                let entries = entries.iter();
                let entries: Result<_, EvaluationError> = entries
                    .map(|(key, value)| Ok((Self::of_key(key), Self::of_wire(value)?)))
                    .collect();
                Self::Map(entries?)
            }
            Wire::Message(message) => Self::of_message(Message::Borrowed(message))?,
            scalar => Self::of_scalar(scalar),
        })
    }

    /// As [`of_wire`](Self::of_wire), of something that is not a part of the flow.
    fn of_owned_wire(value: Wire) -> Result<Self, EvaluationError> {
        Ok(match value {
            Wire::String(text) => Self::String(Cow::Owned(text)),
            Wire::Bytes(bytes) => Self::Bytes(Cow::Owned(bytes.into())),
            Wire::List(elements) => {
                let elements: Result<_, _> =
                    elements.into_iter().map(Self::of_owned_wire).collect();
                Self::List(List::Built(elements?))
            }
            Wire::Map(entries) => {
                let entries = entries.into_iter();
                let entries: Result<_, EvaluationError> = entries
                    .map(|(key, value)| Ok((Self::of_key(&key), Self::of_owned_wire(value)?)))
                    .collect();
                Self::Map(entries?)
            }
            Wire::Message(message) => Self::of_message(Message::Built(Rc::new(message)))?,
            scalar => Self::of_scalar(&scalar),
        })
    }

    fn of_scalar(value: &Wire) -> Self {
        match value {
            Wire::Bool(value) => Self::Bool(*value),
            Wire::I32(value) | Wire::EnumNumber(value) => Self::Int(i64::from(*value)),
            Wire::I64(value) => Self::Int(*value),
            Wire::U32(value) => Self::Uint(u64::from(*value)),
            Wire::U64(value) => Self::Uint(*value),
            Wire::F32(value) => Self::Double(f64::from(*value)),
            Wire::F64(value) => Self::Double(*value),
            // The others are no scalars, and do not come here.
            _ => Self::Null,
        }
    }

    fn of_key(key: &MapKey) -> Self {
        match key {
            MapKey::Bool(key) => Self::Bool(*key),
            MapKey::I32(key) => Self::Int(i64::from(*key)),
            MapKey::I64(key) => Self::Int(*key),
            MapKey::U32(key) => Self::Uint(u64::from(*key)),
            MapKey::U64(key) => Self::Uint(*key),
            MapKey::String(key) => Self::String(Cow::Owned(key.clone())),
        }
    }

    /// A message as a value: wrappers are what they hold, times are times.
    pub(super) fn of_message(message: Message<'m>) -> Result<Self, EvaluationError> {
        let descriptor = message.descriptor();
        let number = |name: &str| match message.scalar(name) {
            Some(Self::Int(number)) => number,
            _ => 0,
        };
        match descriptor.full_name() {
            "google.protobuf.Timestamp" => {
                Timestamp::new(number("seconds"), number("nanos")).map(Self::Timestamp)
            }
            "google.protobuf.Duration" => {
                Duration::new(number("seconds"), number("nanos")).map(Self::Duration)
            }
            "google.protobuf.Any" => message.contained(),
            "google.protobuf.BoolValue"
            | "google.protobuf.BytesValue"
            | "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int32Value"
            | "google.protobuf.Int64Value"
            | "google.protobuf.StringValue"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.UInt64Value" => match (&message, descriptor.get_field(1)) {
                (Message::Absent(_), _) | (_, None) => Ok(Self::Null),
                (_, Some(value)) => message.field(&value),
            },
            _ => Ok(Self::Message(message)),
        }
    }

    /// The name of the value's type.
    pub(super) fn type_name(&self) -> Cow<'m, str> {
        Cow::Borrowed(match self {
            Self::Bool(_) => "bool",
            Self::Bytes(_) => "bytes",
            Self::Double(_) => "double",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Int(_) => "int",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Message(message) => {
                return Cow::Owned(message.descriptor().full_name().to_owned());
            }
            Self::Null => "null_type",
            Self::String(_) => "string",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Type(_) => "type",
            Self::Uint(_) => "uint",
        })
    }
}

impl<'m> List<'m> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Built(elements) => elements.len(),
            Self::Field(elements) => elements.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Result<Value<'m>, EvaluationError>> {
        match self {
            Self::Built(elements) => elements.get(index).cloned().map(Ok),
            Self::Field(elements) => elements.get(index).map(Value::of_wire),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Result<Value<'m>, EvaluationError>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'m> Message<'m> {
    pub(super) fn descriptor(&self) -> MessageDescriptor {
        match self {
            Self::Absent(descriptor) | Self::Invalid(descriptor) => descriptor.clone(),
            Self::Borrowed(message) => prost_reflect::ReflectMessage::descriptor(*message),
            Self::Built(message) => prost_reflect::ReflectMessage::descriptor(&**message),
        }
    }

    fn message(&self) -> Option<&DynamicMessage> {
        match self {
            Self::Absent(_) | Self::Invalid(_) => None,
            Self::Borrowed(message) => Some(message),
            Self::Built(message) => Some(message),
        }
    }

    /// Whether the field is set, or, where that is not kept, is other than the default.
    pub(super) fn has(&self, field: &FieldDescriptor) -> bool {
        self.message()
            .is_some_and(|message| message.has_field(field))
    }

    /// What the field holds. One that is not set holds its default.
    pub(super) fn field(&self, field: &FieldDescriptor) -> Result<Value<'m>, EvaluationError> {
        if !self.has(field) {
            let default = Wire::default_value_for_field(field);
            return match default {
                Wire::Message(message) => {
                    let descriptor = prost_reflect::ReflectMessage::descriptor(&message);
                    Value::of_message(Message::Absent(descriptor))
                }
                other => Value::of_owned_wire(other),
            };
        }
        match self {
            // Nothing of these is set.
            Self::Absent(_) | Self::Invalid(_) => Ok(Value::Null),
            Self::Borrowed(message) => match message.get_field(field) {
                Cow::Borrowed(value) => Value::of_wire(value),
                Cow::Owned(value) => Value::of_owned_wire(value),
            },
            Self::Built(message) => Value::of_owned_wire(message.get_field(field).into_owned()),
        }
    }

    pub(super) fn field_by_name(&self, name: &str) -> Option<FieldDescriptor> {
        self.descriptor().get_field_by_name(name)
    }

    /// A field that is known to hold no message.
    fn scalar(&self, name: &str) -> Option<Value<'static>> {
        let field = self.field_by_name(name)?;
        let message = self.message()?;
        Some(Value::of_scalar(&message.get_field(&field)))
    }

    /// What is in an `Any`.
    fn contained(&self) -> Result<Value<'m>, EvaluationError> {
        let part = |name: &str| {
            let message = self.message()?;
            Some(message.get_field_by_name(name)?.into_owned())
        };
        let (Some(Wire::String(url)), Some(Wire::Bytes(bytes))) = (part("type_url"), part("value"))
        else {
            return Ok(Value::Null);
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let unknown = || EvaluationError::UnknownMessage {
            name: name.to_owned(),
        };
        let descriptor = Schema::get().and_then(|schema| schema.message_exactly(name));
        let message = descriptor.and_then(|descriptor| {
            let is_any = descriptor.full_name() == "google.protobuf.Any";
            // One in another, and so on, would have no end.
            (!is_any).then(|| DynamicMessage::decode(descriptor, bytes).ok())?
        });
        Value::of_message(Message::Built(Rc::new(message.ok_or_else(unknown)?)))
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        if matches!(self, Self::Invalid(_)) != matches!(other, Self::Invalid(_)) {
            return false;
        }
        match (self.message(), other.message()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self.descriptor() == other.descriptor(),
            (Some(message), None) | (None, Some(message)) => {
                self.descriptor() == other.descriptor()
                    && *message == DynamicMessage::new(self.descriptor())
            }
        }
    }
}
