//! What a server's clock says, for relays that want to know how far it is off.
//!
//! A client asks with an entry of the request's metadata, and a server that knows it tells its time in
//! the headers of the answer. The answer is the same either way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::metadata::{AsciiMetadataValue, MetadataMap};

/// In the metadata of a call, and in the headers of its answer: nanoseconds since 1970.
const CLOCK: &str = "palomar-clock";

/// Asks for the time.
pub fn ask(metadata: &mut MetadataMap) {
    metadata.insert(CLOCK, AsciiMetadataValue::from_static("1"));
}

/// Tells the time to a call that asks for it.
pub fn answer(asked: &MetadataMap, told: &mut MetadataMap) {
    if !asked.contains_key(CLOCK) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    if let Ok(value) = now.to_string().parse() {
        told.insert(CLOCK, value);
    }
}

/// The time in the headers of an answer, if there is one.
#[must_use]
pub fn told(headers: &MetadataMap) -> Option<SystemTime> {
    let nanos: u64 = headers.get(CLOCK)?.to_str().ok()?.parse().ok()?;
    UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_to_those_who_ask() {
        let (mut asked, mut headers) = (MetadataMap::new(), MetadataMap::new());
        answer(&asked, &mut headers);
        assert!(headers.is_empty());
        ask(&mut asked);
        answer(&asked, &mut headers);
        let off = SystemTime::now().duration_since(told(&headers).unwrap());
        assert!(off.unwrap() < Duration::from_secs(10));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "now", "-1", "99999999999999999999"] {
            let mut headers = MetadataMap::new();
            headers.insert(CLOCK, text.parse().unwrap());
            assert_eq!(told(&headers), None, "{text}");
        }
    }
}
