//! The JSON mapping: objects, lists, and texts that are neither.

use flow_api::{
    flow::{Flow, FlowFilter, Layer4, NetworkInterface, Tcp, TcpFlags, Verdict, layer4},
    json::{self, JsonError, ReadOptions},
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use flow_text::{canonical, read, refusal};
use prost::Message as _;
use prost_types::{Any, Timestamp};

mod flow_text;

#[test]
fn fields_stand_in_the_order_of_declaration_not_of_their_numbers() {
    let flow = Flow {
        time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        uuid: "u".to_owned(),
        verdict: Verdict::Forwarded.into(),
        node_name: "n".to_owned(),
        interface: Some(NetworkInterface {
            index: 2,
            name: "eth0".to_owned(),
        }),
        l4: Some(Layer4 {
            protocol: Some(layer4::Protocol::Tcp(Tcp {
                source_port: 1,
                destination_port: 2,
                flags: Some(TcpFlags {
                    syn: true,
                    ..TcpFlags::default()
                }),
            })),
        }),
        source_names: vec!["a".to_owned(), "b".to_owned()],
        is_reply: Some(false),
        ..Flow::default()
    };
    assert_eq!(
        json::to_string(&flow),
        r#"{"time":"2023-11-14T22:13:20Z","uuid":"u","verdict":"FORWARDED","l4":{"TCP":{"source_port":1,"destination_port":2,"flags":{"SYN":true}}},"node_name":"n","source_names":["a","b"],"is_reply":false,"interface":{"index":2,"name":"eth0"}}"#
    );
}

#[test]
fn defaults_are_left_out_and_empty_messages_are_not() {
    assert_eq!(json::to_string(&Flow::default()), "{}");
    assert_eq!(
        canonical(r#"{"verdict":0,"uuid":"","source_names":[],"reply":false}"#),
        "{}"
    );
    assert_eq!(
        canonical(r#"{"source":{},"l4":{"UDP":{}}}"#),
        r#"{"l4":{"UDP":{}},"source":{}}"#
    );
    assert_eq!(canonical(r#"{"is_reply":false}"#), r#"{"is_reply":false}"#);
}

#[test]
fn null_means_not_set() {
    let text =
        r#"{"time":null,"uuid":null,"verdict":null,"l4":null,"is_reply":null,"source_names":null}"#;
    assert_eq!(canonical(text), "{}");
    assert_eq!(
        canonical(r#"{"l4":{"TCP":null,"UDP":{}}}"#),
        r#"{"l4":{"UDP":{}}}"#
    );
}

#[test]
fn names_are_read_in_both_spellings_and_written_in_one() {
    let flow = read(r#"{"nodeName":"n","eventType":{"subType":3},"IP":{"sourceXlated":"x"}}"#);
    assert_eq!(
        flow,
        read(r#"{"node_name":"n","event_type":{"sub_type":3},"IP":{"source_xlated":"x"}}"#)
    );
    assert_eq!(
        json::to_string(&flow),
        r#"{"IP":{"source_xlated":"x"},"node_name":"n","event_type":{"sub_type":3}}"#
    );
    assert!(refusal(r#"{"ip":{}}"#).contains(r#"unknown field "ip""#));
}

#[test]
fn lists_hold_values_only() {
    assert!(refusal(r#"{"source_names":"one"}"#).contains("source_names (line 1, column"));
    assert!(refusal(r#"{"source_names":["a",1]}"#).starts_with("source_names[1] (line 1"));
    assert!(refusal(r#"{"source_names":[null]}"#).contains("null, expected a value"));
}

#[test]
fn a_field_given_twice_is_refused_in_either_spelling() {
    for text in [
        r#"{"uuid":"a","uuid":"b"}"#,
        r#"{"nodeName":"a","node_name":"b"}"#,
        r#"{"uuid":null,"uuid":"b"}"#,
    ] {
        assert!(refusal(text).ends_with("field is given twice"), "{text}");
    }
}

#[test]
fn only_one_member_of_a_oneof_may_be_set() {
    assert_eq!(
        refusal(r#"{"l4":{"TCP":{},"UDP":{}}}"#),
        "l4.UDP (line 1, column 25): protocol is already set by another field"
    );
    let two = json::from_str::<GetFlowsResponse>(r#"{"flow":{},"lost_events":{}}"#);
    assert!(matches!(
        two,
        Err(JsonError::OneofSetTwice {
            oneof: "response_types",
            ..
        })
    ));
}

#[test]
fn unknown_fields_and_enum_names_are_refused_unless_told_otherwise() {
    let text =
        r#"{"source":{"future":{"x":[1,{"y":null}]},"identity":7},"verdict":"NEW_ONE","uuid":"u"}"#;
    let error = json::from_str::<Flow>(text).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"source (line 1, column 19): unknown field "future""#
    );
    assert_eq!(error.place().path, "source");

    let flow: Flow = json::from_str_with(
        text,
        ReadOptions {
            ignore_unknown: true,
        },
    )
    .unwrap();
    assert_eq!(
        json::to_string(&flow),
        r#"{"uuid":"u","source":{"identity":7}}"#
    );
    let filter: FlowFilter = json::from_str_with(
        r#"{"verdict":["NEW_ONE",1]}"#,
        ReadOptions {
            ignore_unknown: true,
        },
    )
    .unwrap();
    assert_eq!(filter.verdict, [1]);
}

#[test]
fn an_error_shows_only_the_beginning_of_a_long_text() {
    let shown = refusal(&format!(r#"{{"verdict":"{}"}}"#, "é".repeat(100_000)));
    assert!(shown.len() < 300, "{} bytes", shown.len());
}

#[test]
fn nesting_is_bounded() {
    const DEEP: usize = 100_000;
    let lists = format!("{{\"x\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP));
    refusal(&lists);
    // Skipping does not nest, so depth does not matter there.
    json::from_str_with::<Flow>(
        &lists,
        ReadOptions {
            ignore_unknown: true,
        },
    )
    .unwrap();

    let flow = r#"{"@type":"type.googleapis.com/flow.Flow","extensions":"#;
    let deep = format!(
        "{{\"extensions\":{}{{}}{}}}",
        flow.repeat(DEEP),
        "}".repeat(DEEP)
    );
    assert!(refusal(&deep).contains("recursion limit exceeded"));

    // In a message, an `Any` in an `Any` costs the sender a few bytes.
    let mut flow = Flow::default();
    for _ in 0..1_000 {
        let type_url = "type.googleapis.com/flow.Flow".to_owned();
        let inner = Any {
            type_url,
            value: flow.encode_to_vec(),
        };
        flow = Flow {
            extensions: Some(inner),
            ..Flow::default()
        };
    }
    assert!(read(&json::to_string(&flow)) == flow);
}

#[test]
fn a_message_is_appended_to_what_is_there() {
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(Flow::default())),
        ..GetFlowsResponse::default()
    };
    let mut lines = b"first\n".to_vec();
    json::write(&response, &mut lines);
    assert_eq!(lines, b"first\n{\"flow\":{}}");
}

#[test]
fn the_text_is_one_object_and_nothing_else() {
    for text in [
        "",
        "xx",
        "[]",
        "\"text\"",
        "42",
        "null",
        "{",
        "{} trailing",
        "{},",
        "{'uuid':1}",
    ] {
        refusal(text);
    }
    assert_eq!(
        canonical(" \t{ \"uuid\" :\r\n \"u\" } \n"),
        r#"{"uuid":"u"}"#
    );
}
