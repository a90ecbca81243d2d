//! One GetFlows request against the ring: where to begin, what to send, when to stop.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use flow_api::{
    extension::asks_for_flow_detail,
    flow::{LostEvent, LostEventSource},
    observer::GetFlowsRequest,
};
use flow_filter::Filter;
use prost::Message as _;
use prost_types::Timestamp;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::mask::Mask;
use crate::{
    assemble::now_ns,
    encode::{
        NodeFacts, encoded, flow_extension, flow_in_envelope, lost_event_response, timestamp,
    },
    ring::{Event, FlowRing, Read, Slot},
    view::matches,
};

/// Losses of a reader are gathered for so long before they are told, as in Hubble.
const LOST_EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// Which events a request is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Flows,
    /// Flows with what goes beyond Hubble's contract, and what is left of connections that ended.
    DetailedFlows,
    AgentEvents,
    DebugEvents,
}

impl Kind {
    /// The flows that a request asks for.
    pub(super) fn of_flows(request: &GetFlowsRequest) -> Self {
        if asks_for_flow_detail(request.extensions.as_ref()) {
            Self::DetailedFlows
        } else {
            Self::Flows
        }
    }
}

/// A running request.
pub(super) struct Query {
    kind: Kind,
    ring: Arc<FlowRing>,
    node: Arc<NodeFacts>,
    filter: Filter,
    mask: Option<Mask>,
    since_ns: i64,
    until_ns: i64,
    follow: bool,
    /// Flows still to send; `None` for no limit.
    remaining: Option<u64>,
    position: u64,
    missed: Option<Missed>,
    tally: Tally,
    /// Matched and not yet asked for.
    ready: VecDeque<Bytes>,
    done: bool,
    end: watch::Receiver<u64>,
    shutdown: CancellationToken,
}

/// What became of a request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Events of the kind that was asked for.
    pub(super) delivered: u64,
    /// Times of the first and the last of them.
    pub(super) times_ns: Option<(i64, i64)>,
    /// Events that left the ring before this reader came to them.
    pub(super) overtaken: u64,
    /// As many were sent as were asked for: there may be more.
    pub(super) is_limited: bool,
}

impl Tally {
    fn deliver(&mut self, time_ns: i64) {
        self.delivered += 1;
        let first_ns = self.times_ns.map_or(time_ns, |(first_ns, _)| first_ns);
        self.times_ns = Some((first_ns, time_ns));
    }
}

/// Losses of this reader that it was not told of yet.
struct Missed {
    count: u64,
    first_ns: i64,
    last_ns: i64,
    since: Instant,
}

impl Query {
    /// Compiles a request.
    ///
    /// # Errors
    /// With Hubble's codes and texts: what cannot be combined is an invalid argument; filters,
    /// masks and times that make no sense are unknown errors.
    pub(super) fn new(
        kind: Kind,
        request: &GetFlowsRequest,
        ring: Arc<FlowRing>,
        node: Arc<NodeFacts>,
        shutdown: CancellationToken,
    ) -> Result<Self, Status> {
        if request.first && request.follow {
            return Err(Status::invalid_argument(
                "first cannot be specified with follow",
            ));
        }
        let filter = Filter::compile(&request.whitelist, &request.blacklist)
            .map_err(|error| Status::unknown(error.to_string()))?;
        let paths = request
            .field_mask
            .as_ref()
            .map_or(&[][..], |mask| &mask.paths);
        let mask = Mask::compile(paths).map_err(|error| Status::unknown(error.to_string()))?;
        let since_ns = bound(request.since.as_ref(), "since")?.unwrap_or(i64::MIN);
        let until_ns = bound(request.until.as_ref(), "until")?.unwrap_or(i64::MAX);
        let mut query = Self {
            kind,
            // Subscribed before the first look, so that nothing slips through in between.
            end: ring.subscribe(),
            ring,
            node,
            filter,
            mask,
            since_ns,
            until_ns,
            follow: request.follow,
            remaining: (request.number > 0 && !request.follow).then_some(request.number),
            position: 0,
            missed: None,
            tally: Tally::default(),
            ready: VecDeque::new(),
            done: false,
            shutdown,
        };
        query.position = query.start(request);
        Ok(query)
    }

