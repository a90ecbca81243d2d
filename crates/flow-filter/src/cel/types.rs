//! What an expression can be: the types of CEL, and those of the flow's fields.

use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// The type of an expression, as it is known before there is a flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Type {
    Bool,
    Bytes,
    Double,
    Duration,
    /// Only known when the expression is evaluated. Fits everywhere.
    Dyn,
    /// Of an expression with a mistake. Fits everywhere, so that the mistake is told once.
    Error,
    Int,
    List(Box<Type>),
    Map(Box<(Type, Type)>),
    Message(MessageDescriptor),
    /// Of the name of a type, such as `int`.
    Meta(Box<Type>),
    Null,
    /// To be found out, by number: what an empty list holds, what a function takes.
    Param(usize),
    String,
    Timestamp,
    Uint,
    /// A value that may be null.
    Wrapper(Box<Type>),
}

impl Type {
    pub(super) fn list(element: Self) -> Self {
        Self::List(Box::new(element))
    }

    pub(super) fn map(key: Self, value: Self) -> Self {
        Self::Map(Box::new((key, value)))
    }

    pub(super) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// Of a message; some are values of the language.
    pub(super) fn of_message(message: &MessageDescriptor) -> Self {
        let wrapper = |of| Self::Wrapper(Box::new(of));
        match message.full_name() {
            "google.protobuf.Any" => Self::Dyn,
            "google.protobuf.BoolValue" => wrapper(Self::Bool),
            "google.protobuf.BytesValue" => wrapper(Self::Bytes),
            "google.protobuf.DoubleValue" | "google.protobuf.FloatValue" => wrapper(Self::Double),
            "google.protobuf.Duration" => Self::Duration,
            "google.protobuf.Int32Value" | "google.protobuf.Int64Value" => wrapper(Self::Int),
            "google.protobuf.StringValue" => wrapper(Self::String),
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.UInt32Value" | "google.protobuf.UInt64Value" => wrapper(Self::Uint),
            _ => Self::Message(message.clone()),
        }
    }

    /// Of what a field holds.
    pub(super) fn of_field(field: &FieldDescriptor) -> Self {
        if field.is_map()
            && let Kind::Message(entry) = field.kind()
        {
            return Self::map(
                Self::of_kind(&entry.map_entry_key_field().kind()),
                Self::of_kind(&entry.map_entry_value_field().kind()),
            );
        }
        let one = Self::of_kind(&field.kind());
        if field.is_list() {
            Self::list(one)
        } else {
            one
        }
    }

    fn of_kind(kind: &Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool,
            Kind::Bytes => Self::Bytes,
            Kind::Double | Kind::Float => Self::Double,
            // Constants of enums are numbers, and so is what is compared with them.
            Kind::Enum(_)
            | Kind::Int32
            | Kind::Int64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Sfixed32
            | Kind::Sfixed64 => Self::Int,
            Kind::Message(message) => Self::of_message(message),
            Kind::String => Self::String,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Self::Uint,
        }
    }

    /// The name by which a program knows the type, without what is in it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Double => "double",
            Self::Duration => "google.protobuf.Duration",
            Self::Dyn | Self::Param(_) => "dyn",
            Self::Error => "!error!",
            Self::Int => "int",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Message(message) => message.full_name(),
            Self::Null => "null_type",
            Self::String => "string",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Meta(_) => "type",
            Self::Uint => "uint",
            Self::Wrapper(of) => of.name(),
        }
    }

    /// The type in full, as the result of a program is told.
    pub(super) fn full_name(&self) -> String {
        match self {
            Self::Duration | Self::Null | Self::Timestamp => self.name().to_owned(),
            Self::List(element) => format!("list({})", element.full_name()),
            Self::Map(of) => format!("map({}, {})", of.0.full_name(), of.1.full_name()),
            Self::Meta(of) => format!("type({})", of.full_name()),
            _ => self.to_string(),
        }
    }
}

/// The type as mistakes are told.
impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration => formatter.write_str("duration"),
            Self::List(element) => write!(formatter, "list({element})"),
            Self::Map(of) => write!(formatter, "map({}, {})", of.0, of.1),
            Self::Null => formatter.write_str("null"),
            Self::Timestamp => formatter.write_str("timestamp"),
            Self::Meta(of) => write!(formatter, "type({of})"),
            Self::Wrapper(of) => write!(formatter, "wrapper({of})"),
            _ => formatter.write_str(self.name()),
        }
    }
}
