//! What the relay says about its nodes: status events in the stream, and the words for errors.

use std::collections::{BTreeSet, VecDeque};
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use flow_api::cause::root_cause;
use flow_api::code_name;
use flow_api::observer::GetFlowsResponse;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::relay::{NodeState, NodeStatusEvent};
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::defaults::{ERROR_MESSAGES, ERROR_WINDOW};
use crate::wire::Time;

/// A change of some nodes' state, to be told to the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Notice {
    /// When it happened.
    pub(crate) time: Time,
    /// The nodes' new state.
    pub(crate) state: NodeState,
    /// Which nodes.
    pub(crate) nodes: Vec<Arc<str>>,
    /// What went wrong; empty unless the state is an error.
    pub(crate) message: String,
}

impl Notice {
    /// Something that happened now and needs no message.
    pub(crate) fn now(state: NodeState, nodes: Vec<Arc<str>>) -> Self {
        Self {
            time: Time::now(),
            state,
            nodes,
            message: String::new(),
        }
    }

    /// The event as it goes to the client, in the relay's own name.
    pub(crate) fn encode(&self, relay_name: &str) -> Bytes {
        let event = NodeStatusEvent {
            state_change: self.state.into(),
            node_names: self.nodes.iter().map(|name| name.to_string()).collect(),
            message: self.message.clone(),
        };
        let response = GetFlowsResponse {
            response_types: Some(ResponseTypes::NodeStatus(event)),
            node_name: relay_name.to_owned(),
            time: Some(self.time.into()),
        };
        response.encode_to_vec().into()
    }
}

/// Merges equal errors of different nodes, so that a hundred nodes that fail alike are one event.
///
/// Hubble holds every error for ten seconds to see whether it comes again. Here `first_at_once`
/// sends the first one without delay and merges only what follows, because whoever follows a stream
/// wants to know now.
#[derive(Debug)]
pub(crate) struct ErrorMerge {
    first_at_once: bool,
    /// Oldest window first.
    groups: VecDeque<Group>,
}

#[derive(Debug)]
struct Group {
    message: String,
    /// When the window closes.
    due: Instant,
    /// Of the first error that is not sent yet.
    time: Time,
    /// Nodes that have not been told about yet.
    nodes: BTreeSet<Arc<str>>,
}

impl ErrorMerge {
    /// Without errors.
    pub(crate) fn new(first_at_once: bool) -> Self {
        Self {
            first_at_once,
            groups: VecDeque::new(),
        }
    }

    /// Takes an error of a node; returns what is to be told at once.
    pub(crate) fn add(
        &mut self,
        node: Arc<str>,
        message: String,
        time: Time,
        now: Instant,
    ) -> Vec<Notice> {
        if let Some(group) = self
            .groups
            .iter_mut()
            .find(|group| group.message == message)
        {
            if group.nodes.is_empty() {
                group.time = time;
            }
            group.nodes.insert(node);
            return Vec::new();
        }
        let mut notices = Vec::new();
        if self.groups.len() >= ERROR_MESSAGES {
            notices.extend(self.groups.pop_front().and_then(Group::into_notice));
        }
        let mut group = Group {
            message,
            due: now + ERROR_WINDOW,
            time,
            nodes: [node].into(),
        };
        if self.first_at_once {
            notices.extend(group.take());
        }
        self.groups.push_back(group);
        notices
    }

    /// What is to be told before a node can be told to be well again: its errors that still wait for
    /// equal ones. Told later, they would be the last word on it.
    pub(crate) fn of(&mut self, node: &str) -> Vec<Notice> {
        let of_node = |group: &&mut Group| group.nodes.contains(node);
        let groups = self.groups.iter_mut().filter(of_node);
        groups.filter_map(Group::take).collect()
    }

    /// What is to be told because its window has closed.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        while let Some(mut group) = self.groups.pop_front_if(|group| group.due <= now) {
            notices.extend(group.take());
        }
        notices
    }

    /// When to ask for [`ErrorMerge::due`] again.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.groups.front().map(|group| group.due)
    }

    /// All that has not been told yet.
    pub(crate) fn drain(&mut self) -> Vec<Notice> {
        self.groups
            .drain(..)
            .filter_map(Group::into_notice)
            .collect()
    }
}

impl Group {
    fn take(&mut self) -> Option<Notice> {
        let nodes = std::mem::take(&mut self.nodes);
        (!nodes.is_empty()).then(|| Notice {
            time: self.time,
            state: NodeState::NodeError,
            nodes: nodes.into_iter().collect(),
            message: self.message.clone(),
        })
    }

