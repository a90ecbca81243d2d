//! How fields and messages read.

use std::cell::Cell;

use flow_api::flow::{Flow, Workload};
use prost::Message as _;

use super::{assert_all_hold, assert_failures, compile, flow, value};
use crate::cel::evaluate::{MOST_STEPS_OF_FLOW, evaluate};

#[test]
fn fields_are_read() {
    assert_all_hold(&[
        "_flow.verdict == 2",
        "_flow.source.namespace == 'shop'",
        "_flow.source.identity in [1u, 7u]",
        "_flow.source.labels[1] == 'k8s:tier=front'",
        "_flow.source.workloads[0].kind == 'Deployment'",
        "_flow.l4.TCP.destination_port > 80u && _flow.l4.TCP.flags.SYN",
        "_flow.time == timestamp('2023-11-14T22:13:20.25Z')",
        "_flow.is_reply == false",
        "!_flow.is_reply",
    ]);
}

#[test]
fn what_is_absent_reads_as_its_default() {
    assert_all_hold(&[
        "_flow.destination.namespace == '' && _flow.destination.identity == 0u",
        "_flow.l7.dns.query == '' && size(_flow.l7.dns.ips) == 0",
        "_flow.l4.UDP.source_port == 0u",
        "_flow.destination == flow.Endpoint{}",
        "_flow.destination != null && _flow.extensions == null",
        "_flow.ip_trace_id.trace_id == 0u",
    ]);
    let nothing = Flow::default();
    for expression in [
        "_flow == flow.Flow{}",
        "_flow.is_reply == null",
        "_flow.time == timestamp(0)",
        "_flow.source.labels == []",
    ] {
        assert_eq!(value(expression, &nothing), Ok(true), "{expression}");
    }
}

#[test]
fn presence_is_that_of_the_contract() {
    assert_all_hold(&[
        "has(_flow.source) && !has(_flow.destination)",
        "has(_flow.is_reply)",
        "has(_flow.verdict) && !has(_flow.uuid)",
        "has(_flow.l4.TCP) && !has(_flow.l4.UDP)",
        "!has(_flow.l7.http) && !has(_flow.l7.http.code)",
        "has(_flow.source.labels) && !has(_flow.destination.labels)",
        "has({'a': 1}.a) && !has({'a': 1}.b)",
        "has(dyn(_flow).source)",
    ]);
}

#[test]
fn messages_can_be_written_out() {
    assert_all_hold(&[
        "_flow.source.workloads[0] == Workload{name: 'web', kind: 'Deployment'}",
        "Flow{source: Endpoint{labels: ['a']}, is_reply: true}.source.labels == ['a']",
        "Flow{is_reply: true}.is_reply && Flow{is_reply: null}.is_reply == null",
        "Flow{time: timestamp(7)}.time == timestamp(7)",
        "Flow{source: _flow.source}.source.pod_name == 'web-1'",
        "google.protobuf.BoolValue{value: true} == true",
        "Flow{verdict: Verdict.AUDIT} != Flow{}",
    ]);
    assert_failures(&[
        ("Flow{verdict: 2147483648} == _flow", "integer overflow"),
        (
            "Endpoint{identity: 4294967296u} == _flow.source",
            "unsigned integer overflow",
        ),
    ]);
}

#[test]
fn an_any_is_what_it_holds() {
    let contained = Workload {
        name: "inside".to_owned(),
        ..Workload::default()
    };
    let mut flow = flow();
    let mut any = prost_types::Any {
        type_url: "type.googleapis.com/flow.Workload".to_owned(),
        value: contained.encode_to_vec(),
    };
    flow.extensions = Some(any.clone());
    assert_eq!(value("_flow.extensions.name == 'inside'", &flow), Ok(true));
    any.type_url = "nope".to_owned();
    flow.extensions = Some(any);
    let error = value("_flow.extensions.name == 'inside'", &flow).unwrap_err();
    assert_eq!(error.to_string(), "unknown message type 'nope'");
}

#[test]
fn an_event_that_is_no_flow_reads_as_an_empty_one_and_is_none() {
    for (expression, expected) in [
        ("true", true),
        ("_flow.verdict == 0", true),
        ("_flow.source.namespace == ''", true),
        ("_flow == flow.Flow{}", false),
        ("has(_flow.source)", false),
    ] {
        let compiled = compile(expression).unwrap();
        let value = evaluate(
            &compiled.program,
            &compiled.flow,
            None,
            &Cell::new(MOST_STEPS_OF_FLOW),
        );
        assert_eq!(value, Ok(expected), "{expression}");
    }
}
