//! How prost spells the names of a `.proto` in Rust.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};

/// The Rust path of a message or enum, as seen from the crate's root: `.flow.Tunnel.Protocol` is
/// `crate::flow::tunnel::Protocol`.
///
/// Every package of the contract is one word, so the first part is the package, the last one the
/// type, and those between are messages around it.
pub(crate) fn type_path(proto_path: &str) -> String {
    let (scopes, name) = scope_and_name(proto_path);
    let scopes: String = scopes
        .split('.')
        .filter(|scope| !scope.is_empty())
        .map(|scope| format!("{}::", scope.to_snake_case()))
        .collect();
    format!("crate::{scopes}{}", name.to_upper_camel_case())
}

fn scope_and_name(proto_path: &str) -> (&str, &str) {
    proto_path.rsplit_once('.').unwrap_or(("", proto_path))
}

/// The Rust name of a field. Raw, so that `type` needs no list of keywords.
pub(crate) fn field(proto_name: &str) -> String {
    format!("r#{}", proto_name.to_snake_case())
}

/// The Rust path of a oneof's enum: inside the module of its message.
pub(crate) fn oneof_path(message_path: &str, oneof: &str) -> String {
    let (scope, name) = scope_and_name(message_path);
    type_path(&format!("{scope}.{}.{oneof}", name.to_snake_case()))
}

/// The Rust name of a variant of a oneof's enum.
pub(crate) fn variant(proto_name: &str) -> String {
    proto_name.to_upper_camel_case()
}
