//! What is refused before there is a flow, and in which words.

use super::{assert_all_hold, assert_mistakes, compile};

#[test]
fn names_are_looked_up_in_the_package_of_the_flow_first() {
    assert_all_hold(&[
        "Verdict.DROPPED == 2 && flow.Verdict.DROPPED == 2 && .flow.Verdict.DROPPED == 2",
        "Tunnel.Protocol.GENEVE == 2",
        "Flow{verdict: Verdict.AUDIT}.verdict == 4 && .flow.Flow{} == Flow{}",
        "[1].all(Verdict, Verdict == 1)",
    ]);
    assert_mistakes(&[
        (
            "flow.verdict == 1",
            "1:1: undeclared reference to 'flow' (in container 'flow')",
        ),
        (
            "nope",
            "1:1: undeclared reference to 'nope' (in container 'flow')",
        ),
        (
            "f(_flow)",
            "1:2: undeclared reference to 'f' (in container 'flow')",
        ),
        (
            "_flow.f()",
            "1:8: undeclared reference to 'f' (in container 'flow')",
        ),
        (
            "Nope{} == null",
            "1:5: undeclared reference to 'Nope' (in container 'flow')",
        ),
        ("_flow.nope == 1", "1:6: undefined field 'nope'"),
        ("has(_flow.nope)", "1:4: undefined field 'nope'"),
        (
            "_flow.verdict.nope",
            "1:14: type 'int' does not support field selection",
        ),
    ]);
}

#[test]
fn the_result_must_be_yes_or_no() {
    assert_mistakes(&[
        ("_flow.verdict", r#"got "int", wanted "bool" result type"#),
        ("'text'", r#"got "string", wanted "bool" result type"#),
        (
            "_flow.is_reply",
            r#"got "wrapper(bool)", wanted "bool" result type"#,
        ),
        ("dyn(true)", r#"got "dyn", wanted "bool" result type"#),
        ("null", r#"got "null_type", wanted "bool" result type"#),
        (
            "_flow.time",
            r#"got "google.protobuf.Timestamp", wanted "bool" result type"#,
        ),
        (
            "_flow.source",
            r#"got "flow.Endpoint", wanted "bool" result type"#,
        ),
        ("[]", r#"got "list(dyn)", wanted "bool" result type"#),
        (
            "{'a': [1]}",
            r#"got "map(string, list(int))", wanted "bool" result type"#,
        ),
        ("int", r#"got "type(int)", wanted "bool" result type"#),
    ]);
}

#[test]
fn calls_must_fit_an_overload() {
    assert_mistakes(&[
        (
            "1 == 1u",
            "1:3: found no matching overload for '_==_' applied to '(int, uint)'",
        ),
        (
            "1 < 1.0",
            "1:3: found no matching overload for '_<_' applied to '(int, double)'",
        ),
        (
            "1 + 1u == 2",
            "1:3: found no matching overload for '_+_' applied to '(int, uint)'",
        ),
        (
            "1 && true",
            "1:3: found no matching overload for '_&&_' applied to '(int, bool)'",
        ),
        (
            "!1",
            "1:1: found no matching overload for '!_' applied to '(int)'",
        ),
        (
            "-1u == 1u",
            "1:1: found no matching overload for '-_' applied to '(uint)'",
        ),
        (
            "true ? 1 : 'a'",
            "1:6: found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        (
            "1 in ['a']",
            "1:3: found no matching overload for '@in' applied to '(int, list(string))'",
        ),
        (
            "_flow.verdict.startsWith('a')",
            "1:25: found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        (
            "size(1) == 1",
            "1:5: found no matching overload for 'size' applied to '(int)'",
        ),
        (
            "[1]['a'] == 1",
            "1:4: found no matching overload for '_[_]' applied to '(list(int), string)'",
        ),
        (
            "_flow.time > duration('1s')",
            "1:12: found no matching overload for '_>_' applied to '(timestamp, duration)'",
        ),
        (
            "_flow == 1",
            "1:7: found no matching overload for '_==_' applied to '(flow.Flow, int)'",
        ),
        (
            "1 == null",
            "1:3: found no matching overload for '_==_' applied to '(int, null)'",
        ),
        (
            "_flow.is_reply == 1",
            "1:16: found no matching overload for '_==_' applied to '(wrapper(bool), int)'",
        ),
        (
            "[1].all(x, x)",
            "1:8: found no matching overload for '_&&_' applied to '(bool, int)'",
        ),
        (
            "1.all(x, true)",
            "1:1: expression of type 'int' cannot be range of a comprehension (must be list, map, \
             or dynamic)",
        ),
        (
            "Endpoint{namespace: 1} == null",
            "1:19: expected type of field 'namespace' is 'string' but provided type is 'int'",
        ),
        ("Endpoint{nope: 1} == null", "1:14: undefined field 'nope'"),
        (
            "Verdict.DROPPED{} == null",
            "1:16: 'Verdict.DROPPED' is not a message type",
        ),
        (
            "[].all(x, x.all(y, y == x)) && 1",
            "1:29: found no matching overload for '_&&_' applied to '(bool, int)'",
        ),
    ]);
}

#[test]
fn all_mistakes_are_told() {
    let error = compile("a ||\n  1 < b").unwrap_err().to_string();
    assert_eq!(
        error,
        "error compiling CEL expression: ERROR: <input>:1:1: undeclared reference to 'a' (in \
         container 'flow')\n | a ||\n | ^\nERROR: <input>:2:7: undeclared reference to 'b' (in \
         container 'flow')\n |   1 < b\n | ......^"
    );
}
