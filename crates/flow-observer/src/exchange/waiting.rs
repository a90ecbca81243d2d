//! Requests that wait for their response.
//!
//! DNS messages carry a number that joins question and answer. HTTP/1 has none: the responses of a
//! connection come in the order of its requests. So that one response that was not seen does not
//! shift all that follow, TCP's numbers are looked at, too.

use std::{collections::VecDeque, net::SocketAddr};

use flow_api::flow::TrafficDirection;

use super::{Position, sighting::Sighting};
use crate::recent::Recent;

/// Connections and questions with something unanswered, at least; up to twice as many. Hubble
/// remembers 10,000 requests. One takes some 300 bytes as a rule; the two bounds below keep the worst
/// that a sender can do to some 60 MB, which takes 80,000 long requests that nobody answers.
const REMEMBERED: usize = 5_000;
/// Unanswered requests of one connection. Clients that pipeline send few at a time.
const MAX_PIPELINED: usize = 8;
/// Bytes that are kept of a URL for the response; longer ones end in `…`.
const MAX_URL_BYTES: usize = 512;

/// Messages that answer each other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Conversation {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// Stands for the question and its number; `None` for all of an HTTP connection.
    pub(super) question: Option<u64>,
}

/// A request, as far as its response needs it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) time_ns: i64,
    pub(super) position: Position,
    pub(super) direction: TrafficDirection,
    /// It was told at another place of the node, and the response will be.
    pub(super) is_silent: bool,
    /// Method and URL of HTTP, as they are shown; empty for DNS.
    pub(super) method: Box<str>,
    pub(super) url: Box<str>,
    pub(super) trace_id: Option<Box<str>>,
}

impl Asked {
    /// How long ago it was, in nanoseconds; 0 where a clock was set back.
    pub(super) fn latency_ns(&self, response: &Sighting) -> u64 {
        u64::try_from(response.time_ns.saturating_sub(self.time_ns)).unwrap_or(0)
    }
}

/// Requests that wait for their response.
#[derive(Debug)]
pub(super) struct Waiting {
    conversations: Recent<Conversation, Queue>,
}

#[derive(Debug)]
struct Queue {
    requests: VecDeque<Asked>,
    /// Where the last response began.
    answered_at: Option<u32>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            conversations: Recent::with_generation(REMEMBERED),
        }
    }
}

impl Waiting {
    /// Remembers a request; tells how many others were forgotten for it.
    pub(super) fn push(&mut self, conversation: Conversation, asked: Asked) -> usize {
        let Some(queue) = self.conversations.get_mut(&conversation) else {
            let queue = Queue {
                requests: [asked].into(),
                answered_at: None,
            };
            return self.conversations.insert(conversation, queue);
        };
        // A question that is asked again, or another connection between the same ports.
        if queue
            .requests
            .back()
            .is_some_and(|last| !is_after(asked.position.sequence, last.position.sequence))
        {
            queue.requests.clear();
            queue.answered_at = None;
        }
        queue.requests.push_back(asked);
        if queue.requests.len() <= MAX_PIPELINED {
            return 0;
        }
        queue.requests.pop_front().map_or(0, |_| 1)
    }

    /// Forgets the request that begins there.
    pub(super) fn forget(&mut self, conversation: &Conversation, sequence: u32) {
        if let Some(queue) = self.conversations.get_mut(conversation) {
            queue
                .requests
                .retain(|asked| asked.position.sequence != sequence);
            if queue.requests.is_empty() {
                self.conversations.remove(conversation);
            }
        }
    }

    /// The question that is answered.
    pub(super) fn take(&mut self, conversation: &Conversation) -> Option<Asked> {
        self.conversations.remove(conversation)?.requests.pop_back()
    }

    /// The request that a response at this place answers. An interim response leaves it for the
    /// final one.
    pub(super) fn answer(
        &mut self,
        conversation: &Conversation,
        position: Position,
        is_interim: bool,
    ) -> Option<Asked> {
        let queue = self.conversations.get_mut(conversation)?;
        queue.skip_answered(position);
        let first = queue.requests.front()?;
        // The server has not received what it would answer.
        if !is_after(position.acknowledgment, first.position.sequence) {
            return None;
        }
        if is_interim {
            return Some(first.clone());
        }
        let answered = queue.requests.pop_front();
        queue.answered_at = Some(position.sequence);
        if queue.requests.is_empty() {
            self.conversations.remove(conversation);
        }
        answered
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.conversations.len()
    }

    #[cfg(test)]
    pub(super) fn is_bounded(&self) -> bool {
        self.conversations.len() <= 2 * REMEMBERED
    }
}

impl Queue {
    /// Lets requests go whose response was not seen. The client had received more when it sent the
    /// next request: the response, unless it was one to an earlier request.
    fn skip_answered(&mut self, response: Position) {
        while let (Some(first), Some(next)) = (self.requests.front(), self.requests.get(1)) {
            let (before, after) = (first.position.acknowledgment, next.position.acknowledgment);
            let has_received = is_after(after, before) && !is_after(after, response.sequence);
            let is_explained = self.answered_at.is_some_and(|at| !is_after(before, at));
            if !has_received || is_explained {
                return;
            }
            self.requests.pop_front();
        }
    }
}

