//! One `GetFlows` call: readers, merge and status events, put together as the stream that the
//! client gets.
//!
//! There is no task for this: the stream is polled by the client's connection, so a client that
//! does not read stops exactly what it asked for, and dropping the stream ends all its readers.
//!
//! Where this is better than Hubble's relay on purpose:
//! - a following call does not end because its peers are gone, be it one or all; it waits for them;
//! - peers that join or return are announced (NODE_CONNECTED), and so are those that are removed
//!   (NODE_GONE); Hubble announces only whom it found at the start;
//! - a peer that returns is asked for what is missing, and not for the last flows once more;
//! - the first error of a kind is told at once, not ten seconds later.

mod coverage;
mod peers;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flow_api::palomar::CoverageReport;
use flow_api::relay::NodeState;
use futures::{Stream, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::peers::PeerState;
use crate::call::{Call, Method};
use crate::defaults::{HOLD_WHEN_FULL, REPORTS};
use crate::merge::{LaneId, Merge};
use crate::pace::{Open, Pace};
use crate::pool::{Members, Pool};
use crate::reader::{Event, FromReader};
use crate::status::ErrorMerge;
use crate::total;
use crate::wire::Time;

/// What a call needs besides the request.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The relay's own name, in whose name status events come.
    pub(crate) relay_name: Arc<str>,
    /// How long a following call waits for quiet peers.
    pub(crate) max_hold: Duration,
    /// Told of each call.
    pub(crate) pace: Pace,
    /// Ends following calls.
    pub(crate) shutdown: CancellationToken,
}

/// The merged stream; see the [module](self). `permit` is held for as long as the stream lives. Of a
/// client that wants no more than a number in all, it is [cut](total) to that.
pub(crate) fn merged(
    call: Call,
    pool: &Pool,
    settings: Settings,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    let part = match call.method {
        Method::Flows => total::Part::of(&call.request, &call.metadata),
        Method::AgentEvents | Method::DebugEvents => None,
    };
    let flows = Box::new(Flows::start(call, pool, settings, permit));
    let merged = futures::stream::unfold(flows, |mut flows| async move {
        let item = flows.next().await?;
        Some((item, flows))
    });
    match part {
        Some(part) => total::cut(merged, part).right_stream(),
        None => merged.left_stream(),
    }
}

struct Flows {
    call: Arc<Call>,
    settings: Settings,
    merge: Merge<Event>,
    /// Never open, so nobody waits for it: where the status events of a finite call are queued.
    status_lane: LaneId,
    readers: JoinSet<()>,
    peers: BTreeMap<LaneId, PeerState>,
    /// Kept so that `reports` stays open; cloned for each reader.
    sender: mpsc::Sender<FromReader>,
    reports: mpsc::Receiver<FromReader>,
    members: watch::Receiver<Members>,
    errors: ErrorMerge,
    /// Changes of state that are told in the next free moment, equal ones together.
    changes: Vec<(NodeState, Arc<str>)>,
    /// Encoded status events that go out before anything else.
    ready: VecDeque<Bytes>,
    /// When a following call that has an `until` stops waiting for its peers.
    give_up: Option<Instant>,
    /// For a client that is a relay: when it is told next how far this call is, and what it was told.
    progress: Option<(Instant, Time)>,
    /// What the peers said that their answers cover, the last of each.
    covered: BTreeMap<Arc<str>, CoverageReport>,
    /// Everybody who ought to say it.
    asked: BTreeSet<Arc<str>>,
    is_over: bool,
    /// Some peer has said all that it had.
    has_answer: bool,
    has_told_coverage: bool,
    _permit: OwnedSemaphorePermit,
    open: Open,
}

