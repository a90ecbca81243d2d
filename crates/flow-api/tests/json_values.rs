//! The JSON mapping: numbers, enums, texts, times, and protobuf's own types.

use flow_api::{
    flow::{Endpoint, Flow, FlowFilter, Layer4, LostEvent, Udp, layer4},
    json,
    observer::{GetFlowsRequest, ServerStatusResponse},
};
use flow_text::{canonical, read, refusal};
use prost::Message as _;
use prost_types::{Any, FieldMask, Timestamp};

mod flow_text;

fn at(seconds: i64, nanos: i32) -> Flow {
    Flow {
        time: Some(Timestamp { seconds, nanos }),
        ..Flow::default()
    }
}

#[test]
fn enums_are_read_by_name_or_number_and_unknown_numbers_are_kept() {
    assert_eq!(
        canonical(r#"{"verdict":"DROPPED"}"#),
        r#"{"verdict":"DROPPED"}"#
    );
    assert_eq!(canonical(r#"{"verdict":2}"#), r#"{"verdict":"DROPPED"}"#);
    assert_eq!(canonical(r#"{"verdict":99}"#), r#"{"verdict":99}"#);
    assert_eq!(canonical(r#"{"verdict":-1}"#), r#"{"verdict":-1}"#);
    assert_eq!(
        refusal(r#"{"verdict":"dropped"}"#),
        "verdict (line 1, column 20): invalid value: string \"dropped\", expected an enum value by \
         name or number"
    );
    assert!(refusal(r#"{"verdict":2147483648}"#).contains("2147483648"));

    let filter: FlowFilter = json::from_str(r#"{"verdict":["DROPPED",1,77]}"#).unwrap();
    assert_eq!(
        json::to_string(&filter),
        r#"{"verdict":["DROPPED","FORWARDED",77]}"#
    );
}

#[test]
fn whole_numbers_may_stand_in_strings_and_have_exponents() {
    for text in ["80", "\"80\"", "80.0", "8e1", "\"8.0E+1\"", "800e-1"] {
        let layer4: Layer4 =
            json::from_str(&format!(r#"{{"UDP":{{"source_port":{text}}}}}"#)).unwrap();
        let expected = Udp {
            source_port: 80,
            destination_port: 0,
        };
        assert_eq!(
            layer4.protocol,
            Some(layer4::Protocol::Udp(expected)),
            "{text}"
        );
    }
    let wrong = [
        "-1",
        "4294967296",
        "1.5",
        "true",
        "{}",
        "[]",
        "\"\"",
        "\" 80\"",
        "\"80 \"",
        "\"+80\"",
        "\"0x50\"",
        "\"080\"",
        "\"1e\"",
        "\"NaN\"",
        "\"80\\u0000\"",
    ];
    for text in wrong {
        let shown = refusal(&format!(r#"{{"l4":{{"UDP":{{"source_port":{text}}}}}}}"#));
        assert!(
            shown.starts_with("l4.UDP.source_port (line 1, column "),
            "{text}: {shown}"
        );
        assert!(
            shown.ends_with("expected an unsigned 32-bit integer"),
            "{text}: {shown}"
        );
    }
}

#[test]
fn numbers_of_64_bits_are_written_as_strings_and_read_exactly() {
    for (text, written) in [
        ("18446744073709551615", "\"18446744073709551615\""),
        ("\"9007199254740993\"", "\"9007199254740993\""),
        ("1", "\"1\""),
    ] {
        let expected = format!(r#"{{"socket_cookie":{written}}}"#);
        assert_eq!(
            canonical(&format!(r#"{{"socket_cookie":{text}}}"#)),
            expected
        );
    }
    refusal(r#"{"socket_cookie":18446744073709551616}"#);
    refusal(r#"{"socket_cookie":"18446744073709551616"}"#);
    // Too large to be exact in the form it came in.
    refusal(r#"{"socket_cookie":9007199254740993.0}"#);
}

#[test]
fn doubles_are_written_with_the_fewest_digits() {
    for (rate, written) in [
        (1.0, "1"),
        (0.1, "0.1"),
        (1234.5678, "1234.5678"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000_001, "0.000001"),
        (1e-7, "1e-7"),
        (-2.5e-9, "-2.5e-9"),
        (-0.0, "-0"),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
        (f64::NAN, "\"NaN\""),
    ] {
        let status = ServerStatusResponse {
            flows_rate: rate,
            ..Default::default()
        };
        let text = json::to_string(&status);
        assert_eq!(text, format!(r#"{{"flows_rate":{written}}}"#));
        let again: ServerStatusResponse = json::from_str(&text).unwrap();
        assert_eq!(again.flows_rate.to_bits(), rate.to_bits());
    }
    assert_eq!(json::to_string(&ServerStatusResponse::default()), "{}");
}

#[test]
fn wrappers_are_bare_values() {
    let lost = LostEvent {
        num_events_lost: 3,
        cpu: Some(0),
        ..LostEvent::default()
    };
    assert_eq!(json::to_string(&lost), r#"{"num_events_lost":"3","cpu":0}"#);
    assert_eq!(
        json::from_str::<LostEvent>(r#"{"numEventsLost":3,"cpu":0}"#),
        Ok(lost)
    );
    assert!(refusal(r#"{"is_reply":{"value":true}}"#).starts_with("is_reply (line 1"));
    assert!(refusal(r#"{"is_reply":"true"}"#).contains("expected true or false"));
}

#[test]
fn times_have_no_fraction_digits_or_3_or_6_or_9() {
    for (flow, written) in [
        (at(0, 0), "1970-01-01T00:00:00Z"),
        (at(0, 500_000_000), "1970-01-01T00:00:00.500Z"),
        (at(0, 1_000), "1970-01-01T00:00:00.000001Z"),
        (at(0, 1), "1970-01-01T00:00:00.000000001Z"),
        (at(-1, 999_999_999), "1969-12-31T23:59:59.999999999Z"),
        (at(951_827_696, 0), "2000-02-29T12:34:56Z"),
        (at(-62_135_596_800, 0), "0001-01-01T00:00:00Z"),
        (
            at(253_402_300_799, 999_999_999),
            "9999-12-31T23:59:59.999999999Z",
        ),
    ] {
        let text = format!(r#"{{"time":"{written}"}}"#);
        assert_eq!(json::to_string(&flow), text);
        assert_eq!(read(&text), flow);
    }
}

#[test]
fn times_are_read_with_any_offset_and_fraction() {
    for (text, written) in [
        ("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09Z"),
        ("2024-05-06T07:08:09.5-03:30", "2024-05-06T10:38:09.500Z"),
        (
            "2024-05-06T07:08:09.123456789Z",
            "2024-05-06T07:08:09.123456789Z",
        ),
        ("2023-12-31T23:59:59-00:01", "2024-01-01T00:00:59Z"),
    ] {
        assert_eq!(
            canonical(&format!(r#"{{"time":"{text}"}}"#)),
            format!(r#"{{"time":"{written}"}}"#)
        );
    }
    for text in [
        "yesterday",
        "",
        "2024-05-06",
        "2024-05-06T07:08:09",
        "2024-05-06 07:08:09Z",
        "2024-05-06t07:08:09z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-05-06T24:00:00Z",
        "2024-05-06T23:59:60Z",
        "2024-05-06T07:08:09.Z",
        "2024-05-06T07:08:09.1234567890Z",
        "2024-05-06T07:08:09+2:00",
        "2024-05-06T07:08:09+24:00",
        "2024-05-06T07:08:09Z ",
        "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "2024-05-06T07:08:0٩Z",
    ] {
        let shown = refusal(&format!(r#"{{"time":"{text}"}}"#));
        assert!(
            shown.contains("expected a time such as 2024-05-06T07:08:09.5Z"),
            "{text}: {shown}"
        );
    }
}

#[test]
fn a_time_that_json_cannot_say_is_left_out() {
    for flow in [
        at(i64::MAX, 0),
        at(i64::MIN, 0),
        at(0, -1),
        at(0, 1_000_000_000),
    ] {
        assert_eq!(json::to_string(&flow), "{}");
    }
}

#[test]
fn text_is_escaped_so_that_it_can_stand_in_a_page() {
    for (text, written) in [
        ("\"\\/", r#"\"\\/"#),
        ("\n\r\t\u{8}\u{c}", r"\n\r\t\b\f"),
        (
            "\0\u{1}\u{b}\u{1b}\u{1f}",
            r"\u0000\u0001\u000b\u001b\u001f",
        ),
        ("<a & b>", r"\u003ca \u0026 b\u003e"),
        ("\u{2028}x\u{2029}", r"\u2028x\u2029"),
        ("\u{2027}\u{202a}é🚀\u{7f}", "\u{2027}\u{202a}é🚀\u{7f}"),
    ] {
        let flow = Flow {
            node_name: text.to_owned(),
            ..Flow::default()
        };
        let line = json::to_string(&flow);
        assert_eq!(line, format!(r#"{{"node_name":"{written}"}}"#));
        assert_eq!(read(&line), flow);
    }
}

#[test]
fn a_string_is_only_read_from_a_whole_string() {
    assert!(refusal(r#"{"Summary":1}"#).contains("integer `1`, expected a string"));
    assert!(refusal(r#"{"Summary":"\x"}"#).contains("invalid escape"));
    refusal(r#"{"Summary":"\ud83d"}"#);
    assert_eq!(
        canonical(r#"{"Summary":"\ud83d\ude80"}"#),
        r#"{"Summary":"🚀"}"#
    );
}

#[test]
fn any_holds_types_of_the_contract_as_fields_beside_the_type() {
    let endpoint = Endpoint {
        id: 7,
        pod_name: "web-0".to_owned(),
        ..Endpoint::default()
    };
    let extensions = Any {
        type_url: "type.googleapis.com/flow.Endpoint".to_owned(),
        value: endpoint.encode_to_vec(),
    };
    let flow = Flow {
        extensions: Some(extensions),
        ..Flow::default()
    };
    let text =
        r#"{"extensions":{"@type":"type.googleapis.com/flow.Endpoint","ID":7,"pod_name":"web-0"}}"#;
    assert_eq!(json::to_string(&flow), text);
    assert_eq!(read(text), flow);
    let last = r#"{"extensions":{"podName":"web-0","ID":"7","@type":"type.googleapis.com/flow.Endpoint"}}"#;
    assert_eq!(read(last), flow);
    let wrong = r#"{"extensions":{"@type":"type.googleapis.com/flow.Endpoint","ID":-7}}"#;
    assert!(refusal(wrong).starts_with("extensions.ID (line 1, column"));
}

#[test]
fn any_holds_simple_types_in_value() {
    for (value, written) in [
        (
            r#"Duration","value":"3.5s""#,
            r#"Duration","value":"3.500s""#,
        ),
        (
            r#"Duration","value":"-0.000001s""#,
            r#"Duration","value":"-0.000001s""#,
        ),
        (
            r#"Timestamp","value":"2024-01-01T01:00:00+01:00""#,
            r#"Timestamp","value":"2024-01-01T00:00:00Z""#,
        ),
        (r#"BoolValue","value":true"#, r#"BoolValue","value":true"#),
        (r#"UInt64Value","value":5"#, r#"UInt64Value","value":"5""#),
        (
            r#"FieldMask","value":"a.bC,d""#,
            r#"FieldMask","value":"a.bC,d""#,
        ),
    ] {
        let any = |rest: &str| {
            format!(r#"{{"extensions":{{"@type":"type.googleapis.com/google.protobuf.{rest}}}}}"#)
        };
        assert_eq!(canonical(&any(value)), any(written));
    }
    for value in [
        "3.5",
        "s",
        "-s",
        ".5s",
        "1.s",
        "+1s",
        "315576000001s",
        "1.0000000001s",
    ] {
        let text =
            r#"{"extensions":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"#;
        assert!(
            refusal(&format!("{text}\"{value}\"}}}}")).contains("expected a duration"),
            "{value}"
        );
    }
}

#[test]
fn any_keeps_what_it_does_not_know_encoded() {
    let unknown = r#"{"extensions":{"@type":"type.example/no.such.Message","value":"AQL/"}}"#;
    assert_eq!(canonical(unknown), unknown);
    assert_eq!(read(unknown).extensions.unwrap().value, [1, 2, 255]);
    assert_eq!(
        read(&unknown.replace('/', "_").replace("example_", "example/")),
        read(unknown)
    );
    assert!(refusal(&unknown.replace("\"AQL/\"", "1")).contains("encoded in base64"));
    assert!(refusal(&unknown.replace("value", "other")).contains("unknown field `other`"));

    // Says that it is an endpoint, and is none.
    let broken = Any {
        type_url: "type.googleapis.com/flow.Endpoint".to_owned(),
        value: vec![255],
    };
    let flow = Flow {
        extensions: Some(broken),
        ..Flow::default()
    };
    assert_eq!(read(&json::to_string(&flow)), flow);

    assert_eq!(canonical(r#"{"extensions":{}}"#), r#"{"extensions":{}}"#);
    assert!(refusal(r#"{"extensions":{"value":1}}"#).contains("missing field `@type`"));
    assert!(refusal(r#"{"extensions":{"@type":1}}"#).contains("expected @type as a string"));
    assert!(refusal(r#"{"extensions":{"@type":"a","@type":"a"}}"#).contains("given twice"));
}

#[test]
fn a_field_mask_is_one_string() {
    let mask = FieldMask {
        paths: vec!["time".to_owned(), "source.pod_name".to_owned()],
    };
    let request = GetFlowsRequest {
        field_mask: Some(mask),
        ..GetFlowsRequest::default()
    };
    let text = r#"{"field_mask":"time,source.podName"}"#;
    assert_eq!(json::to_string(&request), text);
    assert_eq!(json::from_str(text), Ok(request));
    let empty: GetFlowsRequest = json::from_str(r#"{"fieldMask":""}"#).unwrap();
    assert_eq!(empty.field_mask, Some(FieldMask::default()));
}
