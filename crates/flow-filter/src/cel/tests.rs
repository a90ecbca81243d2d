//! What expressions mean, rule by rule; how much one may cost; and that none makes a filter panic.

use std::borrow::Cow;
use std::cell::Cell;

use flow_api::flow::{Endpoint, Flow, Layer4, Tcp, TcpFlags, Verdict, Workload, layer4::Protocol};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use prost_types::Timestamp;

use super::error::EvaluationError;
use super::evaluate::{MOST_STEPS_OF_FLOW, evaluate};
use super::*;

mod checks;
pub(super) mod generated;
mod limits;
mod messages;

fn flow() -> Flow {
    Flow {
        time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 250_000_000,
        }),
        verdict: Verdict::Dropped.into(),
        is_reply: Some(false),
        source: Some(Endpoint {
            identity: 7,
            namespace: "shop".to_owned(),
            pod_name: "web-1".to_owned(),
            labels: vec!["k8s:app=web".to_owned(), "k8s:tier=front".to_owned()],
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

fn compile(expression: &str) -> Result<Expression, ExpressionError> {
    Expression::compile(expression, &mut Budget::default())
}

fn value(expression: &str, flow: &Flow) -> Result<bool, EvaluationError> {
    let compiled = compile(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let encoded = flow.encode_to_vec();
    let flow = DynamicMessage::decode(compiled.flow.clone(), &*encoded).unwrap();
    let left = Cell::new(MOST_STEPS_OF_FLOW);
    evaluate(&compiled.program, &compiled.flow, Some(&flow), &left)
}

#[track_caller]
fn assert_all_hold(expressions: &[&str]) {
    for expression in expressions {
        assert_eq!(value(expression, &flow()), Ok(true), "{expression}");
    }
}

#[track_caller]
fn assert_mistakes(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let error = match compile(expression) {
            Ok(_) => panic!("{expression} is not refused"),
            Err(error) => error.to_string(),
        };
        let error = error
            .strip_prefix("error compiling CEL expression: ")
            .unwrap_or(&error);
        let line = error.lines().next().unwrap_or_default();
        let line = line.strip_prefix("ERROR: <input>:").unwrap_or(line);
        assert_eq!(line, *expected, "{expression}");
    }
}

#[track_caller]
fn assert_failures(cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        let error = value(expression, &flow()).map_err(|error| error.to_string());
        assert_eq!(error, Err((*expected).to_owned()), "{expression}");
    }
}

#[test]
fn types_known_later_are_compared_later() {
    assert_all_hold(&[
        "dyn(1) == 1u && dyn(1) == 1.0 && dyn(1u) < 2.5 && dyn(-1) < 1u",
        "dyn(1) != 'a'",
        "1u in [1, 'a']",
        "{'a': 1, 'b': 'c'}.b == 'c'",
        "[[], [1]][1][0] == 1",
        "dyn(9223372036854775807) != 9223372036854775808.0",
        "!(dyn(0.0/0.0) == dyn(0.0/0.0)) && !(0.0/0.0 < 1.0)",
    ]);
    assert_failures(&[
        ("dyn(1) + 1u == 2u", "no such overload"),
        ("dyn('a') < 1", "no such overload"),
        ("dyn(1) && true", "no such overload"),
        ("dyn(_flow).nope == 1", "no such field 'nope'"),
    ]);
}

#[test]
fn arithmetic_is_exact_or_fails() {
    assert_all_hold(&[
        "7 / 2 == 3 && -7 / 2 == -3 && -7 % 3 == -1 && 7u % 4u == 3u",
        "1 + 2 * 3 - 4 == 3 && 1.5 * 2.0 == 3.0 && -(-1) == 1",
        "-9223372036854775808 < 0 && 1.0 / 0.0 > 1e300",
        "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
        "duration('1m') + duration('1s') == duration('61s')",
        "_flow.time + duration('1s') - _flow.time == duration('1s')",
        "_flow.time - duration('1s') < _flow.time",
    ]);
    assert_failures(&[
        ("9223372036854775807 + 1 == 0", "integer overflow"),
        ("-9223372036854775808 - 1 == 0", "integer overflow"),
        ("-9223372036854775808 / -1 == 0", "integer overflow"),
        ("-(-9223372036854775808) == 0", "integer overflow"),
        ("1u - 2u == 0u", "unsigned integer overflow"),
        ("1 / 0 == 0", "division by zero"),
        ("1u % 0u == 0u", "modulus by zero"),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1s') == _flow.time",
            "timestamp overflow",
        ),
        (
            "duration('2000000h') + duration('2000000h') == duration('0')",
            "duration overflow",
        ),
    ]);
}

