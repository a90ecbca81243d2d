//! The `event_type` field: monitor event types and their sub-types.

use flow_api::flow::EventTypeFilter;

use crate::one_of::OneOf;
use crate::view::{EventKind, EventType};

/// Debug messages (`monitor/api` message type numbers of Cilium 1.19).
const DEBUG: i32 = 2;
/// Records of the L7 proxy.
const L7: i32 = 129;
/// Notifications of the agent.
const AGENT: i32 = 130;

/// The entries of a field, any of which may match. Type 0 asks for any type.
#[derive(Clone, Debug)]
pub(crate) struct EventTypes {
    /// Types whose sub-types do not matter.
    whole: OneOf<i32>,
    /// Types with a sub-type.
    parts: OneOf<(i32, i32)>,
}

impl EventTypes {
    pub(crate) fn contain(&self, event: EventType) -> bool {
        let EventType { message, sub_type } = event;
        self.whole.contains(&message)
            || self.whole.contains(&0)
            || self.parts.contains(&(message, sub_type))
            || self.parts.contains(&(0, sub_type))
    }

    /// The same for events that are not flows. A lost event passes, whatever was asked for, so that
    /// a gap is never hidden.
    pub(crate) fn contain_other(&self, kind: EventKind) -> bool {
        let (message, sub_type) = match kind {
            EventKind::Agent { sub_type } => (AGENT, sub_type),
            EventKind::Debug { sub_type } => (DEBUG, sub_type),
            EventKind::Lost => return true,
            EventKind::Flow | EventKind::Other => return false,
        };
        self.contain(EventType { message, sub_type })
    }
}

impl From<Vec<EventTypeFilter>> for EventTypes {
    fn from(entries: Vec<EventTypeFilter>) -> Self {
        let those = |in_part| {
            entries
                .iter()
                .filter(move |entry| entry.match_sub_type == in_part)
        };
        Self {
            whole: those(false).map(|entry| entry.r#type).collect(),
            parts: those(true)
                .map(|entry| (entry.r#type, entry.sub_type))
                .collect(),
        }
    }
}

/// Whether a filter with these event types may ask about HTTP: only records of the L7 proxy have
/// it, so one of the entries must name them.
pub(crate) fn allow_http(entries: &[EventTypeFilter]) -> bool {
    entries.is_empty() || entries.iter().any(|entry| entry.r#type == L7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(r#type: i32, sub_type: Option<i32>) -> EventTypeFilter {
        EventTypeFilter {
            r#type,
            match_sub_type: sub_type.is_some(),
            sub_type: sub_type.unwrap_or(77),
        }
    }

    #[test]
    fn type_0_is_any_type_and_the_sub_type_counts_only_on_request() {
        let drop_133 = EventType {
            message: 1,
            sub_type: 133,
        };
        for (r#type, sub_type, expected) in [
            (1, None, true),
            (4, None, false),
            (0, None, true),
            (1, Some(133), true),
            (1, Some(0), false),
            (0, Some(133), true),
            (0, Some(0), false),
        ] {
            let matched = EventTypes::from(vec![entry(r#type, sub_type)]).contain(drop_133);
            assert_eq!(matched, expected, "{type} {sub_type:?}");
        }
    }

    #[test]
    fn other_events_have_a_type_by_their_kind() {
        let agent = EventKind::Agent { sub_type: 3 };
        let debug = EventKind::Debug { sub_type: 3 };
        for (r#type, sub_type, kind, expected) in [
            (130, None, agent, true),
            (130, Some(3), agent, true),
            (130, Some(4), agent, false),
            (2, None, agent, false),
            (0, Some(3), agent, true),
            (2, Some(3), debug, true),
            (130, None, debug, false),
            (1, Some(9), EventKind::Lost, true),
            (0, None, EventKind::Other, false),
        ] {
            assert_eq!(
                EventTypes::from(vec![entry(r#type, sub_type)]).contain_other(kind),
                expected,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn http_needs_an_l7_entry_if_there_is_any() {
        assert!(allow_http(&[]));
        assert!(allow_http(&[entry(4, None), entry(129, None)]));
        assert!(!allow_http(&[entry(4, None)]));
        assert!(!allow_http(&[entry(0, None)]));
    }
}
