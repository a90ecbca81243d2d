//! The `event_type` field: monitor event types and their sub-types.

use flow_api::flow::EventTypeFilter;

use crate::view::{EventKind, EventType};

/// Debug messages (`monitor/api` message type numbers of Cilium 1.19).
const DEBUG: i32 = 2;
/// Records of the L7 proxy.
const L7: i32 = 129;
/// Notifications of the agent.
const AGENT: i32 = 130;

/// Whether an event is of the type that an entry asks for. Type 0 asks for any type.
pub(crate) fn matches(entry: &EventTypeFilter, event: EventType) -> bool {
    (entry.r#type == 0 || entry.r#type == event.message)
        && (!entry.match_sub_type || entry.sub_type == event.sub_type)
}

/// The same for events that are not flows. A lost event passes, whatever was asked for, so that a
/// gap is never hidden.
pub(crate) fn matches_other(entry: &EventTypeFilter, kind: EventKind) -> bool {
    match kind {
        EventKind::Agent { sub_type } => matches(
            entry,
            EventType {
                message: AGENT,
                sub_type,
            },
        ),
        EventKind::Debug { sub_type } => matches(
            entry,
            EventType {
                message: DEBUG,
                sub_type,
            },
        ),
        EventKind::Lost => true,
        EventKind::Flow | EventKind::Other => false,
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
            let matched = matches(&entry(r#type, sub_type), drop_133);
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
                matches_other(&entry(r#type, sub_type), kind),
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
