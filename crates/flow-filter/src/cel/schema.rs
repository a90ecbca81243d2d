//! What names mean: messages, enums and their constants, as the wire contract declares them.

use std::sync::LazyLock;

use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};

use super::types::Type;

/// Names are looked up in here first, then as they stand.
pub(super) const CONTAINER: &str = "flow";

/// The flow that an expression is about.
pub(super) const VARIABLE: &str = "_flow";

static SCHEMA: LazyLock<Result<Schema, DescriptorError>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(flow_api::FILE_DESCRIPTOR_SET)?;
    Ok(Schema { pool })
});

/// The declarations of the contract.
#[derive(Debug)]
pub(super) struct Schema {
    pool: DescriptorPool,
}

/// What a name stands for, other than a variable of a comprehension.
#[derive(Clone, Debug)]
pub(super) enum Named {
    /// A constant of an enum.
    Constant(i32),
    /// The flow.
    Flow,
    Type(Type),
}

impl Schema {
    /// The declarations, unless they cannot be read. They are a part of the program, so that is a
    /// fault of how it was built.
    pub(super) fn get() -> Option<&'static Self> {
        SCHEMA.as_ref().ok()
    }

    pub(super) fn flow(&self) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name("flow.Flow")
    }

    pub(super) fn message(&self, name: &str) -> Option<MessageDescriptor> {
        candidates(name).find_map(|name| self.pool.get_message_by_name(&name))
    }

    /// A message by its full name.
    pub(super) fn message_exactly(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    pub(super) fn named(&self, name: &str) -> Option<Named> {
        candidates(name).find_map(|name| {
            if name == VARIABLE {
                return self.flow().map(|_| Named::Flow);
            }
            if let Some(built_in) = built_in_type(&name) {
                return Some(Named::Type(built_in));
            }
            if let Some(message) = self.pool.get_message_by_name(&name) {
                return Some(Named::Type(Type::of_message(&message)));
            }
            let (enumeration, constant) = name.rsplit_once('.')?;
            let enumeration = self.pool.get_enum_by_name(enumeration)?;
            let constant = enumeration.get_value_by_name(constant)?;
            Some(Named::Constant(constant.number()))
        })
    }
}

/// What a name may be in full. With a dot before it, it is.
fn candidates(name: &str) -> impl Iterator<Item = String> {
    let (in_container, plain) = match name.strip_prefix('.') {
        Some(absolute) => (None, absolute),
        None => (Some(format!("{CONTAINER}.{name}")), name),
    };
    in_container.into_iter().chain([plain.to_owned()])
}

fn built_in_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "string" => Type::String,
        "type" => Type::Meta(Box::new(Type::Dyn)),
        "uint" => Type::Uint,
        _ => return None,
    })
}