/// What is kept of a URL.
pub(super) fn kept_url(url: &str) -> Box<str> {
    if url.len() <= MAX_URL_BYTES {
        return url.into();
    }
    let end = url.floor_char_boundary(MAX_URL_BYTES);
    format!("{}…", &url[..end]).into()
}

/// Whether one place of a stream lies behind another. Numbers start again at 0 after 4 GB.
fn is_after(this: u32, other: u32) -> bool {
    this.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(port: u16) -> Conversation {
        Conversation {
            client: ([10, 0, 0, 1], port).into(),
            server: ([10, 0, 0, 2], 80).into(),
            question: None,
        }
    }

    fn at(sequence: u32, acknowledgment: u32) -> Position {
        Position {
            sequence,
            acknowledgment,
        }
    }

    fn asked(url: &str, position: Position) -> Asked {
        Asked {
            time_ns: 0,
            position,
            direction: TrafficDirection::Egress,
            is_silent: false,
            method: "GET".into(),
            url: url.into(),
            trace_id: None,
        }
    }

    /// Requests by their place, then which of them each response answers.
    fn check(requests: &[(&str, u32, u32)], responses: &[(u32, u32, Option<&str>)]) {
        let mut waiting = Waiting::default();
        for &(url, sequence, acknowledgment) in requests {
            waiting.push(conversation(1), asked(url, at(sequence, acknowledgment)));
        }
        for &(sequence, acknowledgment, expected) in responses {
            let position = at(sequence, acknowledgment);
            let answered = waiting.answer(&conversation(1), position, false);
            assert_eq!(
                answered.as_ref().map(|it| &*it.url),
                expected,
                "{requests:?}: response at {sequence}"
            );
        }
    }

    #[test]
    fn responses_come_in_the_order_of_requests() {
        check(
            &[("a", 10, 500), ("b", 20, 500)],
            &[(500, 30, Some("a")), (600, 30, Some("b")), (700, 30, None)],
        );
        // Numbers that start again.
        check(
            &[("a", u32::MAX - 5, u32::MAX), ("b", 5, 90)],
            &[(u32::MAX, 5, Some("a")), (90, 9, Some("b"))],
        );
    }

    #[test]
    fn a_response_that_was_not_seen_does_not_shift_the_others() {
        check(
            &[("a", 10, 500), ("b", 20, 600), ("c", 30, 700)],
            &[(600, 30, Some("b")), (700, 40, Some("c"))],
        );
    }

    #[test]
    fn a_request_sent_between_two_responses_does_not_answer_the_second() {
        let mut waiting = Waiting::default();
        waiting.push(conversation(1), asked("a", at(10, 500)));
        waiting.push(conversation(1), asked("b", at(20, 500)));
        let first = waiting.answer(&conversation(1), at(500, 30), false);
        assert_eq!(&*first.unwrap().url, "a");
        waiting.push(conversation(1), asked("c", at(30, 600)));
        let second = waiting.answer(&conversation(1), at(600, 30), false);
        assert_eq!(&*second.unwrap().url, "b");
    }

    #[test]
    fn nothing_answers_a_request_that_has_not_arrived() {
        check(&[("a", 10, 500)], &[(500, 10, None), (500, 11, Some("a"))]);
    }

    #[test]
    fn an_interim_response_leaves_the_request_for_the_final_one() {
        let mut waiting = Waiting::default();
        waiting.push(conversation(1), asked("a", at(10, 500)));
        for (is_interim, sequence) in [(true, 500), (true, 520), (false, 540)] {
            let answered = waiting.answer(&conversation(1), at(sequence, 30), is_interim);
            assert!(answered.is_some(), "{sequence}");
        }
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn another_connection_between_the_same_ports_starts_anew() {
        check(&[("a", 500, 1), ("b", 10, 500)], &[(500, 20, Some("b"))]);
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        let mut waiting = Waiting::default();
        let forgotten: usize = (1..=20)
            .map(|number| waiting.push(conversation(1), asked("a", at(number * 10, 500))))
            .sum();
        assert_eq!(forgotten, 20 - MAX_PIPELINED);
        let mut waiting = Waiting::default();
        let pushed = 3 * REMEMBERED;
        let forgotten: usize = (0..pushed as u16)
            .map(|port| waiting.push(conversation(port), asked("a", at(10, 500))))
            .sum();
        assert_eq!(forgotten + waiting.len(), pushed);
        assert!(waiting.is_bounded());
    }

    #[test]
    fn a_long_url_is_cut_between_characters() {
        assert_eq!(&*kept_url("http://a/"), "http://a/");
        let long = kept_url(&"é".repeat(1_000));
        assert!(long.ends_with("é…") && long.len() <= MAX_URL_BYTES + '…'.len_utf8());
    }
}
