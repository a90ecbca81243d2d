//! The peers of one call: whom it reads, and what their readers have to say.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow_api::relay::NodeState;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Flows;
use crate::defaults::UNTIL_GRACE;
use crate::merge::{Arrived, LaneId};
use crate::pool::Member;
use crate::reader::{Event, Reader, Report};
use crate::wire::Time;

/// One peer as this call sees it.
pub(super) struct PeerState {
    pub(super) name: Arc<str>,
    pub(super) reader: AbortHandle,
    /// What the client was told last: connected or not.
    pub(super) is_up: bool,
    /// The last error that was told since.
    pub(super) told: Option<String>,
    /// The reader has said its last word.
    pub(super) has_ended: bool,
    /// Flows that came when the stream was further already.
    pub(super) late: u64,
}

impl Flows {
    /// Starts to read a peer: as the client asked, or as one that joins later.
    pub(super) fn join(&mut self, member: &Arc<Member>, is_up: bool) {
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

    /// Brings the readers in step with the pool.
    pub(super) fn update_peers(&mut self) {
        let members = Arc::clone(&self.members.borrow_and_update());
        let gone: Vec<LaneId> = self
            .peers
            .iter()
            .filter(|(_, peer)| !members.contains_key(&peer.name))
            .map(|(lane, _)| *lane)
            .collect();
        for lane in gone {
            self.merge.remove(lane);
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

    /// What a reader has to say.
    pub(super) fn take(&mut self, lane: LaneId, report: Report) {
        if let Report::Events(events) = report {
            return self.take_events(lane, events);
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
            Report::Trouble(message) => {
                let name = Arc::clone(&peer.name);
                self.add_error(name, message);
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

    fn take_events(&mut self, lane: LaneId, events: Vec<(Time, Event)>) {
        let now = Instant::now();
        let arrived = self.call.request.follow.then(|| Arrived {
            at: now,
            newest_credible: Time::now().later(self.settings.max_hold / 2),
        });
        if let Some(give_up) = &mut self.give_up {
            // Somebody is still sending what happened before.
            *give_up = (*give_up).max(now + UNTIL_GRACE);
        }
        if let Some(reached) = self.merge.reached() {
            let is_late = |(time, event): &&(Time, Event)| event.is_flow && *time < reached;
            let late = events.iter().filter(is_late).count() as u64;
            if late > 0
                && let Some(peer) = self.peers.get_mut(&lane)
            {
                peer.late += late;
            }
        }
        self.open.came(events.len());
        self.merge.push(lane, events, arrived);
    }
}
