//! The fast reader: it reads what the writer writes, nothing else, and never anything else than the
//! full reader would.

use flow_api::{
    flow,
    json::{self, Fields},
    observer,
};
use proptest::prelude::*;

use self::{damage::damaged, random_message::Source};

mod damage;
mod flow_lines;
mod random_message;

/// What the fast reader accepts must be what the full one reads, and written again as it was.
fn is_left_or_read_alike<T: json::Json>(text: &str) -> Result<bool, TestCaseError> {
    let Some(fast) = json::from_canonical::<T>(text, &Fields::all()) else {
        return Ok(false);
    };
    let full: T = json::from_str(text)
        .map_err(|error| TestCaseError::fail(format!("{error}, but read fast: {text}")))?;
    prop_assert_eq!(fast.encode_to_vec(), full.encode_to_vec(), "{}", text);
    prop_assert_eq!(json::to_string(&full), text);
    Ok(true)
}

fn random<T: json::Json>(name: &str, entropy: &[u8]) -> T {
    T::decode(Source::new(entropy).message(name).as_slice()).expect("made by the descriptor")
}

/// Paths that a filter or a printer may ask for.
const PATHS: [&str; 12] = [
    "flow.verdict",
    "flow.source",
    "flow.source.labels",
    "flow.destination.pod_name",
    "flow.l7.http.url",
    "flow.l4.TCP.flags.SYN",
    "flow.egress_allowed_by.name",
    "flow.is_reply",
    "flow.Summary",
    "node_status.state_change",
    "lost_events.cpu",
    "time",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_written_is_read(entropy in prop::collection::vec(any::<u8>(), 0..600)) {
        let flow: flow::Flow = random("flow.Flow", &entropy);
        let text = json::to_string(&flow);
        let has_other_reader = has_base64(&flow) || has_unknown_enum(&text);
        prop_assert!(is_left_or_read_alike::<flow::Flow>(&text)? || has_other_reader, "{}", text);
    }

    #[test]
    fn damaged_text_is_left_or_read_alike(
        entropy in prop::collection::vec(any::<u8>(), 0..400),
        damages in damage::damages(),
    ) {
        let message: observer::GetFlowsResponse = random("observer.GetFlowsResponse", &entropy);
        let text = damaged(json::to_string(&message), &damages);
        is_left_or_read_alike::<observer::GetFlowsResponse>(&text)?;
    }

    #[test]
    fn damaged_flows_are_left_or_read_alike(damages in damage::damages()) {
        for line in flow_lines::LINES {
            let text = damaged(line.to_owned(), &damages);
            is_left_or_read_alike::<observer::GetFlowsResponse>(&text)?;
        }
    }

    #[test]
    fn a_choice_of_fields_gives_those_and_refuses_the_same_texts(
        paths in prop::collection::vec(prop::sample::select(&PATHS[..]), 0..4),
        damages in prop::option::of(damage::damages()),
    ) {
        let chosen = Fields::of::<observer::GetFlowsResponse>(paths.iter().copied()).unwrap();
        for line in flow_lines::LINES {
            let text = damaged(line.to_owned(), &damages.clone().unwrap_or_default());
            let whole: Option<observer::GetFlowsResponse> =
                json::from_canonical(&text, &Fields::all());
            let part: Option<observer::GetFlowsResponse> = json::from_canonical(&text, &chosen);
            prop_assert_eq!(whole.is_some(), part.is_some(), "{}", text);
            let (Some(whole), Some(part)) = (whole, part) else { continue };
            let value = |message| -> serde_json::Value {
                serde_json::from_str(&json::to_string(message)).unwrap()
            };
            let (whole, part) = (value(&whole), value(&part));
            for path in &paths {
                let pointer = format!("/{}", path.replace('.', "/"));
                prop_assert_eq!(whole.pointer(&pointer), part.pointer(&pointer), "{}", path);
            }
            let size = |value: &serde_json::Value| value.to_string().len();
            prop_assert!(size(&part) <= size(&whole));
        }
    }
}

