//! What the agent's monitor socket sends: a record of the datapath or of the agent, or a count of
//! records that were lost.

use crate::decode::gob::Value;

/// One message of the monitor socket.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Payload<'a> {
    /// The record, type byte first.
    pub data: &'a [u8],
    /// The CPU that it came from.
    pub cpu: i64,
    /// How many records were lost.
    pub lost: u64,
    /// What the message is, as perf events are numbered.
    pub kind: i64,
}

/// What a message of the monitor socket is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PayloadKind {
    /// A record.
    Sample,
    /// Lost records.
    Lost,
    /// Something else.
    Unknown,
}

impl<'a> Payload<'a> {
    /// Reads a message; `None` when it is no struct. Fields of other names are skipped.
    #[must_use]
    pub fn of(value: Value<'a>) -> Option<Self> {
        let Value::Struct(payload) = value else {
            return None;
        };
        let mut read = Self::default();
        for field in payload.fields() {
            match field {
                ("Data", Value::Bytes(data)) => read.data = data,
                ("CPU", Value::Int(cpu)) => read.cpu = cpu,
                ("Lost", Value::Uint(lost)) => read.lost = lost,
                ("Type", Value::Int(kind)) => read.kind = kind,
                _ => {}
            }
        }
        Some(read)
    }

    /// What the message is.
    #[must_use]
    pub fn kind(&self) -> PayloadKind {
        match self.kind {
            9 => PayloadKind::Sample,
            2 => PayloadKind::Lost,
            _ => PayloadKind::Unknown,
        }
    }
}
