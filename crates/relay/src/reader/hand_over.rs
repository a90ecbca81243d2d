//! From a peer's messages to the merge: what is none is left out and told, what came before a break is
//! left out, names are made full, and the rest goes on as soon as there is room for it.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{Event, Reader, Report};
use crate::wire::{Time, scan};

impl Reader {
    /// Hands messages to the merge, when there is room for them. `false` when nobody listens any more.
    pub(super) async fn hand_over(&mut self, messages: &mut Vec<Bytes>) -> bool {
        let mut events = Vec::with_capacity(messages.len());
        let mut total = 0;
        let mut reached = self.reached;
        let mut told = Vec::new();
        let mut malformed = None;
        let mut malformed_count = 0;
        let mut passed = None;
        for bytes in messages.drain(..) {
            match scan(&bytes) {
                // Only what was asked for: to any other call it is a message like others.
                Ok(envelope) if envelope.is_bare && self.call.request.follow => {
                    passed = passed.max(envelope.time);
                }
                Ok(envelope) => {
                    let (is_flow, mut time) = (envelope.is_flow, envelope.time);
                    if is_flow {
                        if self.again.as_mut().is_some_and(|again| again.is_one(time)) {
                            continue;
                        }
                        match time {
                            Some(time) => reached.flow(time),
                            None => reached.timeless_flow(Time::now()),
                        }
                    } else {
                        let key = self.told.key(&bytes);
                        if self.told.is_again(key) {
                            continue;
                        }
                        told.push(key);
                        // A gap or a status has the time at which it was told, and flows that are
                        // older may follow it: its place is where it came.
                        time = reached.newest();
                    }
                    let completed = self.names.completed(&bytes, &envelope);
                    let bytes = completed.unwrap_or(bytes);
                    total += bytes.len();
                    let event = Event {
                        bytes,
                        is_flow,
                        credit: None,
                    };
                    events.push((time.unwrap_or(Time::UNKNOWN), event));
                }
                Err(reason) => {
                    malformed_count += 1;
                    malformed = Some(reason);
                }
            }
        }
        // A piece of very many tiny messages is no reason to keep room for as many.
        messages.shrink_to(USUAL_MESSAGES);
        if let Some(reason) = malformed
            && !self.skipped(malformed_count, reason).await
        {
            return false;
        }
        if !events.is_empty() {
            if !self.hand_over_events(events, total).await {
                return false;
            }
            self.reached = reached;
            self.told.note(told);
        }
        match passed {
            Some(passed) => self.report(Report::Passed(passed)).await,
            None => true,
        }
    }

    async fn hand_over_events(&mut self, mut events: Vec<(Time, Event)>, bytes: usize) -> bool {
        let held = bytes + events.len() * HELD_EVENT_BYTES;
        let Ok(paid) = self.credit.take(bytes, held).await else {
            return false;
        };
        if paid.is_shared {
            move_out(&mut events, bytes);
        }
        if let Some((_, last)) = events.last_mut() {
            last.credit = Some(paid.permit);
        }
        self.report(Report::Events(events)).await
    }

    /// Counts messages that cannot be passed on, and tells of them.
    pub(super) async fn skipped(&self, count: u64, reason: impl fmt::Display) -> bool {
        self.member.count_malformed(count);
        let trouble = format!("skipped a malformed response: {reason}");
        self.report(Report::Trouble(trouble)).await
    }
}

/// What it takes to hold one event beside its bytes: the merge's queue has room for up to twice as many as
/// are in it.
const HELD_EVENT_BYTES: usize = 2 * size_of::<(Time, Event)>();

/// Moves messages that may be held for long into memory of their own. They are views into the pieces of a
/// connection, which hold other calls' messages, too, and would keep several times of what they have.
fn move_out(events: &mut [(Time, Event)], bytes: usize) {
    let mut memory = BytesMut::with_capacity(bytes);
    for (_, event) in &*events {
        memory.extend_from_slice(&event.bytes);
    }
    let mut memory = memory.freeze();
    for (_, event) in events {
        event.bytes = memory.split_to(event.bytes.len());
    }
}

/// Messages for which there is room without asking for memory each time: those of a frame of flows.
const USUAL_MESSAGES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_out_is_the_same_and_keeps_nothing_else() {
        let piece = Bytes::from_static(b"one, and of another call, two").to_vec();
        let piece = Bytes::from(piece);
        let views = [piece.slice(..3), piece.slice(3..3), piece.slice(26..)];
        let mut events = Vec::from(views.map(|bytes| {
            let event = Event {
                bytes,
                is_flow: true,
                credit: None,
            };
            (Time::UNKNOWN, event)
        }));
        move_out(&mut events, 6);
        let bytes: Vec<&[u8]> = events.iter().map(|(_, event)| &*event.bytes).collect();
        assert_eq!(bytes, [&b"one"[..], b"", b"two"]);
        assert!(piece.is_unique(), "nobody looks at it any more");
    }
}
