//! What a reader missed: gathered for a while, then told as one loss.

use flow_api::{
    flow::{LostEvent, LostEventSource},
    frames::put_frame,
};
use prost::Message as _;
use tokio::time::Instant;

use super::Query;
use crate::{
    assemble::now_ns,
    encode::{lost_event_response, timestamp},
};

/// Losses of this reader that it was not told of yet.
pub(super) struct Missed {
    count: u64,
    first_ns: i64,
    last_ns: i64,
    pub(super) since: Instant,
}

impl Query {
    /// So many events left the ring before it came to them.
    pub(super) fn miss(&mut self, count: u64) {
        self.mark.miss(count);
        let now_ns = now_ns();
        let missed = self.missed.get_or_insert(Missed {
            count: 0,
            first_ns: now_ns,
            last_ns: now_ns,
            since: Instant::now(),
        });
        missed.count += count;
        self.tally.overtaken += count;
        missed.last_ns = now_ns;
    }

    /// Tells what was gathered for long enough.
    pub(super) fn tell_missed(&mut self) {
        if self
            .missed
            .as_ref()
            .is_some_and(|missed| missed.since.elapsed() >= self.lost_event_interval)
        {
            self.flush_missed();
        }
    }

    /// Tells all that was gathered.
    pub(super) fn flush_missed(&mut self) {
        if let Some(missed) = self.missed.take()
            && self.scan.tells_losses()
        {
            let event = LostEvent {
                source: LostEventSource::HubbleRingBuffer.into(),
                num_events_lost: missed.count,
                cpu: None,
                first: Some(timestamp(missed.first_ns)),
                last: Some(timestamp(missed.last_ns)),
            };
            let response = lost_event_response(event, now_ns(), &self.scan.node);
            let mut frame = Vec::new();
            put_frame(&mut frame, |bytes| bytes.extend(response.encode_to_vec()));
            self.ready.push_back(frame.into());
        }
    }
}
