//! The JSON form of every message of the contract: protobuf's JSON mapping, as Hubble prints it.
//!
//! Out: one line without spaces, names as in the `.proto` and in the order they stand there,
//! defaults left out, `<`, `>`, `&` and the two Unicode line separators escaped. In: what
//! protobuf's rules allow, which is more (names in lowerCamelCase, enums by number, 64-bit numbers
//! bare, `null` for "not set", white space), and nothing else: a field that is unknown, given twice
//! or of the wrong type is an error that names it.
//!
//! ```
//! use flow_api::{flow::{Flow, Verdict}, json};
//!
//! let flow: Flow = json::from_str(r#"{"verdict": 2, "nodeName": "node-1"}"#)?;
//! assert_eq!(flow.verdict(), Verdict::Dropped);
//! assert_eq!(json::to_string(&flow), r#"{"verdict":"DROPPED","node_name":"node-1"}"#);
//! # Ok::<(), json::JsonError>(())
//! ```
//!
//! What is generated for each message is only the list of its fields; reading and writing them is
//! the work of the modules below.

mod any;
mod canonical;
mod enums;
mod error;
mod fields;
mod generated;
mod mask;
mod read;
mod scalar;
mod shape;
mod time;
mod wire;
mod write;

use self::{
    canonical::Walker,
    read::{ReadFields, Reader},
    wire::EncodedFields,
    write::{Object, WriteFields},
};
pub use self::{
    error::{JsonError, Place},
    fields::{Fields, UnknownField},
    read::ReadOptions,
    wire::{unknown_field_number, write_encoded},
};

/// A message of the contract. Implemented by generated code only; use [`to_string`],
/// [`write()`] and [`from_str`].
pub trait Json: prost::Message + ReadFields + WriteFields + EncodedFields {}

impl<T: prost::Message + ReadFields + WriteFields + EncodedFields> Json for T {}

/// The JSON form of a message, in one line.
pub fn to_string(message: &impl Json) -> String {
    let mut out = Vec::new();
    write(message, &mut out);
    // Always UTF-8: everything written is ASCII or comes out of a `String`.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the JSON form of a message, without a line end.
pub fn write(message: &impl Json, out: &mut Vec<u8>) {
    Object::write_root(message, out);
}

/// Reads one message, which must be all that the text holds.
///
/// # Errors
/// When the text is not JSON, or not of this message; see [`JsonError`].
pub fn from_str<T: Json>(text: &str) -> Result<T, JsonError> {
    from_str_with(text, ReadOptions::default())
}

/// As [`from_str`], with a choice of what to refuse.
///
/// # Errors
/// As [`from_str`].
pub fn from_str_with<T: Json>(text: &str, options: ReadOptions) -> Result<T, JsonError> {
    Reader::new(options).read_root(text)
}

/// Reads a message from the very text that [`write()`] gives for it: this is much faster than
/// [`from_str`], and the text can stand for the message where that is to be written again. `None`
/// for any other text, which [`from_str`] may well read.
///
/// Of the message only `fields` are read. The others are checked as strictly, and keep their
/// defaults.
pub fn from_canonical<T: Json>(text: &str, fields: &Fields) -> Option<T> {
    Walker::new(text).root(fields)
}