#[test]
fn text_is_searched() {
    assert_all_hold(&[
        "'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')",
        "'hello'.matches('^h.*o$') && matches('hello', 'l+') && !'hello'.matches('x')",
        "'hello'.matches('l' + '+')",
        "size('héllo') == 5 && 'héllo'.size() == 5 && size(b'é') == 2",
        "'a' < 'b' && b'a' <= b'a'",
    ]);
    assert_failures(&[(
        "'a'.matches('(' + '')",
        "error parsing regexp: unclosed group",
    )]);
    assert_mistakes(&[(
        "'a'.matches('(')",
        "error building CEL program: error parsing regexp: unclosed group",
    )]);
}

#[test]
fn lists_and_maps_are_looked_into() {
    assert_all_hold(&[
        "2 in [1, 2] && !(3 in [1, 2]) && 'a' in {'a': 1}",
        "{1: 'a', 2: 'b'}[2] == 'b' && {'a': {'b': 1}}.a.b == 1",
        "{'a': 1, 'a': 2}.a == 2",
        "[1, 2] == [1, 2] && {1: 2} == {1: 2} && [1] != [2]",
        "size([1, 2]) == 2 && {1: 2}.size() == 1",
        "[[1], [2]][1][0] == 2",
    ]);
    assert_failures(&[
        ("_flow.source.labels[3] == 'x'", "index out of bounds: 3"),
        ("[1][-1] == 1", "index out of bounds: -1"),
        ("{'a': 1}['b'] == 1", "no such key: b"),
        ("{'a': 1}.b == 1", "no such key: b"),
        ("{1.5: 1} == {}", "no such overload"),
    ]);
}

#[test]
fn comprehensions_ask_each_element() {
    assert_all_hold(&[
        "[1, 2].all(x, x > 0) && ![1, 2].all(x, x > 1) && [].all(x, false)",
        "[1, 2].exists(x, x == 2) && ![].exists(x, true)",
        "[1, 2].exists_one(x, x == 2) && ![1, 1].exists_one(x, x == 1)",
        "[1, 2, 3].filter(x, x % 2 == 1) == [1, 3]",
        "[1, 2].map(x, x * 2) == [2, 4] && [1, 2].map(x, x > 1, x * 2) == [4]",
        "{'a': 1}.all(k, k == 'a') && {'a': 1}.map(k, k) == ['a']",
        "[1, 2].exists(x, [2, 3].exists(y, x == y))",
        "[1].map(x, [2].map(x, x)) == [[2]]",
        "_flow.source.labels.exists(l, l.startsWith('k8s:app='))",
        "_flow.source.workloads.exists_one(w, w.name == 'web')",
    ]);
    assert_failures(&[
        ("[0, 1].exists_one(x, 1 / x == 1)", "division by zero"),
        ("[0].map(x, 1 / x) == []", "division by zero"),
    ]);
}

#[test]
fn what_decides_makes_up_for_failures() {
    assert_all_hold(&[
        "1 / 0 == 1 || true",
        "true || 1 / 0 == 1",
        "!(1 / 0 == 1 && false)",
        "[0, 1].exists(x, 1 / x == 1)",
        "![0, 1].all(x, 1 / x == 2)",
        "true ? true : 1 / 0 == 1",
    ]);
    assert_failures(&[
        ("1 / 0 == 1 || 1 % 0 == 1", "division by zero"),
        ("true && 1 / 0 == 1", "division by zero"),
        ("1 / 0 == 1 && true", "division by zero"),
        ("[0, 1].all(x, 1 / x == 1)", "division by zero"),
        ("1 / 0 == 1 ? true : true", "division by zero"),
    ]);
}

