//! What people write means what they mean.

use flow_api::flow::{
    Endpoint, Flow, FlowFilter, Ip, Layer4, Tcp, TcpFlags, Verdict, Workload,
    flow_filter::Experimental, layer4::Protocol,
};
use proptest::prelude::*;
use proptest::sample::select;
use prost_types::Timestamp;

use super::Where;
use crate::Filter;

fn parsed(text: &str) -> Where {
    Where::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn spelled(text: &str) -> String {
    parsed(text).expression().to_owned()
}

fn mistakes(text: &str) -> String {
    match Where::parse(text) {
        Ok(parsed) => panic!("{text}: {}", parsed.expression()),
        Err(error) => error.to_string(),
    }
}

/// Asks as a server does.
fn holds(text: &str, flow: &Flow) -> bool {
    let filter = FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![spelled(text)],
        }),
        ..FlowFilter::default()
    };
    Filter::compile(&[filter], &[]).unwrap().matches(flow)
}

fn flow() -> Flow {
    Flow {
        time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        verdict: Verdict::Dropped.into(),
        ip: Some(Ip {
            source: "10.1.2.3".to_owned(),
            destination: "2001:db8::5".to_owned(),
            ..Ip::default()
        }),
        source: Some(Endpoint {
            identity: 7,
            namespace: "shop".to_owned(),
            pod_name: "web-1".to_owned(),
            labels: vec!["k8s:app=web".to_owned()],
            workloads: vec![Workload {
                name: "web".to_owned(),
                kind: "Deployment".to_owned(),
            }],
            ..Endpoint::default()
        }),
        l4: Some(Layer4 {
            protocol: Some(Protocol::Tcp(Tcp {
                source_port: 40_000,
                destination_port: 443,
                flags: Some(TcpFlags {
                    syn: true,
                    ..TcpFlags::default()
                }),
            })),
        }),
        ..Flow::default()
    }
}

#[test]
fn names_values_and_numbers_are_read_as_they_are_meant() {
    for (written, expected) in [
        ("verdict == 'dropped'", "_flow.verdict == Verdict.DROPPED"),
        ("DROPPED == verdict", "Verdict.DROPPED == _flow.verdict"),
        (
            "verdict in [dropped, \"Error\"]",
            "_flow.verdict in [Verdict.DROPPED, Verdict.ERROR]",
        ),
        (
            "drop_reason_desc == 'policy-denied'",
            "_flow.drop_reason_desc == DropReason.POLICY_DENIED",
        ),
        ("type == l7", "_flow.Type == FlowType.L7"),
        (
            "tunnel.protocol == vxlan",
            "_flow.tunnel.protocol == Tunnel.Protocol.VXLAN",
        ),
        (
            "l4.tcp.destination_port in [80, 443u]",
            "_flow.l4.TCP.destination_port in [80u, 443u]",
        ),
        ("source.identity + 1 > 2", "_flow.source.identity + 1u > 2u"),
        (
            "source.port < 1024",
            "_flow.l4.TCP.source_port + _flow.l4.UDP.source_port + _flow.l4.SCTP.source_port < 1024u",
        ),
        ("tcp.flags.syn", "_flow.l4.TCP.flags.SYN"),
        ("http && !dns", "has(_flow.l7.http) && !has(_flow.l7.dns)"),
        ("is_reply", "_flow.is_reply == true"),
        (
            "!is_reply || is_reply == true",
            "_flow.is_reply == false || _flow.is_reply == true",
        ),
        (
            "source.labels.exists(l, l.startsWith('k8s:'))",
            "_flow.source.labels.exists(l, l.startsWith(\"k8s:\"))",
        ),
        (
            "source.workloads.exists(w, w.Kind == 'Job')",
            "_flow.source.workloads.exists(w, w.kind == \"Job\")",
        ),
        (
            "source.workloads[0].KIND == 'Job'",
            "_flow.source.workloads[0].kind == \"Job\"",
        ),
        (
            "source.pod.glob('web-*')",
            "_flow.source.pod_name.startsWith(\"web-\")",
        ),
        (
            "source.ip in '10.0.0.0/8'",
            "_flow.IP.source.matches(\"^10[.]\")",
        ),
        (
            "source.ip in ['10.0.0.0/8', 'FD00::0:1']",
            "_flow.IP.source in [\"fd00::1\"] || _flow.IP.source.matches(\"^10[.]\")",
        ),
        ("source.ip == 'FD00::0:1'", "_flow.IP.source == \"fd00::1\""),
        (
            "time > '2026-01-31'",
            "_flow.time > timestamp(\"2026-01-31T00:00:00Z\")",
        ),
        (
            "(verdict == (is_reply ? dropped : 'error'))",
            "_flow.verdict == (_flow.is_reply == true ? Verdict.DROPPED : Verdict.ERROR)",
        ),
        ("'a' in source.labels", "\"a\" in _flow.source.labels"),
        ("verdict != Verdict.ERROR", "_flow.verdict != Verdict.ERROR"),
    ] {
        assert_eq!(spelled(written), expected);
        // It is read as itself.
        assert_eq!(spelled(expected), expected);
    }
}

