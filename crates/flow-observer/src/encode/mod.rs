//! From events to the bytes of responses.
//!
//! In: events of the ring. Out: encoded responses, each behind gRPC's prefix, many in one piece of
//! memory ([`flow_api::frames`]). An event is encoded whole at most once, for all readers that want
//! it whole ([`EncodedEvents`]); a reader with a field mask has only those fields written.
//!
//! The bytes are the only form in which a record becomes a flow of Hubble's contract: who needs the
//! message decodes them ([`flow_message`]).

mod cache;
mod detail;
mod flow;
mod packet;
mod party;
mod response;
mod select;
mod wire;

use std::sync::Arc;

use flow_api::flow::{Emitter, Flow};
use prost::Message as _;
use prost_types::Timestamp;

use crate::{enrich::Directory, record::FlowRecord};

pub(crate) use cache::{EncodedEvents, GROUP, ones};
pub(crate) use detail::{flow_extension, message_detail, name_details};
pub(crate) use flow::Surroundings;
pub(crate) use party::{names, service, workloads};
pub(crate) use response::{
    lost_event_response, put_message, put_record, put_recorded, put_response, response,
};
pub(crate) use select::{Everything, Select};
pub(crate) use wire::Writer;

/// What all events of a node share.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeFacts {
    /// `cluster/node`, or the node alone in the default cluster.
    pub name: String,
    /// Knows the node's labels.
    pub directory: Option<Arc<Directory>>,
}

impl NodeFacts {
    /// The node's labels now: `key=value`.
    pub(crate) fn labels(&self) -> Arc<[String]> {
        match &self.directory {
            Some(directory) => Arc::clone(directory.snapshot().own_labels()),
            None => Arc::default(),
        }
    }
}

/// Who writes our flows.
pub(crate) fn emitter() -> Emitter {
    let (name, version) = flow::EMITTER;
    Emitter {
        name: name.to_owned(),
        version: version.to_owned(),
    }
}

/// The flow as a message.
pub(crate) fn flow_message(record: &FlowRecord, node: &NodeFacts) -> Flow {
    let mut bytes = Vec::with_capacity(1024);
    let around = Surroundings::now(node);
    flow::put_flow(record, &around, Everything, &mut Writer::new(&mut bytes));
    // What was just encoded can be decoded; a property test says so for all kinds of records.
    Flow::decode(&*bytes).unwrap_or_default()
}

/// Nanoseconds since 1970 as protobuf has them.
pub(crate) fn timestamp(time_ns: i64) -> Timestamp {
    const NANOS: i64 = 1_000_000_000;
    Timestamp {
        seconds: time_ns.div_euclid(NANOS),
        nanos: time_ns.rem_euclid(NANOS) as i32,
    }
}

/// A time of protobuf in nanoseconds since 1970. What lies beyond the years 1677 to 2262 is as good as
/// their ends.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    let ns = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The fields of a `Timestamp`.
fn put_timestamp(time_ns: i64, select: impl Select, writer: &mut Writer<'_>) {
    let time = timestamp(time_ns);
    flow::put_pair(writer, select, [time.seconds, time.nanos.into()]);
}

/// The canonical text of a UUID: 8-4-4-4-12 digits.
pub(crate) fn uuid_text(uuid: u128) -> String {
    uuid_digits(uuid).map(char::from).iter().collect()
}

/// As [`uuid_text`], in place.
#[inline]
pub(crate) fn uuid_digits(uuid: u128) -> [u8; 36] {
    /// Where the digits of each byte begin.
    const BEGINS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut text = [b'-'; 36];
    for (byte, begin) in uuid.to_be_bytes().into_iter().zip(BEGINS) {
        text[begin..begin + 2].copy_from_slice(&wire::hex(byte));
    }
    text
}

#[cfg(test)]
pub(crate) mod tests;
