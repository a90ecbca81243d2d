//! Values as Go's `encoding/gob` writes them: what a Cilium agent speaks on its monitor socket.
//!
//! In: messages of a stream. Out: values, whose structs are read by field name, so that fields come
//! and go without harm. A stream defines its types as it goes along; a [`Decoder`] remembers them
//! for as long as the stream lasts. Nothing here panics, and what a stream can make us remember or
//! hold is bounded.
//!
//! The format is written down at <https://pkg.go.dev/encoding/gob>.

mod number;
mod types;
mod value;

use number::Reader;
use types::{TypeId, Types};
pub use value::{List, Map, Struct, Value};

/// The longest message, in bytes. Records of the datapath take some hundred; those of requests
/// carry headers, which proxies limit to about 100 KiB.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Bytes that the length before a message takes at most.
pub const MAX_PREFIX_BYTES: usize = 9;

/// Why a stream cannot be read. Nothing after the error can be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GobError {
    /// A value goes on after the end of its message.
    #[error("a gob message ends within a value")]
    Cut,
    /// A message that no agent sends; usually this is no gob stream.
    #[error("a gob message of {bytes} bytes, at most {MAX_MESSAGE_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// A number that fits no integer.
    #[error("a gob number of {bytes} bytes, at most 8 are possible")]
    Number {
        /// Its length.
        bytes: usize,
    },
    /// A type that the stream did not define before it was used.
    #[error("gob type {id}, which was not defined")]
    UnknownType {
        /// Its number.
        id: i64,
    },
    /// More definitions than any agent sends.
    #[error("gob type definitions of more than {limit} bytes")]
    TooManyTypes {
        /// What is taken.
        limit: usize,
    },
    /// Values nested deeper than any agent does.
    #[error("gob values nested deeper than {limit}")]
    TooDeep {
        /// What is taken.
        limit: usize,
    },
    /// Something that no encoder writes.
    #[error("malformed gob message: {what}")]
    Malformed {
        /// What it is.
        what: &'static str,
    },
}

impl GobError {
    /// A short name for counters.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cut => "gob_cut",
            Self::TooLong { .. } => "gob_too_long",
            Self::Number { .. } => "gob_number",
            Self::UnknownType { .. } => "gob_unknown_type",
            Self::TooManyTypes { .. } => "gob_too_many_types",
            Self::TooDeep { .. } => "gob_too_deep",
            Self::Malformed { .. } => "gob_malformed",
        }
    }
}

/// The length of the message at the beginning of `bytes`, and how many bytes that length takes;
/// `None` when it is not all there yet.
///
/// # Errors
/// When it is no length, or more than [`MAX_MESSAGE_BYTES`].
pub fn message_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, GobError> {
    let mut reader = Reader::new(bytes);
    let length = match reader.uint() {
        Ok(length) => length,
        Err(GobError::Cut) => return Ok(None),
        Err(error) => return Err(error),
    };
    match usize::try_from(length) {
        Ok(message) if message <= MAX_MESSAGE_BYTES => {
            Ok(Some((message, bytes.len() - reader.rest.len())))
        }
        _ => Err(GobError::TooLong { bytes: length }),
    }
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    types: Types,
}

/// A value whose message was taken in, to be read with [`Decoder::value`].
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    id: TypeId,
    bytes: &'a [u8],
}

impl Decoder {
    /// Takes in one message, without its length: remembers the type that it defines, or returns
    /// the value that it holds.
    ///
    /// # Errors
    /// When a definition cannot be read.
    pub fn take<'a>(&mut self, message: &'a [u8]) -> Result<Option<Encoded<'a>>, GobError> {
        let mut reader = Reader::new(message);
        let id = reader.int()?;
        if id >= 0 {
            let bytes = reader.rest;
            return Ok(Some(Encoded { id, bytes }));
        }
        self.types.define(id.saturating_neg(), &mut reader)?;
        if reader.rest.is_empty() {
            Ok(None)
        } else {
            Err(GobError::Malformed {
                what: "bytes after a type definition",
            })
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// When its type is not known, or its bytes are not of that type.
    pub fn value<'a>(&'a self, encoded: Encoded<'a>) -> Result<Value<'a>, GobError> {
        let mut reader = Reader::new(encoded.bytes);
        let is_struct = matches!(self.types.find(encoded.id)?, types::Type::Struct(_));
        if !is_struct && reader.uint()? != 0 {
            return Err(GobError::Malformed {
                what: "a value without the zero before it",
            });
        }
        value::read(&self.types, encoded.id, &mut reader, 0)
    }

    /// Takes in a whole stream up to and with its first value.
    ///
    /// # Errors
    /// When the stream has no value, or cannot be read.
    pub fn first<'a>(&mut self, mut stream: &'a [u8]) -> Result<Encoded<'a>, GobError> {
        loop {
            let (length, prefix) = message_length(stream)?.ok_or(GobError::Cut)?;
            let message = stream.get(prefix..prefix + length).ok_or(GobError::Cut)?;
            stream = &stream[prefix + length..];
            if let Some(encoded) = self.take(message)? {
                return Ok(encoded);
            }
        }
    }
}

#[cfg(test)]
mod tests;