    /// Where to begin. With `since`, at the first event not before it; else so that `number`
    /// matching events are left until the end; all of them for 0, but none in a follow.
    fn start(&self, request: &GetFlowsRequest) -> u64 {
        let oldest = self.ring.oldest();
        if request.since.is_some() {
            return self.first_since(oldest);
        }
        if request.first || (request.number == 0 && !request.follow) {
            return oldest;
        }
        let mut left = request.number;
        let mut position = self.ring.end();
        if left == 0 {
            return position;
        }
        for batch in self.ring.batches().iter().rev() {
            for (index, slot) in batch.from(batch.start()).iter().enumerate().rev() {
                let at = batch.start() + index as u64;
                if at < oldest {
                    return oldest;
                }
                if at >= position {
                    continue;
                }
                if self.matches(slot) {
                    position = at;
                    left -= 1;
                    if left == 0 {
                        return position;
                    }
                }
            }
        }
        oldest
    }

    /// Times rise along the ring, unless the wall clock was set back; then a little more is
    /// walked, and sorted out one by one.
    fn first_since(&self, oldest: u64) -> u64 {
        for batch in self.ring.batches() {
            let slots = batch.from(oldest);
            if slots
                .last()
                .is_some_and(|slot| slot.event.time_ns() >= self.since_ns)
            {
                return batch.start().max(oldest);
            }
        }
        self.ring.end()
    }

    /// Whether this is an event that the client should get.
    fn matches(&self, slot: &Slot) -> bool {
        let event = &slot.event;
        let is_of_kind = match self.kind {
            Kind::Flows => event.is_flow(),
            Kind::DetailedFlows => event.is_flow_or_closing(),
            Kind::AgentEvents => matches!(event, Event::Agent(_)),
            Kind::DebugEvents => matches!(event, Event::Debug(_)),
        };
        is_of_kind && matches(&self.filter, event, &self.node)
    }

    /// Whether clients are told of losses: those of flows are.
    fn tells_losses(&self) -> bool {
        matches!(self.kind, Kind::Flows | Kind::DetailedFlows)
    }

