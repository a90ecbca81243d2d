//! Where a follow goes on whose stream broke, for whoever follows many nodes and should neither miss
//! flows nor get them twice.
//!
//! `since` is not enough for that: several flows may have one time, and a clock that is set back makes
//! what comes after older than what came before. So a relay names the last flow that it got, by its time,
//! in an entry of the request's metadata. A server that knows it says so in the head of its answer, looks
//! for that flow in the order in which it holds them, and sends what lies behind it, whatever time that
//! has. If it has no such flow, all that it has came later, or it is a new process: it sends
//! everything. `since` of the request does not hold then. Others go by `since`.

use prost_types::Timestamp;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// In the metadata of a `GetFlows` call that follows: seconds, nanoseconds and number. In that of its
/// answer: anything.
const KEY: &str = "palomar-after";

/// The last flow that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct After {
    /// Its time.
    pub time: Timestamp,
    /// How many flows of this time came one after the other; it is the last of them.
    pub count: u32,
}

/// Asks for what comes after a flow.
pub fn ask(metadata: &mut MetadataMap, after: After) {
    let After { time, count } = after;
    if let Ok(value) = format!("{} {} {count}", time.seconds, time.nanos).parse() {
        metadata.insert(KEY, value);
    }
}

/// Takes the question out: it is for one server, and another one could not make sense of it.
pub fn remove(metadata: &mut MetadataMap) {
    metadata.remove(KEY);
}

/// The flow after which a call wants to go on.
#[must_use]
pub fn asked(metadata: &MetadataMap) -> Option<After> {
    let mut numbers = metadata.get(KEY)?.to_str().ok()?.split(' ');
    let seconds = numbers.next()?.parse().ok()?;
    let nanos = numbers.next()?.parse().ok()?;
    let count = numbers.next()?.parse().ok().filter(|count| *count > 0)?;
    let time = Timestamp { seconds, nanos };
    numbers.next().is_none().then_some(After { time, count })
}

/// Says that the answer goes on after the flow that was named.
pub fn accept(metadata: &mut MetadataMap) {
    metadata.insert(KEY, AsciiMetadataValue::from_static("1"));
}

/// Whether an answer goes on after the flow that was named, and not by `since`.
#[must_use]
pub fn is_accepted(metadata: &MetadataMap) -> bool {
    metadata.contains_key(KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_named_by_its_time_and_number_and_nothing_else_is_one() {
        let mut metadata = MetadataMap::new();
        assert_eq!(asked(&metadata), None);
        let time = Timestamp {
            seconds: -5,
            nanos: 7,
        };
        let after = After { time, count: 2 };
        ask(&mut metadata, after);
        assert_eq!(asked(&metadata), Some(after));
        remove(&mut metadata);
        assert_eq!(asked(&metadata), None);
        for text in ["", "1", "1 2", "1 2 0", "1 2 3 4", "1 2 x", "1  2 3"] {
            metadata.insert(KEY, text.parse().unwrap());
            assert_eq!(asked(&metadata), None, "{text}");
        }
    }
}