#[test]
fn values_are_converted() {
    assert_all_hold(&[
        "int('-5') == -5 && int(5u) == 5 && int(5.9) == 5 && int(-5.9) == -5",
        "int(timestamp(7)) == 7 && int(duration('1us')) == 1000",
        "uint('5') == 5u && uint(5) == 5u && uint(5.9) == 5u",
        "double('1.5') == 1.5 && double(2) == 2.0 && double(2u) == 2.0",
        "string(1) == '1' && string(1u) == '1' && string(true) == 'true'",
        "string(1.5) == '1.5' && string(1e6) == '1e+06' && string(0.0001) == '0.0001'",
        "string(0.00001) == '1e-05' && string(123456.0) == '123456'",
        "string(b'a') == 'a' && bytes('a') == b'a' && string(duration('90s')) == '90s'",
        "string(_flow.time) == '2023-11-14T22:13:20.25Z'",
        "bool('true') && !bool('F')",
        "timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
        "type(1) == int && type('a') == string && type([]) == list && type({}) == map",
        "type(_flow) == flow.Flow && type(null) == null_type && type(int) == type",
        "type(_flow.time) == google.protobuf.Timestamp && type(_flow.is_reply) == bool",
    ]);
    assert_failures(&[
        (
            "int('x') == 1",
            "type conversion error from 'string' to 'int'",
        ),
        (
            "uint('+1') == 1u",
            "type conversion error from 'string' to 'uint'",
        ),
        (
            "double('1e999') == 1.0",
            "type conversion error from 'string' to 'double'",
        ),
        (
            "bool('yes')",
            "type conversion error from 'string' to 'bool'",
        ),
        (
            "string(b'\\xff') == ''",
            "type conversion error from 'bytes' to 'string'",
        ),
        (
            "timestamp('x') == _flow.time",
            "type conversion error from 'string' to 'google.protobuf.Timestamp'",
        ),
        (
            "duration('1') == duration('1s')",
            "type conversion error from 'string' to 'google.protobuf.Duration'",
        ),
        ("int(9223372036854775808u) == 1", "integer overflow"),
        ("int(1e19) == 1", "integer overflow"),
        ("uint(-1) == 1u", "unsigned integer overflow"),
        (
            "timestamp(253402300800) == _flow.time",
            "timestamp overflow",
        ),
    ]);
}

#[test]
fn times_are_taken_apart() {
    assert_all_hold(&[
        "_flow.time.getFullYear() == 2023 && _flow.time.getMonth() == 10",
        "_flow.time.getDate() == 14 && _flow.time.getDayOfMonth() == 13",
        "_flow.time.getHours() == 22 && _flow.time.getHours('+02:00') == 0",
        "_flow.time.getMilliseconds() == 250 && _flow.time.getDayOfWeek('UTC') == 2",
        "duration('90m').getHours() == 1 && duration('90m').getMinutes() == 90",
    ]);
    assert_failures(&[(
        "_flow.time.getHours('Nowhere') == 0",
        "unknown time zone Nowhere",
    )]);
}

#[test]
fn the_flow_is_made_once_for_all_expressions() {
    let failures = Failures::default();
    let subject = Subject::new(&failures);
    let expressions = ["false", "_flow.verdict == 2"].map(|it| compile(it).unwrap());
    assert!(subject.matches(&expressions, || Cow::Owned(flow())));
    assert!(subject.matches(&expressions, || panic!("made again")));
}

#[test]
fn an_expression_that_fails_ends_the_search() {
    let failures = Failures::default();
    let subject = Subject::new(&failures);
    let expressions = ["1 / 0 == 1", "true"].map(|it| compile(it).unwrap());
    assert!(!subject.matches(&expressions, || Cow::Owned(flow())));
}