/// An extension that is no message of the contract, or holds another one.
fn has_base64(flow: &flow::Flow) -> bool {
    flow.extensions.is_some()
}

/// A number where a name should be: the random messages have some.
fn has_unknown_enum(text: &str) -> bool {
    let value: serde_json::Value = serde_json::from_str(text).expect("own output is readable");
    let mut left = vec![&value];
    while let Some(value) = left.pop() {
        match value {
            serde_json::Value::Object(members) => {
                for (key, member) in members {
                    let is_enum = ENUMS.contains(&key.as_str());
                    if is_enum && member.is_number() {
                        return true;
                    }
                    left.push(member);
                }
            }
            serde_json::Value::Array(elements) => left.extend(elements),
            _ => {}
        }
    }
    false
}

/// The fields of flows that hold enums. `type` is one in layer 7, and a number elsewhere.
const ENUMS: [&str; 12] = [
    "verdict",
    "auth_type",
    "Type",
    "traffic_direction",
    "trace_observation_point",
    "trace_reason",
    "drop_reason_desc",
    "debug_capture_point",
    "sock_xlate_point",
    "ipVersion",
    "protocol",
    "type",
];

#[test]
fn flows_as_they_are_exported_are_read_fast() {
    for line in flow_lines::LINES {
        assert!(
            json::from_canonical::<observer::GetFlowsResponse>(line, &Fields::all()).is_some(),
            "{line}"
        );
    }
}

#[test]
fn another_form_of_the_same_flow_is_left_to_the_full_reader() {
    for text in [
        r#"{"verdict":2}"#,
        r#"{"verdict":"VERDICT_UNKNOWN"}"#,
        r#"{"nodeName":"n"}"#,
        r#"{"node_name":""}"#,
        r#"{"node_name":null}"#,
        r#"{"node_name":"a","uuid":"b"}"#,
        r#"{"uuid":"a","uuid":"b"}"#,
        r#"{"uuid":"\u0061"}"#,
        r#"{"uuid":"\/"}"#,
        r#"{"uuid":"\u003C"}"#,
        r#"{"uuid":"<"}"#,
        "{\"uuid\":\"\u{2028}\"}",
        r#"{"proxy_port":1.0}"#,
        r#"{"proxy_port":"1"}"#,
        r#"{"proxy_port":01}"#,
        r#"{"socket_cookie":1}"#,
        r#"{"source_names":[]}"#,
        r#"{"time":"2026-03-01T09:30:05.250000Z"}"#,
        r#"{"time":"2026-03-01T09:30:05+00:00"}"#,
        r#"{"time":"2026-03-01T09:30:05.25Z"}"#,
        r#"{"l4":{"TCP":{},"UDP":{}}}"#,
        r#"{ "uuid":"a"}"#,
        r#"{"uuid":"a"} "#,
        r#"{"uuid":"a"}{"#,
    ] {
        let read: Option<flow::Flow> = json::from_canonical(text, &Fields::all());
        assert_eq!(read, None, "{text}");
    }
}

#[test]
fn escapes_and_other_alphabets_are_read_fast() {
    let text = r#"{"uuid":"\u003cа\u0026\"\\\n\t\u0001ß\u2028","node_name":"节点"}"#;
    let flow: flow::Flow = json::from_canonical(text, &Fields::all()).unwrap();
    assert_eq!(flow.uuid, "<а&\"\\\n\t\u{1}ß\u{2028}");
    assert_eq!(json::to_string(&flow), text);
}

#[test]
fn paths_that_lead_nowhere_are_named() {
    for path in ["nope", "flow.nope", "time.seconds.x", "node_name.x", ""] {
        let error = Fields::of::<observer::GetFlowsResponse>([path]).unwrap_err();
        assert_eq!(error.to_string(), format!("no field {path:?}"));
    }
}
