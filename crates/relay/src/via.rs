//! The relays that a call has come by. Relays may be nodes of each other, so that clients of either see
//! both clusters, and a call must not go round and round between them.
//!
//! Each relay adds itself to an entry of the metadata of what it asks. One that is asked by way of itself
//! has nothing to add: whoever asked first has its nodes already. It answers with nothing, and says why in
//! the head of its answer, so that nobody asks again.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// In the metadata of a call: names of relays, with spaces between. In that of an answer with nothing:
/// anything.
const KEY: &str = "palomar-via";

/// A way that is longer is none that anybody has built: 15 relays.
const LONGEST: usize = 15 * 17;

/// What a relay calls itself: at random, since nobody gives relays names that differ.
#[derive(Debug)]
pub(crate) struct Waypoint(String);

impl Waypoint {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }

    /// Adds this relay to the way of a call. `false` if the call has come by it, and is to end here.
    pub(crate) fn join(&self, metadata: &mut MetadataMap) -> bool {
        let way = metadata.get(KEY).and_then(|way| way.to_str().ok());
        let way = way.unwrap_or_default();
        if way.len() > LONGEST || way.split(' ').any(|relay| relay == self.0) {
            return false;
        }
        let longer = format!("{way} {}", self.0);
        if let Ok(longer) = longer.trim_start().parse() {
            metadata.insert(KEY, longer);
        }
        true
    }
}

/// Says why there is nothing in an answer.
pub(crate) fn end(answer: &mut MetadataMap) {
    answer.insert(KEY, AsciiMetadataValue::from_static("end"));
}

/// Whether a call has come to its end where this answer is from.
pub(crate) fn is_end(answer: &MetadataMap) -> bool {
    answer.contains_key(KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_on_until_it_comes_back_or_too_far() {
        let (a, b) = (Waypoint::new(), Waypoint::new());
        let mut metadata = MetadataMap::new();
        assert!(a.join(&mut metadata) && b.join(&mut metadata));
        assert!(!a.join(&mut metadata) && !b.join(&mut metadata));
        let relays = std::iter::repeat_with(Waypoint::new);
        let further = relays.take_while(|relay| relay.join(&mut metadata));
        assert_eq!(further.count(), 14);
    }
}
