//! How far a stream has come, on each node.

use std::collections::HashMap;

use flow_api::observer::{
    GetAgentEventsResponse, GetDebugEventsResponse, GetFlowsResponse,
    get_flows_response::ResponseTypes,
};
use prost_types::Timestamp;

/// Nodes of which is known how far they have come; more than a cluster has. Of others, some flows may
/// be shown twice after a break.
const MAX_NODES: usize = 16_384;

/// How far a node may be behind the newest for its flows to be asked for again, in seconds. One that is
/// further behind is silent, and what it says next is newer than the break.
const MAX_LAG_SECONDS: i64 = 30;

/// What a response tells of a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// A flow, or another event.
    Event,
    /// That events were lost. Its time is that at which it was told: older flows may follow it.
    Gap,
}

/// A response that says when and where something was seen.
pub(crate) trait Placed: Send + 'static {
    /// The node and the time; `None` for what is no event, as the state of a node.
    fn place(&self) -> Option<(What, &str, &Timestamp)>;
}

impl Placed for GetFlowsResponse {
    fn place(&self) -> Option<(What, &str, &Timestamp)> {
        let what = match &self.response_types {
            Some(ResponseTypes::Flow(_)) => What::Event,
            Some(ResponseTypes::LostEvents(_)) => What::Gap,
            _ => return None,
        };
        Some((what, &self.node_name, self.time.as_ref()?))
    }
}

impl Placed for GetAgentEventsResponse {
    fn place(&self) -> Option<(What, &str, &Timestamp)> {
        Some((What::Event, &self.node_name, self.time.as_ref()?))
    }
}

impl Placed for GetDebugEventsResponse {
    fn place(&self) -> Option<(What, &str, &Timestamp)> {
        Some((What::Event, &self.node_name, self.time.as_ref()?))
    }
}

/// Seconds and nanoseconds.
type Moment = (i64, i32);

/// The latest time of each node, and what it was when the stream began.
#[derive(Debug, Default)]
pub(super) struct Marks {
    events: Latest,
    gaps: Latest,
}

#[derive(Debug, Default)]
struct Latest {
    now: HashMap<String, Moment>,
    /// What is not newer was there before. A node tells its events in the order of their times, but
    /// for a few: within a stream, each counts.
    before: HashMap<String, Moment>,
}

impl Marks {
    /// Whether a response was not there before this stream; it then counts as seen.
    pub(super) fn is_new(&mut self, response: &impl Placed) -> bool {
        let Some((what, node, time)) = response.place() else {
            return true;
        };
        let latest = match what {
            What::Event => &mut self.events,
            What::Gap => &mut self.gaps,
        };
        latest.is_new(node, (time.seconds, time.nanos))
    }

    /// The stream has ended, and another one begins. From when on to ask; `None` where nothing came
    /// yet.
    pub(super) fn begin_again(&mut self) -> Option<Timestamp> {
        self.gaps.begin_again();
        self.events.begin_again();
        let newest = self.events.now.values().max()?;
        let bound = (newest.0.saturating_sub(MAX_LAG_SECONDS), newest.1);
        let behind = self.events.now.values().filter(|it| **it >= bound);
        let (seconds, nanos) = *behind.min()?;
        Some(Timestamp { seconds, nanos })
    }
}

impl Latest {
    fn is_new(&mut self, node: &str, time: Moment) -> bool {
        if self.before.get(node).is_some_and(|before| time <= *before) {
            return false;
        }
        if let Some(now) = self.now.get_mut(node) {
            *now = time.max(*now);
        } else if self.now.len() < MAX_NODES {
            self.now.insert(node.to_owned(), time);
        }
        true
    }

    fn begin_again(&mut self) {
        self.before.clone_from(&self.now);
    }
}

#[cfg(test)]
mod tests {
    use flow_api::flow::{Flow, LostEvent};

    use super::*;

    fn flow(node: &str, seconds: i64) -> GetFlowsResponse {
        GetFlowsResponse {
            node_name: node.to_owned(),
            time: Some(Timestamp { seconds, nanos: 0 }),
            response_types: Some(ResponseTypes::Flow(Flow::default())),
        }
    }

    #[test]
    fn after_a_break_a_node_shows_what_is_newer_than_its_latest() {
        let mut marks = Marks::default();
        for (node, seconds) in [("a", 100), ("b", 95), ("a", 98), ("a", 101)] {
            assert!(marks.is_new(&flow(node, seconds)), "{node} {seconds}");
        }
        let since = marks.begin_again().unwrap();
        assert_eq!(since.seconds, 95);
        for (node, seconds, is_new) in [
            ("b", 95, false),
            ("b", 96, true),
            ("a", 101, false),
            ("a", 102, true),
            ("c", 90, true),
        ] {
            assert_eq!(
                marks.is_new(&flow(node, seconds)),
                is_new,
                "{node} {seconds}"
            );
        }
    }

    #[test]
    fn gaps_do_not_come_again_and_do_not_hide_flows_that_are_older() {
        let gap = |seconds| GetFlowsResponse {
            response_types: Some(ResponseTypes::LostEvents(LostEvent::default())),
            ..flow("a", seconds)
        };
        let mut marks = Marks::default();
        assert!(marks.is_new(&flow("a", 100)) && marks.is_new(&gap(110)));
        assert_eq!(marks.begin_again().map(|it| it.seconds), Some(100));
        assert!(!marks.is_new(&gap(110)) && marks.is_new(&gap(111)));
        assert!(!marks.is_new(&flow("a", 100)) && marks.is_new(&flow("a", 105)));
    }

    #[test]
    fn nodes_that_are_silent_for_long_do_not_pull_the_others_back() {
        let mut marks = Marks::default();
        assert_eq!(marks.begin_again(), None);
        marks.is_new(&flow("silent", 10));
        marks.is_new(&flow("a", 100));
        assert_eq!(marks.begin_again().map(|it| it.seconds), Some(100));
    }
}