    /// What became of the request so far.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            is_limited: self.remaining == Some(0),
            ..self.tally
        }
    }

    /// The next response; `None` when the request is answered.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            self.tell_missed();
            if let Some(response) = self.ready.pop_front() {
                return Some(Ok(response));
            }
            if self.done {
                return None;
            }
            match self.ring.read(self.position) {
                Read::Missed { count, resume } => {
                    self.position = resume;
                    self.miss(count);
                }
                Read::Batch(batch) => {
                    let slots = batch.from(self.position);
                    self.position = batch.end();
                    self.take(slots);
                    // A long scan that finds nothing must not keep the runtime to itself.
                    tokio::task::yield_now().await;
                }
                Read::End if !self.follow => {
                    self.done = true;
                    self.flush_missed();
                }
                Read::End => {
                    if let Some(end) = self.wait().await {
                        return end;
                    }
                }
            }
        }
    }

    /// Waits until there is more to read, or something to tell. `Some` ends the stream.
    async fn wait(&mut self) -> Option<Option<Result<Bytes, Status>>> {
        // Taken before the wait: what was published since the last read wakes it at once.
        let told_at = self
            .missed
            .as_ref()
            .map(|missed| missed.since + LOST_EVENT_INTERVAL);
        let ends_at = self.ends_at();
        let position = self.position;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                return Some(Some(Err(Status::unavailable("the agent is shutting down"))));
            }
            changed = self.end.wait_for(|&end| end > position) => {
                return changed.is_err().then_some(None);
            }
            () = sleep_until(told_at) => return None,
            () = sleep_until(ends_at) => {}
        }
        self.done = true;
        self.flush_missed();
        None
    }

    /// When a follow with `until` is over although nothing happens.
    fn ends_at(&self) -> Option<Instant> {
        if self.until_ns == i64::MAX {
            return None;
        }
        let left = self.until_ns.saturating_sub(now_ns());
        // A little later, so that an event of the last moment has come through the pipeline.
        const GRACE: Duration = Duration::from_millis(250);
        Some(Instant::now() + Duration::from_nanos(u64::try_from(left).unwrap_or(0)) + GRACE)
    }

    /// Puts what matches into `ready`.
    fn take(&mut self, slots: &[Slot]) {
        for slot in slots {
            if matches!(slot.event, Event::Lost(_)) && self.tells_losses() {
                // Losses pass every filter and bound, and count for nothing.
                self.ready
                    .push_back(encoded(slot, &self.node).response.clone());
                continue;
            }
            let time_ns = slot.event.time_ns();
            if time_ns > self.until_ns {
                self.done = true;
                break;
            }
            if time_ns < self.since_ns || !self.matches(slot) {
                continue;
            }
            if self.remaining == Some(0) {
                self.done = true;
                break;
            }
            self.remaining = self.remaining.map(|remaining| remaining - 1);
            self.tally.deliver(time_ns);
            let response = self.response(slot);
            self.ready.push_back(response);
        }
        if self.remaining == Some(0) {
            self.done = true;
        }
        if self.done {
            self.flush_missed();
        }
    }

    fn response(&self, slot: &Slot) -> Bytes {
        let encoded = encoded(slot, &self.node);
        let extension = match &slot.event {
            Event::Flow(record) if self.kind == Kind::DetailedFlows => flow_extension(record),
            _ => Bytes::new(),
        };
        let flow = match &self.mask {
            None if extension.is_empty() => return encoded.response.clone(),
            None => encoded.flow.clone(),
            Some(mask) => mask.apply(&encoded.flow).into(),
        };
        let node_name = match &slot.event {
            Event::Message(flow) => &flow.message.node_name,
            _ => &self.node.name,
        };
        // Time and node of the response are those of the masked flow, so they go with it.
        let has = |field| self.mask.as_ref().is_none_or(|mask| mask.has(field));
        let envelope = flow_api::observer::GetFlowsResponse {
            node_name: if has("node_name") {
                node_name.clone()
            } else {
                String::new()
            },
            time: has("time").then(|| timestamp(slot.event.time_ns())),
            response_types: None,
        };
        flow_in_envelope(&[&flow, &extension], &envelope).0
    }

    fn miss(&mut self, count: u64) {
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

    fn tell_missed(&mut self) {
        if self
            .missed
            .as_ref()
            .is_some_and(|missed| missed.since.elapsed() >= LOST_EVENT_INTERVAL)
        {
            self.flush_missed();
        }
    }

    fn flush_missed(&mut self) {
        if let Some(missed) = self.missed.take()
            && self.tells_losses()
        {
            let event = LostEvent {
                source: LostEventSource::HubbleRingBuffer.into(),
                num_events_lost: missed.count,
                cpu: None,
                first: Some(timestamp(missed.first_ns)),
                last: Some(timestamp(missed.last_ns)),
            };
            let response = lost_event_response(event, now_ns(), &self.node);
            self.ready.push_back(response.encode_to_vec().into());
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A time of the request in nanoseconds.
fn bound(time: Option<&Timestamp>, field: &str) -> Result<Option<i64>, Status> {
    let Some(time) = time else { return Ok(None) };
    if !(0..1_000_000_000).contains(&time.nanos) {
        let nanos = time.nanos;
        return Err(Status::unknown(format!(
            "invalid {field}: {nanos} nanoseconds, expected 0 to 999999999"
        )));
    }
    let ns = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    // What lies beyond the years 1677 to 2262 is as good as their ends.
    Ok(Some(
        ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    ))
}

#[cfg(test)]
mod tests;
