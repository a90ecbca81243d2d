//! The little that a relay reads of a message: from the bytes of one encoded `GetFlowsResponse`
//! to its time, its node name and its kind. Everything else is stepped over, and the bytes go on
//! as they came.
//!
//! Only the outermost level is walked: a flow of 700 bytes is three tags. What lies inside the flow
//! is the client's to judge, but the outer level must be whole, because one message that a
//! protobuf reader refuses ends the client's stream.

use std::str;

/// `GetFlowsResponse.flow`.
const FLOW: u32 = 1;
/// `GetFlowsResponse.node_name`.
const NODE_NAME: u32 = 1000;
/// `GetFlowsResponse.time`.
const TIME: u32 = 1001;
/// `google.protobuf.Timestamp.seconds`.
const SECONDS: u32 = 1;
/// `google.protobuf.Timestamp.nanos`.
const NANOS: u32 = 2;

const NANOS_PER_SECOND: i32 = 1_000_000_000;

/// Wire types 0, 1, 2 and 5. Groups (3 and 4) are not part of the contract, nor of proto3.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// A point in time as the wire has it: seconds since 1970 and nanoseconds within the second.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

impl Time {
    /// What a message without time sorts as: before everything.
    pub(crate) const UNKNOWN: Self = Self {
        seconds: i64::MIN,
        nanos: 0,
    };

    /// The wall clock.
    pub(crate) fn now() -> Self {
        prost_types::Timestamp::from(std::time::SystemTime::now()).into()
    }

    /// The next nanosecond: the first time that is not this one any more.
    pub(crate) fn next_nanosecond(self) -> Self {
        if self.nanos + 1 < NANOS_PER_SECOND {
            Self {
                nanos: self.nanos + 1,
                ..self
            }
        } else {
            Self {
                seconds: self.seconds.saturating_add(1),
                nanos: 0,
            }
        }
    }

    /// This time, `by` later.
    pub(crate) fn later(self, by: std::time::Duration) -> Self {
        let nanos = i64::from(self.nanos) + i64::from(by.subsec_nanos());
        let carry = nanos / i64::from(NANOS_PER_SECOND);
        let nanos = i32::try_from(nanos % i64::from(NANOS_PER_SECOND)).unwrap_or(0);
        let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
        Self {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carry),
            nanos,
        }
    }
}

impl From<prost_types::Timestamp> for Time {
    fn from(timestamp: prost_types::Timestamp) -> Self {
        Self {
            seconds: timestamp.seconds,
            nanos: timestamp.nanos,
        }
    }
}

impl From<Time> for prost_types::Timestamp {
    fn from(time: Time) -> Self {
        Self {
            seconds: time.seconds,
            nanos: time.nanos,
        }
    }
}

/// What the relay knows of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Envelope<'a> {
    /// `None` when the message has no time, as with a field mask that leaves it out.
    pub(crate) time: Option<Time>,
    /// Empty when the message has none.
    pub(crate) node_name: &'a str,
    /// Whether this is a flow, and not a gap or a status. Only the times of flows say how far a
    /// peer has got: a lost event carries the time at which it was reported.
    pub(crate) is_flow: bool,
    /// Whether there is nothing but time and node: the peer says how far it is.
    pub(crate) is_bare: bool,
}

/// Why the bytes are not a `GetFlowsResponse`. The message is counted and skipped; the stream goes
/// on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MalformedResponse {
    /// The bytes end within a field.
    #[error("it ends within a field")]
    Truncated,
    /// A varint of more than ten bytes, or a field number that no field has.
    #[error("it has a tag that no field can have")]
    BadTag,
    /// A group, or a wire type that protobuf does not have.
    #[error("it has a field of wire type {0}")]
    BadWireType(u8),
    /// A node name or time of another wire type than the contract's.
    #[error("field {0} has the wrong wire type")]
    WrongWireType(u32),
    /// Strings are UTF-8; Go's readers refuse the whole message otherwise.
    #[error("its node name is not UTF-8")]
    NodeName,
}

/// Reads what the relay needs out of one encoded `GetFlowsResponse`.
///
/// A field that comes twice counts as protobuf says: the last one wins, and the parts of a time
/// are taken one by one.
///
/// # Errors
/// [`MalformedResponse`] when the outer level of the message is not whole.
pub(crate) fn scan(message: &[u8]) -> Result<Envelope<'_>, MalformedResponse> {
    let mut envelope = Envelope {
        time: None,
        node_name: "",
        is_flow: false,
        is_bare: true,
    };
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (FLOW, Value::Bytes(_)) => {
                envelope.is_flow = true;
                envelope.is_bare = false;
            }
            (NODE_NAME, Value::Bytes(name)) => {
                envelope.node_name =
                    str::from_utf8(name).map_err(|_| MalformedResponse::NodeName)?;
            }
            (TIME, Value::Bytes(time)) => {
                envelope.time = Some(scan_time(envelope.time, time)?);
            }
            (FLOW | NODE_NAME | TIME, _) => return Err(MalformedResponse::WrongWireType(number)),
            _ => envelope.is_bare = false,
        }
    }
    Ok(envelope)
}

fn scan_time(before: Option<Time>, message: &[u8]) -> Result<Time, MalformedResponse> {
    let mut time = before.unwrap_or(Time {
        seconds: 0,
        nanos: 0,
    });
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            // Negative numbers are ten-byte varints of the two's complement.
            (SECONDS, Value::Varint(seconds)) => time.seconds = seconds.cast_signed(),
            (NANOS, Value::Varint(nanos)) => {
                // Of a number that is too large, protobuf takes the lower half.
                time.nanos = (nanos as i32).clamp(0, NANOS_PER_SECOND - 1);
            }
            (SECONDS | NANOS, _) => return Err(MalformedResponse::WrongWireType(TIME)),
            _ => {}
        }
    }
    Ok(time)
}

