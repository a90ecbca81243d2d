//! How far a reader is that has nothing to send, for relays that ask.

use std::time::Duration;

use bytes::Bytes;
use flow_api::{frames::put_frame, progress};
use prost::Message as _;
use tokio::time::Instant;

use crate::{assemble::now_ns, encode::timestamp};

/// What happened before that is in the ring: a source is looked at every 2 ms while there is traffic,
/// and what it has is published within the next few. Where that takes longer, flows are late.
const LAG: Duration = Duration::from_millis(10);

/// Says how far a reader is whenever nothing was sent for an interval.
pub(super) struct Progress {
    interval: Duration,
    due: Instant,
}

impl Progress {
    pub(super) fn every(interval: Duration) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
        }
    }

    /// When there is something to say, if nothing is sent before.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Something was sent, which says as much.
    pub(super) fn sent(&mut self) {
        self.due = Instant::now() + self.interval;
    }

    /// For a reader who has sent all that is in the ring: the message, as a frame, if it is due.
    pub(super) fn say(&mut self, node_name: &str) -> Option<Bytes> {
        if Instant::now() < self.due {
            return None;
        }
        self.sent();
        let lag_ns = i64::try_from(LAG.as_nanos()).unwrap_or(i64::MAX);
        let message = progress::message(node_name, timestamp(now_ns().saturating_sub(lag_ns)));
        let mut frame = Vec::new();
        put_frame(&mut frame, |bytes| bytes.extend(message.encode_to_vec()));
        Some(frame.into())
    }
}
