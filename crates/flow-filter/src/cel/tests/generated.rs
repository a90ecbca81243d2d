//! Expressions that nobody wrote by hand: none makes a filter panic.

use flow_api::flow::Flow;
use proptest::prelude::*;
use proptest::sample::select;

use super::{compile, flow, value};
use crate::cel::ExpressionError;

/// An expression that is a bool, in which nothing has a wrong type.
pub(in crate::cel) fn any_question() -> BoxedStrategy<String> {
    let leaf = select(vec![
        "true",
        "has(_flow.l7)",
        "_flow.l4.TCP.flags.SYN",
        "_flow.verdict == Verdict.DROPPED",
        "_flow.source == _flow.destination",
        "_flow == Flow{}",
        "1 / 0 == 1",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(5, 48, 4, |inner| {
            let question = inner.clone();
            let int = (question.clone(), any_int(), any_int())
                .prop_map(|(question, one, other)| format!("({question} ? {one} : {other})"))
                .boxed();
            let text = (question.clone(), any_text(), any_text())
                .prop_map(|(question, one, other)| format!("({question} ? {one} : {other})"))
                .boxed();
            prop_oneof![
                (
                    inner.clone(),
                    select(vec!["&&", "||", "==", "!=", "<"]),
                    inner.clone()
                )
                    .prop_map(|(one, operator, other)| format!("(({one}) {operator} ({other}))")),
                inner.clone().prop_map(|question| format!("!({question})")),
                (int.clone(), select(vec!["==", "<", ">=", "!="]), any_int())
                    .prop_map(|(one, operator, other)| format!("{one} {operator} {other}")),
                (
                    text.clone(),
                    select(vec!["contains", "startsWith", "endsWith", "matches"]),
                    any_text()
                )
                    .prop_map(|(one, function, other)| format!("{one}.{function}({other})")),
                (
                    any_list(),
                    select(vec!["all", "exists", "exists_one"]),
                    inner.clone()
                )
                    .prop_map(|(list, function, question)| {
                        format!("{list}.{function}(x, x != ({question}) || x == true)")
                    }),
                (int, inner.clone())
                    .prop_map(|(int, question)| format!("[{question}, true][{int}]")),
                (text, inner).prop_map(|(text, question)| format!("{{{text}: {question}}}['a']")),
            ]
        })
        .boxed()
}

fn any_int() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        select(vec![
            "0",
            "_flow.verdict",
            "size(_flow.source.labels)",
            "int(_flow.source.identity)",
            "_flow.time.getHours('+01:00')",
            "int(_flow.time - timestamp(0))",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), select(vec!["+", "-", "*", "/", "%"]), inner)
            .prop_map(|(one, operator, other)| format!("(({one}) {operator} ({other}))"))
    })
    .boxed()
}

fn any_text() -> BoxedStrategy<String> {
    let leaf = select(vec![
        "'a'",
        "'('",
        "_flow.source.namespace",
        "_flow.source.labels[0]",
        "string(_flow.time)",
        "string(_flow.source.identity)",
        "string(1.5)",
    ]);
    leaf.prop_map(str::to_owned)
        .prop_recursive(3, 8, 2, |inner| {
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one} + {other})"))
        })
        .boxed()
}

fn any_list() -> BoxedStrategy<String> {
    select(vec![
        "[true, false]",
        "[1, 2].map(y, y == 1)",
        "_flow.source.labels.map(l, l.contains('a'))",
        "[[true], [false]].filter(y, y[0])[0]",
        "{true: 1}.map(k, k)",
    ])
    .prop_map(str::to_owned)
    .boxed()
}

proptest! {
    #[test]
    fn no_text_panics(expression in r#"(_flow|[abx0-9u.'"\[\]{}()?:+*/%!=<>&|, -]|in|has|size|map|all){0,16}"#) {
        drop(compile(&expression));
    }

    #[test]
    fn what_makes_sense_is_evaluated(expression in any_question()) {
        for flow in [flow(), Flow::default()] {
            match compile(&expression) {
                Ok(_) => drop(value(&expression, &flow)),
                Err(ExpressionError::InvalidRegexp(_)) => {}
                Err(error) => prop_assert!(false, "{expression}: {error}"),
            }
        }
    }
}
