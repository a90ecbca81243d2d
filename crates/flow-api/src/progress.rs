//! How far a node has got, for whoever merges the follows of many and would wait for those that have
//! nothing to send.
//!
//! A relay asks with an entry of the request's metadata, which says how often. A server that knows it
//! sends a message with nothing but its node and a time when it has been silent for so long: whatever
//! it sends after that is later. Others leave the entry alone, and clients that do not ask never see
//! such a message.

use std::time::Duration;

use prost_types::Timestamp;
use tonic::metadata::MetadataMap;

use crate::observer::GetFlowsResponse;

/// In the metadata of a `GetFlows` call that follows: the interval in milliseconds.
const ASK: &str = "palomar-progress";

/// A server says it no more often, whoever asks: a hundred times a second costs a thousandth of a core.
const SHORTEST: Duration = Duration::from_millis(10);
/// Nor more rarely: who waits longer than this does not wait for it.
const LONGEST: Duration = Duration::from_secs(60);

/// Asks to be told at such an interval.
pub fn ask(metadata: &mut MetadataMap, interval: Duration) {
    if let Ok(millis) = interval.as_millis().to_string().parse() {
        metadata.insert(ASK, millis);
    }
}

/// The interval at which a call wants to be told, if it does.
#[must_use]
pub fn asked(metadata: &MetadataMap) -> Option<Duration> {
    let millis = metadata.get(ASK)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis).clamp(SHORTEST, LONGEST))
}

/// Everything up to this time has been sent.
#[must_use]
pub fn message(node_name: &str, time: Timestamp) -> GetFlowsResponse {
    GetFlowsResponse {
        response_types: None,
        node_name: node_name.to_owned(),
        time: Some(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_read_as_it_was_asked_for_within_bounds() {
        let mut metadata = MetadataMap::new();
        assert_eq!(asked(&metadata), None);
        for (interval, expected) in [(0, SHORTEST), (25, Duration::from_millis(25))] {
            ask(&mut metadata, Duration::from_millis(interval));
            assert_eq!(asked(&metadata), Some(expected));
        }
        ask(&mut metadata, Duration::MAX);
        assert_eq!(asked(&metadata), None, "no number that anybody means");
    }
}