impl Flows {
    fn start(call: Call, pool: &Pool, settings: Settings, permit: OwnedSemaphorePermit) -> Self {
        let (sender, reports) = mpsc::channel(REPORTS);
        let follow = call.request.follow;
        let mut members = pool.members.clone();
        let at_start = Arc::clone(&members.borrow_and_update());
        let mut merge = Merge::new();
        let open = settings.pace.open(follow);
        let mut flows = Self {
            give_up: call.gives_up(),
            progress: call.tells_progress.map(|_| (Instant::now(), Time::UNKNOWN)),
            call: Arc::new(call),
            settings,
            status_lane: merge.add_lane(),
            merge,
            readers: JoinSet::new(),
            peers: BTreeMap::new(),
            sender,
            reports,
            members,
            errors: ErrorMerge::new(follow),
            changes: Vec::new(),
            ready: VecDeque::new(),
            covered: BTreeMap::new(),
            asked: at_start.keys().cloned().collect(),
            is_over: false,
            has_answer: false,
            has_told_coverage: false,
            _permit: permit,
            open,
        };
        // Asked once, so that what is told and what is done are the same.
        let at_start: Vec<_> = at_start
            .values()
            .map(|member| (member, member.is_available()))
            .collect();
        for (wanted, state) in [
            (true, NodeState::NodeConnected),
            (false, NodeState::NodeUnavailable),
        ] {
            for (member, _) in at_start.iter().filter(|(_, is_up)| *is_up == wanted) {
                flows.changes.push((state, Arc::clone(&member.name)));
            }
        }
        for (member, is_up) in at_start {
            if is_up || follow {
                flows.join(member, is_up);
            }
        }
        flows.tell_changes();
        flows
    }

    /// The next item of the stream.
    async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            if let Some(status) = self.ready.pop_front() {
                return Some(Ok(status));
            }
            if self.is_over {
                return self.tell_coverage().map(Err);
            }
            if let Some((_, event)) = self.merge.pop() {
                return Some(Ok(event.bytes));
            }
            // All that has come is looked at before anything is released because of its age.
            while let Ok((lane, report)) = self.reports.try_recv() {
                self.take(lane, report);
            }
            let now = Instant::now();
            let errors = self.errors.due(now);
            self.tell(errors);
            self.tell_changes();
            if !self.ready.is_empty() {
                continue;
            }
            let expiry = self.expire(now);
            if let Some((_, event)) = self.merge.pop() {
                return Some(Ok(event.bytes));
            }
            if expiry.is_some_and(|expiry| expiry <= now) {
                continue;
            }
            if let Some(progress) = self.tell_progress(now) {
                return Some(Ok(progress));
            }
            if self.is_done(now) {
                self.finish();
                continue;
            }
            if let Err(status) = self.wait(expiry).await {
                self.is_over = true;
                self.has_told_coverage = true;
                return Some(Err(self.with_coverage(status)));
            }
        }
    }

    /// Waits until something is different.
    async fn wait(&mut self, expiry: Option<Instant>) -> Result<(), Status> {
        let follow = self.call.request.follow;
        let progress = self.progress.map(|(due, _)| due);
        let wake = [expiry, self.errors.next_due(), self.give_up, progress]
            .into_iter()
            .flatten()
            .min();
        let alarm = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // `sender` keeps the channel open, so there always is a next one.
            Some((lane, report)) = self.reports.recv() => self.take(lane, report),
            Ok(()) = self.members.changed(), if follow => self.update_peers(),
            () = alarm => {}
            () = self.settings.shutdown.cancelled(), if follow => {
                return Err(Status::unavailable("the relay is shutting down"));
            }
        }
        Ok(())
    }

    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let max_hold = self.settings.max_hold;
        let hold = if self.call.shared_credit.is_nearly_used_up() {
            max_hold.min(HOLD_WHEN_FULL)
        } else {
            max_hold
        };
        // Nothing is ever due in a finite call: its events are queued without a time of arrival.
        self.merge.expire(now, hold)
    }

    /// Whether nothing can come any more. A finite call is over when its peers are. A following one
    /// goes on without peers, and ends only when every peer has said that it is done, because it
    /// refused the request or because its time is up, or when `until` has passed and nothing comes:
    /// an agent notices that only with its next flow.
    fn is_done(&mut self, now: Instant) -> bool {
        if !self.merge.is_empty() {
            return false;
        }
        let all_ended = self.peers.values().all(|peer| peer.has_ended);
        if !self.call.request.follow {
            return all_ended;
        }
        let is_late = self.give_up.is_some_and(|give_up| give_up <= now);
        is_late || (all_ended && !self.peers.is_empty())
    }
}

#[cfg(test)]
mod tests;