#[test]
fn expressions_of_hubble_mean_the_same() {
    for expression in [
        "_flow.verdict == Verdict.DROPPED && _flow.l4.TCP.destination_port < 1024u",
        "_flow.verdict == flow.Verdict.DROPPED",
        "_flow.verdict == 2",
        "has(_flow.source.labels) && size(_flow.source.labels) > 0",
        "_flow == Flow{}",
        "_flow.source == flow.Endpoint{identity: 7u}",
        "dyn(_flow).verdict == 2",
        "type(1) == int",
        "_flow.source.labels.map(l, l.size()).exists(n, n > 3)",
        "{'a': 1}.a == 1",
    ] {
        assert_eq!(spelled(expression), expression.replace('\'', "\""));
    }
}

#[test]
fn conditions_hold_for_flows() {
    for text in [
        "verdict == dropped && source.namespace == \"shop\"",
        "source.ip in [\"192.168.0.0/16\", \"10.1.0.0/16\"] && destination.ip in \"2001:db8::/32\"",
        "destination.port in [80, 443] && source.port == 40000",
        "tcp && !udp && tcp.flags.syn",
        "source.pod.glob(\"w*-?\") && !source.pod.glob(\"db*\")",
        "\"k8s:app=web\" in source.labels",
        "time >= \"2023-11-14T22:13:20Z\"",
        "!(is_reply || !is_reply)",
        "source.workloads.exists(w, w.kind == \"Deployment\")",
    ] {
        assert!(holds(text, &flow()), "{text}");
        assert!(!holds(&format!("!({text})"), &flow()), "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    assert_eq!(
        mistakes("verdict == dropped &&\n  sorce.namespace == 'shop'"),
        "a flow has no field 'sorce', did you mean 'source'?\n    sorce.namespace == 'shop'\n    ^"
    );
    for (text, column, problem) in [
        (
            "verdict == \"droped\"",
            12,
            "'verdict' is never 'droped', did you mean DROPPED?",
        ),
        (
            "source.namspace == 'a'",
            8,
            "'source' has no field 'namspace', did you mean 'namespace'?",
        ),
        (
            "source.namespace == shop",
            21,
            "'shop' is no field, write \"shop\" if it is a text",
        ),
        (
            "destination.port == '80'",
            21,
            "'destination.port' is a number, write 80 without quotes",
        ),
        (
            "source.namespace == 5",
            21,
            "'source.namespace' is a text, write \"5\"",
        ),
        (
            "source.ip == '10.0.0.0/8'",
            14,
            "this is a range, write IP.source in \"10.0.0.0/8\"",
        ),
        (
            "source.ip in ['10.0.0.0/33']",
            15,
            "this is no range of addresses: prefix length out of range",
        ),
        (
            "source.ip == 'web'",
            14,
            "'IP.source' is an address, and \"web\" is none",
        ),
        (
            "source.labels == 'a'",
            18,
            "'source.labels' is a list, write \"a\" in source.labels",
        ),
        (
            "source.port in 80",
            16,
            "'in' wants a list, as in [80, 443]",
        ),
        (
            "source == 'web'",
            11,
            "'source' is more than one value, name one of its fields",
        ),
        (
            "drop_reason == 'POLICY_DENIED'",
            16,
            "'drop_reason' is a number, names are in 'drop_reason_desc'",
        ),
        (
            "time > 'yesterday'",
            8,
            "'time' is a time, as in \"2026-01-31T09:30:00Z\"",
        ),
        (
            "source.pod.startswith('a')",
            22,
            "there is no function 'startswith', did you mean '.startsWith(...)'?",
        ),
        (
            "verdict == dropped and tcp",
            20,
            "write && instead of 'and'",
        ),
        (
            "source.pod startswith 'a'",
            12,
            "write .startsWith(...) behind what it is asked of",
        ),
        ("verdict = dropped", 9, "write == to compare"),
        (
            "verdict == ",
            12,
            "expected a field or a value, and here is the end",
        ),
        ("", 0, "expected a field or a value, and here is the end"),
        (
            "source.namespace && tcp",
            18,
            "'&&' joins conditions, and one side is a text",
        ),
        (
            "source.namespace > 5u",
            20,
            "'source.namespace' is a text, write \"5\"",
        ),
        (
            "verdict.startsWith('D')",
            19,
            "'startsWith' does not take a number and a text",
        ),
        ("source.pod.matches('(')", 0, "error parsing regexp"),
    ] {
        let told = mistakes(text);
        assert!(told.starts_with(problem), "{text}: {told}");
        if column > 0 {
            let mark = told.lines().last().unwrap();
            assert_eq!(
                mark,
                format!("{:>width$}", "^", width = column + 2),
                "{told}"
            );
        }
    }
    let told = mistakes("source.namespace");
    assert_eq!(
        told,
        "it is a text and no condition, compare it with something\n  source.namespace"
    );
    // All are told at once.
    assert_eq!(
        mistakes("verdit == 1 || sorce.ip == 2")
            .matches("did you mean")
            .count(),
        2
    );
}

#[test]
fn the_fields_that_are_read_are_known() {
    let reads = |text| parsed(text).reads();
    let paths = |paths: &[&str]| {
        Some(
            paths
                .iter()
                .map(|path| (*path).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        reads("verdict == dropped && source.labels.exists(l, l == 'a') && has(l7.dns)"),
        paths(&["l7.dns", "source.labels", "verdict"])
    );
    assert_eq!(
        reads("source.workloads[0].kind == 'Job' && is_reply"),
        paths(&["is_reply", "source.workloads"])
    );
    assert_eq!(
        reads("source.port == 1"),
        paths(&[
            "l4.SCTP.source_port",
            "l4.TCP.source_port",
            "l4.UDP.source_port"
        ])
    );
    assert_eq!(reads("_flow == Flow{}"), None);
    assert_eq!(reads("dyn(_flow).verdict == 1"), None);
}

/// A condition, as people write it, and what it means for the flow.
fn any_condition() -> BoxedStrategy<(String, bool)> {
    let leaf = select(vec![
        ("verdict == dropped", true),
        ("verdict in [forwarded, 'error']", false),
        ("source.port > 1023", true),
        ("destination.port == 53", false),
        ("source.ip in '10.0.0.0/8'", true),
        ("source.ip in ['fd00::/8', '10.1.2.4']", false),
        ("destination.ip in '2001:db8::/64'", true),
        ("source.pod.glob('web*')", true),
        ("dns", false),
        ("tcp", true),
        ("is_reply == true", false),
        ("has(is_reply)", false),
        ("source.namespace in ['bank', 'shop']", true),
    ]);
    leaf.prop_map(|(text, holds)| (text.to_owned(), holds))
        .prop_recursive(5, 32, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|((one, holds), (other, also))| (
                    format!("({one}) && ({other})"),
                    holds && also
                )),
                (inner.clone(), inner.clone()).prop_map(|((one, holds), (other, also))| (
                    format!("({one}) || ({other})"),
                    holds || also
                )),
                inner
                    .clone()
                    .prop_map(|(one, holds)| (format!("!({one})"), !holds)),
                (inner.clone(), inner).prop_map(|((one, holds), (other, also))| (
                    format!("({one}) ? ({other}) : ({one}) || true"),
                    if holds { also } else { true }
                )),
            ]
        })
        .boxed()
}

