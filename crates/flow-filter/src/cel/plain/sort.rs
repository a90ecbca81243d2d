//! What an operand is, as far as its name tells: which values can be compared with it.

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Sort {
    /// An IP address as text.
    Address,
    Bool {
        /// It may also be unknown.
        may_be_null: bool,
    },
    Enum(EnumDescriptor),
    Int,
    List(Box<Sort>),
    Message(MessageDescriptor),
    Other,
    Text,
    Time,
    Uint,
}

impl Sort {
    pub(super) fn of_field(field: &FieldDescriptor) -> Self {
        let one = match field.kind() {
            Kind::Bool => Self::Bool { may_be_null: false },
            Kind::Enum(names) => Self::Enum(names),
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 => Self::Int,
            Kind::Sfixed32 | Kind::Sfixed64 => Self::Int,
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Self::Uint,
            Kind::String if field.parent_message().full_name() == "flow.IP" => Self::Address,
            Kind::String => Self::Text,
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.BoolValue" => Self::Bool { may_be_null: true },
                "google.protobuf.Timestamp" => Self::Time,
                name if name.starts_with("google.protobuf.") => Self::Other,
                _ => Self::Message(message),
            },
            Kind::Bytes | Kind::Double | Kind::Float => Self::Other,
        };
        if field.is_list() {
            Self::List(Box::new(one))
        } else {
            one
        }
    }

    /// What it is, to say what was expected.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Address => "an address",
            Self::Bool { .. } => "true or false",
            Self::Enum(_) => "a name",
            Self::Int | Self::Uint => "a number",
            Self::List(_) => "a list",
            Self::Message(_) => "more than one value",
            Self::Other => "a value",
            Self::Text => "a text",
            Self::Time => "a time",
        }
    }
}
