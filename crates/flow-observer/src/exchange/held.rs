//! Requests that came in from outside, held back for a moment: a port of the node may be that of
//! an endpoint behind it, and then the request is told at the endpoint's device.
//!
//! The next place follows within microseconds. So what was not claimed by the end of the next
//! batch was for the node itself.

use std::collections::VecDeque;

use super::{Mark, waiting::Conversation};
use crate::ring::{Event, MAX_BATCH};

/// How many are held at most: as many as a batch has events.
const MAX_HELD: usize = MAX_BATCH;

/// Requests that are held back, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    requests: VecDeque<HeldRequest>,
}

#[derive(Debug)]
struct HeldRequest {
    mark: Mark,
    conversation: Conversation,
    sequence: u32,
    event: Event,
    /// It came in the batch before this one, or earlier.
    is_due: bool,
}

impl Held {
    /// Holds a request, and returns one that must go for it.
    pub(super) fn hold(
        &mut self,
        mark: Mark,
        conversation: Conversation,
        sequence: u32,
        event: Event,
    ) -> Option<Event> {
        let overdue = if self.requests.len() < MAX_HELD {
            None
        } else {
            self.requests.pop_front()
        };
        self.requests.push_back(HeldRequest {
            mark,
            conversation,
            sequence,
            event,
            is_due: false,
        });
        overdue.map(|it| it.event)
    }

    /// Drops the request with this mark, if it is held: where it was to be answered, and its place
    /// there.
    pub(super) fn take(&mut self, mark: Mark) -> Option<(Conversation, u32)> {
        let at = self.requests.iter().position(|it| it.mark == mark)?;
        let taken = self.requests.remove(at)?;
        Some((taken.conversation, taken.sequence))
    }

    /// Lets the requests of a conversation go, since one was answered.
    pub(super) fn release(&mut self, conversation: &Conversation) -> Vec<Event> {
        let mut released = Vec::new();
        while let Some(at) = self
            .requests
            .iter()
            .position(|it| it.conversation == *conversation)
        {
            released.extend(self.requests.remove(at).map(|it| it.event));
        }
        released
    }

    /// Lets those go that were held for a batch, or all.
    pub(super) fn settle(&mut self, all: bool, events: &mut Vec<Event>) {
        while let Some(first) = self.requests.front()
            && (all || first.is_due)
        {
            events.extend(self.requests.pop_front().map(|it| it.event));
        }
        for request in &mut self.requests {
            request.is_due = true;
        }
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.requests.len() <= MAX_HELD
    }
}
