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

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flow_api::palomar::{Coverage, CoverageReport};
use flow_api::relay::NodeState;
use flow_api::{coverage, progress};
use futures::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::call::{Call, Method};
use crate::defaults::{HOLD_WHEN_FULL, REPORTS, UNTIL_GRACE};
use crate::merge::{Arrived, LaneId, Merge};
use crate::pace::{Open, Pace};
use crate::pool::{Member, Members, Pool};
use crate::reader::{Event, FromReader, Reader, Report};
use crate::status::{ErrorMerge, Notice};
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
    _open: Open,
}

/// One peer as this call sees it.
struct PeerState {
    name: Arc<str>,
    reader: AbortHandle,
    /// What the client was told last: connected or not.
    is_up: bool,
    /// The last error that was told since.
    told: Option<String>,
    /// The reader has said its last word.
    has_ended: bool,
    /// Flows that came when the stream was further already.
    late: u64,
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
            _open: open,
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

    /// Starts to read a peer: as the client asked, or as one that joins later.
    fn join(&mut self, member: &Arc<Member>, is_up: bool) {
        let lane = self.merge.add_lane();
        if is_up {
            self.merge.open(lane);
        }
        let (call, member) = (Arc::clone(&self.call), Arc::clone(member));
        let name = Arc::clone(&member.name);
        self.asked.insert(Arc::clone(&name));
        let reader = Reader::new(call, member, lane, self.sender.clone(), !is_up);
        let reader = self.readers.spawn(reader.run());
        self.peers.insert(
            lane,
            PeerState {
                name,
                reader,
                is_up,
                told: None,
                has_ended: false,
                late: 0,
            },
        );
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

    fn take(&mut self, lane: LaneId, report: Report) {
        if let Report::Events(events) = report {
            let arrived = self.call.request.follow.then(|| Arrived {
                at: Instant::now(),
                newest_credible: Time::now().later(self.settings.max_hold / 2),
            });
            if let Some(give_up) = &mut self.give_up {
                // Somebody is still sending what happened before.
                *give_up = (*give_up).max(Instant::now() + UNTIL_GRACE);
            }
            if let Some(reached) = self.merge.reached()
                && let Some(peer) = self.peers.get_mut(&lane)
            {
                let is_late = |(time, event): &&(Time, Event)| event.is_flow && *time < reached;
                peer.late += events.iter().filter(is_late).count() as u64;
            }
            return self.merge.push(lane, events, arrived);
        }
        let Some(peer) = self.peers.get_mut(&lane) else {
            return;
        };
        match report {
            Report::Events(_) => {}
            Report::Passed(time) => self.merge.passed(lane, time),
            Report::Opened => {
                self.merge.open(lane);
                peer.told = None;
                if !std::mem::replace(&mut peer.is_up, true) {
                    let name = Arc::clone(&peer.name);
                    let errors = self.errors.of(&name);
                    self.tell(errors);
                    self.changes.push((NodeState::NodeConnected, name));
                }
            }
            Report::Skipped(reason) => {
                let name = Arc::clone(&peer.name);
                self.add_error(name, format!("skipped a malformed response: {reason}"));
            }
            Report::Covered(told) => {
                self.covered.insert(Arc::clone(&peer.name), told);
            }
            Report::Failed(message) => self.fail(lane, message),
            Report::Left => {
                self.merge.close(lane);
                if std::mem::replace(&mut peer.is_up, false) {
                    self.changes
                        .push((NodeState::NodeUnavailable, Arc::clone(&peer.name)));
                }
            }
            Report::Ended => {
                self.has_answer = true;
                self.merge.close(lane);
                peer.has_ended = true;
            }
            Report::Refused(message) => {
                peer.has_ended = true;
                self.fail(lane, message);
            }
        }
    }

    /// A peer's stream has broken, or it could not be opened again. The client is told once, and
    /// again only if the reason changes.
    fn fail(&mut self, lane: LaneId, message: String) {
        self.merge.close(lane);
        let Some(peer) = self.peers.get_mut(&lane) else {
            return;
        };
        peer.has_ended |= !self.call.request.follow;
        let was_up = std::mem::replace(&mut peer.is_up, false);
        if was_up || peer.told.as_ref() != Some(&message) {
            tracing::warn!(peer = %peer.name, error = %message, "peer stream broke");
            peer.told = Some(message.clone());
            let name = Arc::clone(&peer.name);
            self.add_error(name, message);
        }
    }

    fn add_error(&mut self, node: Arc<str>, message: String) {
        // What happened before is told before.
        self.tell_changes();
        let notices = self.errors.add(node, message, Time::now(), Instant::now());
        self.tell(notices);
    }

    /// Hands status events out: at once to whoever follows, in the order of time otherwise.
    fn tell(&mut self, notices: Vec<Notice>) {
        if !self.call.tells_status() {
            return;
        }
        for notice in notices {
            let bytes = notice.encode(&self.settings.relay_name);
            if self.call.request.follow {
                self.ready.push_back(bytes);
            } else {
                let event = Event {
                    bytes,
                    is_flow: false,
                    credit: None,
                };
                self.merge
                    .push(self.status_lane, [(notice.time, event)], None);
            }
        }
    }

    /// How far the call is, if it is time to say it and there is something new to say.
    fn tell_progress(&mut self, now: Instant) -> Option<Bytes> {
        let interval = self.call.tells_progress?;
        let (due, told) = self.progress.as_mut().filter(|(due, _)| *due <= now)?;
        *due = now + interval;
        let passed = self.merge.all_passed().filter(|passed| passed > told)?;
        *told = passed;
        let message = progress::message(&self.settings.relay_name, passed.into());
        Some(message.encode_to_vec().into())
    }

    /// One event for neighbours in the list that have the same state.
    fn tell_changes(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        if !self.call.tells_status() {
            return;
        }
        for run in changes.chunk_by(|(a, _), (b, _)| a == b) {
            if let Some((state, _)) = run.first() {
                let names = run.iter().map(|(_, name)| Arc::clone(name)).collect();
                self.ready
                    .push_back(Notice::now(*state, names).encode(&self.settings.relay_name));
            }
        }
    }

    /// Brings the readers in step with the pool.
    fn update_peers(&mut self) {
        let members = Arc::clone(&self.members.borrow_and_update());
        let gone: Vec<LaneId> = self
            .peers
            .iter()
            .filter(|(_, peer)| !members.contains_key(&peer.name))
            .map(|(lane, _)| *lane)
            .collect();
        for lane in gone {
            self.merge.close(lane);
            if let Some(peer) = self.peers.remove(&lane) {
                peer.reader.abort();
                self.changes.push((NodeState::NodeGone, peer.name));
            }
        }
        while self.readers.try_join_next().is_some() {}
        let known: BTreeSet<_> = self
            .peers
            .values()
            .map(|peer| Arc::clone(&peer.name))
            .collect();
        for (_, member) in members.iter().filter(|(name, _)| !known.contains(*name)) {
            self.join(member, false);
        }
    }

    /// The end of the stream for a client that wants to know what it covers.
    fn tell_coverage(&mut self) -> Option<Status> {
        let is_first = !std::mem::replace(&mut self.has_told_coverage, true);
        if !self.call.tells_status() && is_first && !self.has_answer {
            let reason = self.peers.values().find_map(|peer| peer.told.as_deref());
            let reason = reason.unwrap_or("none is available");
            return Some(Status::unavailable(format!("no node answers: {reason}")));
        }
        let tells = is_first && self.call.asks_for_coverage();
        tells.then(|| coverage::end(&self.coverage()))
    }

    fn with_coverage(&self, status: Status) -> Status {
        if self.call.asks_for_coverage() {
            coverage::append(status, &self.coverage())
        } else {
            status
        }
    }

    /// What all peers cover, each by its own words.
    fn coverage(&self) -> CoverageReport {
        let late: BTreeMap<_, _> = self
            .peers
            .values()
            .map(|peer| (&peer.name, peer.late))
            .collect();
        let nodes = self.covered.iter().flat_map(|(peer, told)| {
            let late = late.get(peer).copied().unwrap_or_default();
            if let [node] = &*told.nodes {
                return vec![Coverage {
                    late: node.late + late,
                    ..node.clone()
                }];
            }
            if told.unlisted_nodes == 0 && late == 0 {
                return told.nodes.clone();
            }
            // A peer that is a relay, of so many that it lists them only in part, or of which nobody
            // knows whose flows were late.
            let total = told.total.clone().map(|total| Coverage {
                node_name: peer.to_string(),
                late: total.late + late,
                ..total
            });
            total.into_iter().collect()
        });
        let deeper: u32 = self.covered.values().map(|told| told.silent_nodes).sum();
        let silent = self.asked.len().saturating_sub(self.covered.len());
        coverage::report(nodes, deeper + u32::try_from(silent).unwrap_or(u32::MAX))
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

    /// The last words: errors that were still waiting for equal ones.
    fn finish(&mut self) {
        let notices = self.errors.drain();
        self.is_over = notices.is_empty();
        self.tell(notices);
    }
}

#[cfg(test)]
mod tests;