    fn into_notice(mut self) -> Option<Notice> {
        self.take()
    }
}

/// A peer's error as clients of Hubble know it: the bare message where a server gave no code of
/// its own, Go's rendering of a gRPC error otherwise.
pub(crate) fn error_text(status: &Status) -> String {
    let (code, message) = match status.source() {
        // Not the peer's words: the connection broke. tonic has several codes for that, gRPC one.
        Some(_) => (Code::Unavailable, plain_text(status)),
        None => (status.code(), status.message().to_owned()),
    };
    match code {
        Code::Unknown => message,
        code => format!("rpc error: code = {} desc = {message}", code_name(code)),
    }
}

/// The reason alone, for logs: the innermost one where the connection broke.
pub(crate) fn plain_text(status: &Status) -> String {
    match status.source() {
        Some(source) => root_cause(source),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(seconds: i64) -> Time {
        Time { seconds, nanos: 0 }
    }

    fn told(notices: impl IntoIterator<Item = Notice>) -> Vec<(i64, String, String)> {
        let show = |notice: Notice| (notice.time.seconds, notice.nodes.join(","), notice.message);
        notices.into_iter().map(show).collect()
    }

    #[test]
    fn equal_errors_within_the_window_become_one_with_the_first_time() {
        let start = Instant::now();
        let mut errors = ErrorMerge::new(false);
        assert_eq!(errors.add("b".into(), "broken".into(), time(1), start), []);
        assert_eq!(errors.add("x".into(), "other".into(), time(2), start), []);
        assert_eq!(errors.add("a".into(), "broken".into(), time(3), start), []);
        assert_eq!(
            told(errors.due(start + ERROR_WINDOW - Duration::from_millis(1))),
            []
        );
        let expected = [
            (1, "a,b".into(), "broken".to_owned()),
            (2, "x".to_owned(), "other".into()),
        ];
        assert_eq!(told(errors.due(start + ERROR_WINDOW)), expected);
        assert_eq!(told(errors.drain()), []);
    }

    #[test]
    fn where_somebody_waits_the_first_error_is_told_at_once_and_repeats_are_merged() {
        let start = Instant::now();
        let mut errors = ErrorMerge::new(true);
        let first = errors.add("a".into(), "broken".into(), time(1), start);
        assert_eq!(told(first), [(1, "a".into(), "broken".into())]);
        assert_eq!(errors.add("b".into(), "broken".into(), time(2), start), []);
        assert_eq!(errors.add("c".into(), "broken".into(), time(3), start), []);
        assert_eq!(errors.next_due(), Some(start + ERROR_WINDOW));
        assert_eq!(
            told(errors.due(start + ERROR_WINDOW)),
            [(2, "b,c".into(), "broken".into())]
        );
        assert_eq!(errors.next_due(), None);
    }

    #[test]
    fn what_waits_of_a_node_is_told_before_it_is_well_again() {
        let start = Instant::now();
        let mut errors = ErrorMerge::new(true);
        errors.add("a".into(), "broken".into(), time(1), start);
        assert_eq!(told(errors.of("a")), []);
        errors.add("a".into(), "broken".into(), time(2), start);
        errors.add("b".into(), "broken".into(), time(3), start);
        assert_eq!(told(errors.of("c")), []);
        assert_eq!(
            told(errors.of("a")),
            [(2, "a,b".into(), "broken".to_owned())]
        );
        assert_eq!(told(errors.drain()), []);
    }

    #[test]
    fn the_number_of_remembered_errors_is_bounded_and_none_is_lost() {
        let start = Instant::now();
        let mut errors = ErrorMerge::new(false);
        let mut all = Vec::new();
        for number in 0..ERROR_MESSAGES + 5 {
            all.extend(errors.add("a".into(), number.to_string(), time(0), start));
        }
        assert_eq!(all.len(), 5);
        all.extend(errors.drain());
        assert_eq!(all.len(), ERROR_MESSAGES + 5);
    }

    #[test]
    fn errors_read_as_hubble_prints_them() {
        assert_eq!(
            error_text(&Status::unknown("invalid fieldmask")),
            "invalid fieldmask"
        );
        let refused = Status::invalid_argument("first cannot be specified with follow");
        let expected =
            "rpc error: code = InvalidArgument desc = first cannot be specified with follow";
        assert_eq!(error_text(&refused), expected);
    }
}
