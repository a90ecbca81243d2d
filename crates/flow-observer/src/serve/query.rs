//! One GetFlows request against the ring: where to begin, what to send, when to stop.
//!
//! A reader that keeps up filters and encodes on the spot. A large range is cut into units that worker
//! threads scan while earlier ones are sent ([`ahead`]).

mod ahead;
mod missed;
mod position;
mod progress;
mod room;
mod scan;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use flow_api::{extension::asks_for_flow_detail, observer::GetFlowsRequest, resume::After};
use prost_types::Timestamp;
use tokio::{
    sync::{SemaphorePermit, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::mask::Mask;
use crate::{
    agent::DEFAULT_LOST_EVENT_INTERVAL,
    assemble::now_ns,
    encode::{NodeFacts, nanoseconds},
    outline::Sought,
    ring::{Event, FlowRing, Mark, Read, ReaderKind, Slot},
};
use ahead::Ahead;
use missed::Missed;
use position::Begin;
use progress::Progress;
use scan::{Found, Scan};

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

    fn is_flows(self) -> bool {
        matches!(self, Self::Flows | Self::DetailedFlows)
    }

    /// Whether an event is one of these.
    fn covers(self, event: &Event) -> bool {
        match self {
            Self::Flows => event.is_flow(),
            Self::DetailedFlows => event.is_flow_or_closing(),
            Self::AgentEvents => matches!(event, Event::Agent(_)),
            Self::DebugEvents => matches!(event, Event::Debug(_)),
        }
    }
}

/// Groups of events that are looked at before others get their turn: some hundred events.
const GROUPS_ON_THE_SPOT: usize = 4;

/// Batches without a find, skipped for the most part, before others get their turn. A reader who gave
/// way to them for each tiny batch of a busy ring would be woken for little else.
const MAX_BATCHES: u32 = 16;

/// A running request.
pub(super) struct Query {
    scan: Arc<Scan>,
    ring: Arc<FlowRing>,
    follow: bool,
    /// Flows still to send; `None` for no limit.
    remaining: Option<u64>,
    /// Where to begin; `None` once it has.
    begin: Option<Begin>,
    /// What is before it was looked at, or is being looked at.
    position: u64,
    /// Tells others where that is.
    mark: Mark,
    ahead: Ahead,
    missed: Option<Missed>,
    /// Losses are gathered for so long before they are told.
    lost_event_interval: Duration,
    tally: Tally,
    /// For whoever wants to know how far this is while there is nothing to send.
    progress: Option<Progress>,
    /// Frames that were not asked for yet: what one scan found, which is bounded in bytes.
    ready: VecDeque<Bytes>,
    /// How many batches were looked at since others got their turn.
    batches: u32,
    done: bool,
    end: watch::Receiver<u64>,
    shutdown: CancellationToken,
    /// What the filter takes, for as long as it is there.
    _room: SemaphorePermit<'static>,
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
    fn deliver(&mut self, times_ns: &[i64]) {
        let (Some(&first_ns), Some(&last_ns)) = (times_ns.first(), times_ns.last()) else {
            return;
        };
        self.delivered += times_ns.len() as u64;
        let first_ns = self.times_ns.map_or(first_ns, |(first_ns, _)| first_ns);
        self.times_ns = Some((first_ns, last_ns));
    }
}

impl Query {
    /// Compiles a request.
    ///
    /// # Errors
    /// With Hubble's codes and texts: what cannot be combined is an invalid argument; filters,
    /// masks and times that make no sense are unknown errors. Filters that are only too many are
    /// refused with a code of our own.
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
        let (filter, room) = room::compile(&request.whitelist, &request.blacklist)?;
        let paths = request
            .field_mask
            .as_ref()
            .map_or(&[][..], |mask| &mask.paths);
        let mask = Mask::compile(paths).map_err(|error| Status::unknown(error.to_string()))?;
        let since_ns = bound(request.since.as_ref(), "since")?.unwrap_or(i64::MIN);
        let until_ns = bound(request.until.as_ref(), "until")?.unwrap_or(i64::MAX);
        let is_flows = kind.is_flows();
        let sought = is_flows.then(|| Sought::of(&request.whitelist)).flatten();
        let reader = match request.follow {
            true => ReaderKind::Follow,
            false => ReaderKind::Query,
        };
        Ok(Self {
            // Subscribed before the first look, so that nothing slips through in between.
            end: ring.subscribe(),
            begin: Some(Begin::of(request, &ring)),
            mark: ring.readers().enter(reader, ring.end()),
            ring,
            scan: Arc::new(Scan {
                kind,
                node,
                filter,
                sought,
                mask,
                since_ns,
                until_ns,
            }),
            follow: request.follow,
            remaining: (request.number > 0 && !request.follow).then_some(request.number),
            position: 0,
            ahead: Ahead::default(),
            missed: None,
            lost_event_interval: DEFAULT_LOST_EVENT_INTERVAL,
            tally: Tally::default(),
            progress: None,
            ready: VecDeque::new(),
            batches: 0,
            done: false,
            shutdown,
            _room: room,
        })
    }

    /// Gathers losses of this reader for so long before it tells them.
    pub(super) fn telling_losses_every(self, lost_event_interval: Duration) -> Self {
        Self {
            lost_event_interval,
            ..self
        }
    }

    /// Goes on after a flow that the client has, whatever times are asked for, if it follows.
    pub(super) fn going_on_after(mut self, flow: Option<After>) -> Self {
        if let Some(flow) = flow.filter(|_| self.follow) {
            let end = self.ring.end();
            self.begin = Some(Begin::After { flow, end });
            if let Some(scan) = Arc::get_mut(&mut self.scan) {
                scan.since_ns = i64::MIN;
            }
        }
        self
    }

    /// Says how far it is when it has nothing to send, if it follows.
    pub(super) fn telling_progress(self, interval: Option<Duration>) -> Self {
        let interval = interval.filter(|_| self.follow);
        Self {
            progress: interval.map(|interval| Progress::every(interval, &self.ring)),
            ..self
        }
    }

    /// Whether this is an event that the client should get.
    fn matches(&self, slot: &Slot) -> bool {
        self.scan.matches(slot)
    }

    /// What became of the request so far.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            is_limited: self.remaining == Some(0),
            ..self.tally
        }
    }

    /// The next responses, as frames; `None` when the request is answered.
    pub(super) async fn next_frames(&mut self) -> Option<Result<Bytes, Status>> {
        if let Some(begin) = self.begin {
            self.position = self.find(begin).await;
            self.begin = None;
        }
        loop {
            self.mark.set(self.position);
            self.tell_missed();
            if let Some(frames) = self.ready.pop_front() {
                if let Some(progress) = &mut self.progress {
                    progress.sent();
                }
                return Some(Ok(frames));
            }
            if self.done {
                return None;
            }
            self.read_ahead().await;
            match self.ahead.next().await {
                Some(Ok((found, stopped))) => {
                    self.position = stopped.unwrap_or(self.position);
                    self.take(found);
                    continue;
                }
                Some(Err(status)) => return Some(Err(status)),
                None => {}
            }
            let until_ns = self.progress.as_ref().and_then(Progress::before_look);
            match self.ring.read(self.position) {
                Read::Missed { count, resume } => {
                    self.position = resume;
                    self.miss(count);
                }
                Read::Batch(batch) => {
                    let mut found = Found::default();
                    self.position = self.scan.run(
                        &batch,
                        self.position,
                        GROUPS_ON_THE_SPOT,
                        self.remaining,
                        &mut found,
                    );
                    self.ring.weigh(&batch);
                    self.take(found);
                    self.batches += 1;
                    let has_more = self.position < batch.end();
                    if self.ready.is_empty() && (has_more || self.batches >= MAX_BATCHES) {
                        // A long scan that finds nothing must not keep the runtime to itself.
                        self.batches = 0;
                        tokio::task::yield_now().await;
                    }
                }
                Read::End if !self.follow => {
                    self.done = true;
                    self.flush_missed();
                }
                Read::End => {
                    if let (Some(progress), Some(until_ns)) = (&mut self.progress, until_ns) {
                        return Some(Ok(progress.say(until_ns, &self.scan.node.name)));
                    }
                    if let Some(end) = self.wait().await {
                        return end;
                    }
                }
            }
        }
    }

    /// Waits until there is more to read, or something to tell. `Some` ends the stream.
    async fn wait(&mut self) -> Option<Option<Result<Bytes, Status>>> {
        if self.shutdown.is_cancelled() {
            if self.missed.is_some() {
                self.flush_missed();
                return None;
            }
            return Some(Some(Err(Status::unavailable("the agent is shutting down"))));
        }
        // Taken before the wait: what was published since the last read wakes it at once.
        let told_at = self
            .missed
            .as_ref()
            .map(|missed| missed.since + self.lost_event_interval);
        let ends_at = self.ends_at();
        let progress_at = self.progress.as_ref().map(Progress::due);
        let position = self.position;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return None,
            changed = self.end.wait_for(|&end| end > position) => {
                return changed.is_err().then_some(None);
            }
            () = sleep_until(told_at) => return None,
            () = sleep_until(progress_at) => return None,
            () = sleep_until(ends_at) => {}
        }
        self.done = true;
        self.flush_missed();
        None
    }

    /// When a follow with `until` is over although nothing happens.
    fn ends_at(&self) -> Option<Instant> {
        if self.scan.until_ns == i64::MAX {
            return None;
        }
        // A little later, so that an event of the last moment has come through the pipeline. Counted
        // from `until`, since this may be asked again and again before it is over.
        const GRACE_NS: i64 = 250_000_000;
        let over_ns = self.scan.until_ns.saturating_add(GRACE_NS);
        let left_ns = over_ns.saturating_sub(now_ns());
        Some(Instant::now() + Duration::from_nanos(u64::try_from(left_ns).unwrap_or(0)))
    }

    /// Makes what was found ready.
    fn take(&mut self, mut found: Found) {
        let mut is_over = found.is_over;
        if let Some(remaining) = &mut self.remaining {
            // Units that are ahead do not know of each other.
            found.truncate(*remaining);
            *remaining -= found.counted();
            is_over |= *remaining == 0;
        }
        self.tally.deliver(&found.times_ns);
        self.ready.extend(found.frames);
        if is_over {
            self.done = true;
            self.flush_missed();
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
    /// What a timestamp of protobuf may be, in seconds since 1970.
    const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let Some(time) = time else { return Ok(None) };
    if !(0..1_000_000_000).contains(&time.nanos) {
        let nanos = time.nanos;
        return Err(Status::unknown(format!(
            "invalid {field}: {nanos} nanoseconds, expected 0 to 999999999"
        )));
    }
    if !YEARS_1_TO_9999.contains(&time.seconds) {
        let seconds = time.seconds;
        return Err(Status::unknown(format!(
            "invalid {field}: {seconds} seconds, expected a time in the years 1 to 9999"
        )));
    }
    Ok(Some(nanoseconds(*time)))
}

#[cfg(test)]
mod busy;
#[cfg(test)]
mod model;
#[cfg(test)]
mod senseless;
#[cfg(test)]
mod tests;
