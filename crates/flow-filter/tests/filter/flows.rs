//! Flows and filters in few words, for the tests.

use flow_api::flow::{
    self, CiliumEventType, Dns, Endpoint, EventTypeFilter, Flow, FlowFilter, Http, Ip, Layer4,
    Layer7, layer4, layer7,
};
use flow_api::observer::GetFlowsResponse;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_filter::Filter;

/// Whether one allow filter matches the flow. The flow alone and the flow in a response must agree.
pub(crate) fn matches(filter: &FlowFilter, flow: &Flow) -> bool {
    let filter = Filter::compile(std::slice::from_ref(filter), &[]).unwrap();
    let matched = filter.matches(flow);
    assert_eq!(
        filter.matches(&response(flow.clone())),
        matched,
        "in a response"
    );
    matched
}

pub(crate) fn response(flow: Flow) -> GetFlowsResponse {
    GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(flow)),
        ..GetFlowsResponse::default()
    }
}

/// One filter with one change.
pub(crate) fn filter(change: impl FnOnce(&mut FlowFilter)) -> FlowFilter {
    let mut filter = FlowFilter::default();
    change(&mut filter);
    filter
}

/// One flow with one change.
pub(crate) fn flow(change: impl FnOnce(&mut Flow)) -> Flow {
    let mut flow = Flow::default();
    change(&mut flow);
    flow
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn event_type(r#type: i32) -> EventTypeFilter {
    EventTypeFilter {
        r#type,
        ..EventTypeFilter::default()
    }
}

pub(crate) fn of_type(r#type: i32, sub_type: i32) -> Flow {
    flow(|flow| flow.event_type = Some(CiliumEventType { r#type, sub_type }))
}

pub(crate) fn with_ip(ip: Ip) -> Flow {
    flow(|flow| flow.ip = Some(ip))
}

pub(crate) fn with_l4(protocol: layer4::Protocol) -> Flow {
    flow(|flow| {
        flow.l4 = Some(Layer4 {
            protocol: Some(protocol),
        })
    })
}

pub(crate) fn tcp(source_port: u32, destination_port: u32) -> layer4::Protocol {
    layer4::Protocol::Tcp(flow::Tcp {
        source_port,
        destination_port,
        flags: None,
    })
}

pub(crate) fn with_l7(record: layer7::Record) -> Flow {
    flow(|flow| {
        flow.l7 = Some(Layer7 {
            record: Some(record),
            ..Layer7::default()
        })
    })
}

pub(crate) fn with_http(http: Http) -> Flow {
    with_l7(layer7::Record::Http(http))
}

pub(crate) fn dns_query(query: &str) -> Flow {
    with_l7(layer7::Record::Dns(Dns {
        query: query.to_owned(),
        ..Dns::default()
    }))
}

pub(crate) fn from_endpoint(endpoint: Endpoint) -> Flow {
    flow(|flow| flow.source = Some(endpoint))
}

pub(crate) fn to_endpoint(endpoint: Endpoint) -> Flow {
    flow(|flow| flow.destination = Some(endpoint))
}