/// The fields of one message, front to back.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

impl<'a> Fields<'a> {
    /// Number and value; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, MalformedResponse> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| MalformedResponse::BadTag)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(MalformedResponse::BadTag);
        }
        let value = match (tag & 7) as u8 {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => {
                self.bytes(8)?;
                Value::Fixed
            }
            LENGTH_DELIMITED => {
                let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                Value::Bytes(self.bytes(len)?)
            }
            FIXED32 => {
                self.bytes(4)?;
                Value::Fixed
            }
            other => return Err(MalformedResponse::BadWireType(other)),
        };
        Ok(Some((number, value)))
    }

    fn varint(&mut self) -> Result<u64, MalformedResponse> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(MalformedResponse::Truncated)?;
            self.0 = rest;
            // The tenth byte has room for one bit; protobuf drops what is above it.
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(MalformedResponse::BadTag)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], MalformedResponse> {
        let (bytes, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(MalformedResponse::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use flow_api::flow::{Flow, LostEvent};
    use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;

    fn response(seconds: i64, nanos: i32) -> GetFlowsResponse {
        GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(Flow {
                uuid: "7f1a4b0c".into(),
                node_name: "inner".into(),
                ..Flow::default()
            })),
            node_name: "node-1".into(),
            time: Some(prost_types::Timestamp { seconds, nanos }),
        }
    }

    #[test]
    fn time_node_name_and_kind_are_read_from_the_outer_level() {
        let bytes = response(1_700_000_000, 42).encode_to_vec();
        let expected = Envelope {
            time: Some(Time {
                seconds: 1_700_000_000,
                nanos: 42,
            }),
            node_name: "node-1",
            is_flow: true,
            is_bare: false,
        };
        assert_eq!(scan(&bytes), Ok(expected));
    }

    #[test]
    fn a_lost_event_is_no_flow_and_may_have_no_time() {
        let lost = ResponseTypes::LostEvents(LostEvent::default());
        let bytes = GetFlowsResponse {
            response_types: Some(lost),
            ..Default::default()
        }
        .encode_to_vec();
        assert_eq!(
            scan(&bytes),
            Ok(Envelope {
                time: None,
                node_name: "",
                is_flow: false,
                is_bare: false,
            })
        );
    }

    #[test]
    fn a_message_with_nothing_but_node_and_time_says_how_far_the_peer_is() {
        let time = prost_types::Timestamp {
            seconds: 7,
            nanos: 8,
        };
        let bytes = flow_api::progress::message("node-1", time).encode_to_vec();
        let envelope = scan(&bytes).unwrap();
        assert!(envelope.is_bare);
        assert_eq!(envelope.time, Some(time.into()));
    }

    #[test]
    fn nanoseconds_that_are_too_many_are_read_as_by_others() {
        // 678,000,000 and one bit above what they may have.
        let time = [0x10, 0x80, 0xeb, 0xa5, 0xc3, 0x22];
        let bytes = [&[0xca, 0x3e, 6][..], &time].concat();
        let theirs = GetFlowsResponse::decode(&*bytes).unwrap().time.unwrap();
        assert_eq!(theirs.nanos, 678_000_000);
        assert_eq!(scan(&bytes).unwrap().time, Some(theirs.into()));
    }

    #[test]
    fn every_cut_within_a_field_is_refused_and_none_panics() {
        let message = response(1, 2);
        let bytes = message.encode_to_vec();
        for len in 0..bytes.len() {
            let ours = scan(&bytes[..len]);
            assert_eq!(
                ours.is_ok(),
                GetFlowsResponse::decode(&bytes[..len]).is_ok(),
                "{len}"
            );
        }
    }

    #[test]
    fn what_no_protobuf_reader_takes_is_named() {
        let cases: [(&[u8], MalformedResponse); 6] = [
            (&[0x0a, 0x05, 1], MalformedResponse::Truncated),
            (&[0x00], MalformedResponse::BadTag),
            (&[0xff; 11], MalformedResponse::BadTag),
            (&[0x0b], MalformedResponse::BadWireType(3)),
            (&[0xc8, 0x3e, 0x01], MalformedResponse::WrongWireType(TIME)),
            (&[0xc2, 0x3e, 0x01, 0xff], MalformedResponse::NodeName),
        ];
        for (bytes, expected) in cases {
            assert_eq!(scan(bytes), Err(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn the_next_nanosecond_carries_into_the_second() {
        let time = Time {
            seconds: 4,
            nanos: NANOS_PER_SECOND - 1,
        };
        assert_eq!(
            time.next_nanosecond(),
            Time {
                seconds: 5,
                nanos: 0
            }
        );
        assert_eq!(
            time.later(std::time::Duration::new(1, 1)),
            Time {
                seconds: 6,
                nanos: 0
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Where both take the bytes, both read the same. (They differ in what they refuse:
            // this one leaves the inside of a flow alone, and takes no groups.)
            if let Ok(ours) = scan(&bytes)
                && let Ok(theirs) = GetFlowsResponse::decode(bytes.as_slice())
            {
                prop_assert_eq!(ours.node_name, theirs.node_name);
            }
        }

        #[test]
        fn any_time_is_read_as_written(seconds: i64, nanos in 0..NANOS_PER_SECOND, name in ".*") {
            let mut message = response(seconds, nanos);
            message.node_name = name.clone();
            let bytes = message.encode_to_vec();
            let envelope = scan(&bytes).unwrap();
            prop_assert_eq!(envelope.time, Some(Time { seconds, nanos }));
            prop_assert_eq!(envelope.node_name, name);
        }
    }
}
