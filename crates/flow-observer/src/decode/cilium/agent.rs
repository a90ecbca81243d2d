//! Notifications of the agent (type 130).

use super::CiliumError;
use crate::decode::gob::{Decoder, Value};

const KIND: &str = "agent";

/// The agent did something.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AgentNotification {
    /// What, as the agent numbers it.
    pub kind: u32,
    /// The details, in JSON.
    pub text: String,
}

impl AgentNotification {
    pub(super) fn read(stream: &[u8]) -> Result<Self, CiliumError> {
        let failed = |source| CiliumError::Gob { kind: KIND, source };
        let mut decoder = Decoder::default();
        let encoded = decoder.first(stream).map_err(failed)?;
        let Value::Struct(fields) = decoder.value(encoded).map_err(failed)? else {
            return Err(CiliumError::NoStruct { kind: KIND });
        };
        let mut read = Self::default();
        for field in fields.fields() {
            match field {
                ("Type", Value::Uint(kind)) => read.kind = u32::try_from(kind).unwrap_or(0),
                ("Text", Value::Text(text)) => read.text = String::from_utf8_lossy(text).into(),
                _ => {}
            }
        }
        Ok(read)
    }
}
