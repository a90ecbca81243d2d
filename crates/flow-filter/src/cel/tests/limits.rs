//! How much an expression may cost.

use std::borrow::Cow;

use super::{compile, flow, value};
use crate::cel::{ExpressionError, Failures, MOST_CHARACTERS, Subject};

#[test]
fn an_expression_may_not_take_long() {
    let numbers = format!("[{}]", vec!["1"; 100].join(","));
    for expression in [
        format!("{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, a + b + c == 3)))"),
        format!("{numbers}.exists(a, {numbers}.exists(b, {numbers}.exists(c, a / 0 == 1)))"),
        format!("[1]{} == dyn([])", ".map(x, [x, x])".repeat(60)),
        format!("['aa']{} == ['a']", ".map(x, x + x)".repeat(60)),
        format!("{numbers}.all(a, {numbers}.all(b, 'aaaaaaaaaaaaaaaaaaaa'.matches('a{{9}}')))"),
        format!("{numbers}.all(a, {numbers}.all(b, 'aaaa'.matches('[^/]{{1,1000}}')))"),
        format!("{numbers}.all(a, {numbers}.all(b, !'a'.matches('a' + string(b))))"),
    ] {
        let error = value(&expression, &flow()).unwrap_err().to_string();
        assert_eq!(error, "the expression takes more than 100000 steps");
    }
}

#[test]
fn types_may_not_be_too_complex() {
    let expression = format!("[1]{} == []", ".map(x, {'k': {x: x}})".repeat(60));
    let error = compile(&expression).unwrap_err().to_string();
    assert!(
        error.contains("the types of this expression are too complex"),
        "{error}"
    );
}

#[test]
fn a_long_expression_is_read_and_a_longer_one_is_not() {
    let one = "_flow.source.identity == 1u";
    let many = vec![one; MOST_CHARACTERS / (one.len() + 4)].join(" || ");
    assert!(compile(&many).is_ok());
    let error = compile(&"a".repeat(MOST_CHARACTERS + 1)).unwrap_err();
    assert_eq!(
        error,
        ExpressionError::TooLong {
            size: MOST_CHARACTERS + 1,
            limit: MOST_CHARACTERS
        }
    );
}

#[test]
fn the_deepest_expressions_fit_a_small_stack() {
    let deepest = [
        format!("{}true{}", "!(!(".repeat(48), "))".repeat(48)),
        format!("{}true{}", "[".repeat(49), "][0]".repeat(49)),
        format!("{}true{}", "dyn(".repeat(97), ")".repeat(97)) + " == true",
        format!("{}true", "true ? true : ".repeat(98)),
        format!("{}true{}", "[1].all(x, ".repeat(97), ")".repeat(97)),
        format!("{}1{}", "{'a': ".repeat(48), "}.a".repeat(48)) + " == 1",
        format!("[1]{} != dyn([])", ".map(x, [x])".repeat(96)),
    ];
    // As the threads have that serve requests.
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let all = thread.spawn(move || {
        for expression in &deepest {
            assert_eq!(value(expression, &flow()), Ok(true), "{expression}");
        }
    });
    all.unwrap().join().unwrap();
}

#[test]
fn few_regular_expressions_may_be_large() {
    let large = |count| vec!["'a'.matches('[^/]{1,1000}')"; count].join(" || ");
    assert!(compile(&large(4)).is_ok());
    let error = compile(&large(5)).unwrap_err().to_string();
    assert!(error.contains("takes more than 65536 bytes"), "{error}");
    let small = vec!["'a'.matches('^k8s:[a-z]+')"; 100].join(" || ");
    assert!(compile(&small).is_ok());
}

#[test]
fn ten_thousand_expressions_of_a_few_steps_are_all_asked() {
    let mut texts = vec!["_flow.source.identity == 1u".to_owned(); 10_000];
    texts.push("_flow.source.identity == 7u".to_owned());
    let expressions: Vec<_> = texts.iter().map(|text| compile(text).unwrap()).collect();
    let failures = Failures::default();
    let subject = Subject::new(&failures);
    assert!(subject.matches(&expressions, || Cow::Owned(flow())));
}

#[test]
fn the_steps_of_a_flow_are_for_all_expressions() {
    let numbers = format!("[{}]", vec!["1"; 100].join(","));
    let long = format!("{numbers}.exists(a, {numbers}.exists(b, b == 2))");
    let expressions = [long.as_str(), "true"].map(|text| compile(text).unwrap());
    let failures = Failures::default();
    let subject = Subject::new(&failures);
    let times = (0..100).take_while(|_| subject.matches(&expressions, || Cow::Owned(flow())));
    assert!((4..20).contains(&times.count()));
}