/// What may stand in a condition, good or bad.
fn any_text() -> impl Strategy<Value = String> {
    let word = select(vec![
        "verdict",
        "source",
        ".",
        "port",
        "ip",
        "in",
        "==",
        "(",
        ")",
        "[",
        "]",
        "'10.0.0.0/8'",
        "'a'",
        "5",
        "&&",
        "||",
        "!",
        "dropped",
        "labels",
        "exists",
        "l",
        ",",
        "has",
        "glob",
        "_flow",
        "?",
        ":",
        "-",
        "is_reply",
        "{",
        "}",
        "time",
        "'2026-01-01'",
        "ü",
        "\n",
    ]);
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_condition_holds_as_its_parts_do((text, expected) in any_condition()) {
        prop_assert_eq!(holds(&text, &flow()), expected, "{}", text);
        // What is sent reads as itself.
        let once = spelled(&text);
        prop_assert_eq!(spelled(&once), once);
    }

    #[test]
    fn what_is_called_impossible_never_holds((text, expected) in any_condition()) {
        let reasons = crate::outline::contradictions(&parsed(&text).outline());
        let is_impossible = reasons.iter().any(|reason| reason.starts_with("nothing"));
        prop_assert!(!(is_impossible && expected), "{}: {:?}", text, reasons);
    }

    #[test]
    fn no_text_panics(text in any_text()) {
        if let Ok(parsed) = Where::parse(&text) {
            drop((parsed.outline(), parsed.reads()));
        }
    }
}
