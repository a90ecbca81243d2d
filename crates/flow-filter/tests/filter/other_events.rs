//! Events that are not flows.

use flow_api::flow::{
    EventTypeFilter, FlowFilter, LostEvent, TrafficDirection, Verdict, flow_filter::Experimental,
};
use flow_api::observer::GetFlowsResponse;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_filter::{EventKind, Filter, FlowView, NoEndpoint};

use crate::flows::{event_type, filter, strings};

/// An event of which only the kind is known.
struct Event(EventKind);

impl FlowView for Event {
    type Endpoint<'a> = NoEndpoint;

    fn kind(&self) -> EventKind {
        self.0
    }
}

const AGENT: EventKind = EventKind::Agent { sub_type: 3 };
const DEBUG: EventKind = EventKind::Debug { sub_type: 7 };

fn allowed(filter: FlowFilter, kind: EventKind) -> bool {
    Filter::compile(&[filter], &[])
        .unwrap()
        .matches(&Event(kind))
}

#[test]
fn nearly_every_field_rejects_them() {
    type Change = fn(&mut FlowFilter);
    let changes: [Change; 13] = [
        |filter| filter.uuid = strings(&[""]),
        |filter| filter.verdict = vec![Verdict::Unknown.into()],
        |filter| filter.drop_reason_desc = vec![0],
        |filter| filter.reply = vec![true, false],
        |filter| filter.source_identity = vec![0],
        |filter| filter.protocol = strings(&["tcp", "http"]),
        |filter| filter.source_ip = strings(&["0.0.0.0/0"]),
        |filter| filter.source_pod = strings(&["/"]),
        |filter| filter.ip_version = vec![0],
        |filter| filter.traffic_direction = vec![TrafficDirection::Unknown.into()],
        |filter| filter.node_name = strings(&["/"]),
        |filter| filter.dns_query = strings(&[""]),
        |filter| filter.source_label = strings(&["app"]),
    ];
    for change in changes {
        for kind in [AGENT, DEBUG, EventKind::Lost, EventKind::Other] {
            assert!(!allowed(filter(change), kind), "{:?}", filter(change));
        }
    }
}

#[test]
fn fields_that_ask_for_nothing_take_them() {
    type Change = fn(&mut FlowFilter);
    let changes: [Change; 7] = [
        |_| {},
        |filter| filter.trace_id = strings(&["x", ""]),
        |filter| filter.ip_trace_id = vec![0],
        |filter| filter.encrypted = vec![false],
        |filter| filter.source_label = strings(&["!app"]),
        |filter| filter.destination_label = strings(&["app!=web"]),
        |filter| filter.node_labels = strings(&[""]),
    ];
    for change in changes {
        for kind in [AGENT, DEBUG, EventKind::Lost, EventKind::Other] {
            assert!(allowed(filter(change), kind), "{:?}", filter(change));
        }
    }
    assert!(!allowed(
        filter(|filter| filter.encrypted = vec![true]),
        AGENT
    ));
    assert!(!allowed(
        filter(|filter| filter.ip_trace_id = vec![1]),
        AGENT
    ));
}

#[test]
fn event_types_know_agent_and_debug_events_and_let_lost_events_pass() {
    for (r#type, sub_type, kind, expected) in [
        (130, None, AGENT, true),
        (130, Some(3), AGENT, true),
        (130, Some(4), AGENT, false),
        (4, None, AGENT, false),
        (0, None, AGENT, true),
        (2, Some(7), DEBUG, true),
        (2, Some(8), DEBUG, false),
        (4, Some(1), EventKind::Lost, true),
        (0, None, EventKind::Other, false),
    ] {
        let entry = EventTypeFilter {
            match_sub_type: sub_type.is_some(),
            sub_type: sub_type.unwrap_or_default(),
            ..event_type(r#type)
        };
        let matched = allowed(filter(|filter| filter.event_type = vec![entry]), kind);
        assert_eq!(matched, expected, "{type} {sub_type:?} {kind:?}");
    }
}

#[test]
fn every_field_must_take_them() {
    let lost_drop = filter(|filter| {
        filter.event_type = vec![event_type(1)];
        filter.verdict = vec![Verdict::Dropped.into()];
    });
    assert!(!allowed(lost_drop, EventKind::Lost));
}

#[test]
fn a_response_without_a_flow_is_an_event_without_a_type() {
    let lost = GetFlowsResponse {
        response_types: Some(ResponseTypes::LostEvents(LostEvent::default())),
        ..GetFlowsResponse::default()
    };
    let any_type = filter(|filter| filter.event_type = vec![event_type(0)]);
    let filter_any = Filter::compile(&[any_type], &[]).unwrap();
    for response in [lost, GetFlowsResponse::default()] {
        assert_eq!(FlowView::kind(&response), EventKind::Other);
        assert!(!filter_any.matches(&response));
        assert!(Filter::default().matches(&response));
    }
}

#[test]
fn an_expression_reads_them_as_a_flow_that_has_nothing() {
    for (expression, expected) in [
        ("_flow.verdict == Verdict.VERDICT_UNKNOWN", true),
        ("_flow.verdict == Verdict.DROPPED", false),
        ("_flow == flow.Flow{}", false),
    ] {
        for kind in [AGENT, DEBUG, EventKind::Lost, EventKind::Other] {
            let filter = filter(|filter| {
                filter.experimental = Some(Experimental {
                    cel_expression: strings(&[expression]),
                });
            });
            assert_eq!(allowed(filter, kind), expected, "{expression}");
        }
    }
}
