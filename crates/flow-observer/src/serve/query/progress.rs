//! How far a reader is that has nothing to send, for relays that ask.

use std::time::Duration;

use bytes::Bytes;
use flow_api::{frames::put_frame, progress};
use prost::Message as _;
use tokio::time::Instant;

use crate::{
    assemble::now_ns,
    encode::timestamp,
    ring::{Asker, FlowRing},
};

/// From the time of an event until its source has it: microseconds, unless the kernel is kept from the
/// processor in between.
const LAG: Duration = Duration::from_millis(10);

/// Says how far a reader is whenever nothing was sent for an interval.
pub(super) struct Progress {
    interval: Duration,
    due: Instant,
    asker: Asker,
}

impl Progress {
    pub(super) fn every(interval: Duration, ring: &FlowRing) -> Self {
        Self {
            interval,
            due: Instant::now() + interval,
            asker: ring.horizon().ask(),
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

    /// How far a reader is, in nanoseconds since 1970, if that is due, and if there is no more for it in the
    /// ring when it looks after this.
    pub(super) fn before_look(&self) -> Option<i64> {
        if Instant::now() < self.due {
            return None;
        }
        let lag_ns = i64::try_from(LAG.as_nanos()).unwrap_or(i64::MAX);
        let until_ns = self.asker.until_ns();
        Some(until_ns.min(now_ns().saturating_sub(lag_ns)))
    }

    /// The message, as a frame.
    pub(super) fn say(&mut self, until_ns: i64, node_name: &str) -> Bytes {
        self.sent();
        let message = progress::message(node_name, timestamp(until_ns));
        let mut frame = Vec::new();
        put_frame(&mut frame, |bytes| bytes.extend(message.encode_to_vec()));
        frame.into()
    }
}
