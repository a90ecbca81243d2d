//! What the client of one call is told beside flows: states of nodes, errors, how far the call is.

use std::sync::Arc;

use bytes::Bytes;
use flow_api::progress;
use prost::Message as _;
use tokio::time::Instant;

use super::Flows;
use crate::reader::Event;
use crate::status::Notice;
use crate::wire::Time;

impl Flows {
    /// An error of a node, told together with equal ones.
    pub(super) fn add_error(&mut self, node: Arc<str>, message: String) {
        // What happened before is told before.
        self.tell_changes();
        let notices = self.errors.add(node, message, Time::now(), Instant::now());
        self.tell(notices);
    }

    /// Hands status events out: at once to whoever follows, in the order of time otherwise.
    pub(super) fn tell(&mut self, notices: Vec<Notice>) {
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
    pub(super) fn tell_progress(&mut self, now: Instant) -> Option<Bytes> {
        let interval = self.call.tells_progress?;
        let (due, told) = self.progress.as_mut().filter(|(due, _)| *due <= now)?;
        *due = now + interval;
        let passed = self.merge.all_passed().filter(|passed| passed > told)?;
        *told = passed;
        let message = progress::message(&self.settings.relay_name, passed.into());
        Some(message.encode_to_vec().into())
    }

    /// One event for neighbours in the list that have the same state.
    pub(super) fn tell_changes(&mut self) {
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

    /// The last words: errors that were still waiting for equal ones.
    pub(super) fn finish(&mut self) {
        let notices = self.errors.drain();
        self.is_over = notices.is_empty();
        self.tell(notices);
    }
}
