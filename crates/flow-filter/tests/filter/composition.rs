//! Lists and fields together.

use std::slice;

use flow_api::flow::{Flow, FlowFilter, Verdict, flow_filter::Experimental};
use flow_filter::Filter;

use crate::flows::{filter, flow, response, strings, tcp, with_l4};

fn verdicts(verdicts: &[Verdict]) -> FlowFilter {
    filter(|filter| filter.verdict = verdicts.iter().map(|verdict| i32::from(*verdict)).collect())
}

fn with_verdict(verdict: Verdict) -> Flow {
    flow(|flow| flow.verdict = verdict.into())
}

fn decide(allow: &[FlowFilter], deny: &[FlowFilter], flow: &Flow) -> bool {
    Filter::compile(allow, deny).unwrap().matches(flow)
}

#[test]
fn no_lists_match_everything() {
    assert!(decide(&[], &[], &Flow::default()));
    assert!(Filter::default().matches(&Flow::default()));
}

#[test]
fn an_empty_filter_matches_everything() {
    let empty = FlowFilter::default();
    assert!(decide(
        &[verdicts(&[Verdict::Dropped]), empty.clone()],
        &[],
        &Flow::default()
    ));
    assert!(!decide(&[], &[empty], &Flow::default()));
}

#[test]
fn filters_of_a_list_are_alternatives() {
    let allow = [verdicts(&[Verdict::Dropped]), verdicts(&[Verdict::Audit])];
    assert!(decide(&allow, &[], &with_verdict(Verdict::Dropped)));
    assert!(decide(&allow, &[], &with_verdict(Verdict::Audit)));
    assert!(!decide(&allow, &[], &with_verdict(Verdict::Forwarded)));
    assert!(!decide(&[], &allow, &with_verdict(Verdict::Audit)));
    assert!(decide(&[], &allow, &with_verdict(Verdict::Forwarded)));
}

#[test]
fn fields_of_a_filter_must_all_match() {
    let dropped_to_53 = filter(|filter| {
        filter.verdict = vec![Verdict::Dropped.into()];
        filter.destination_port = strings(&["53"]);
    });
    let mut flow = with_l4(tcp(1, 53));
    assert!(!decide(std::slice::from_ref(&dropped_to_53), &[], &flow));
    flow.verdict = Verdict::Dropped.into();
    assert!(decide(&[dropped_to_53], &[], &flow));
}

#[test]
fn values_of_a_field_are_alternatives() {
    let either = verdicts(&[Verdict::Dropped, Verdict::Audit]);
    assert!(decide(
        std::slice::from_ref(&either),
        &[],
        &with_verdict(Verdict::Audit)
    ));
    assert!(!decide(&[either], &[], &with_verdict(Verdict::Forwarded)));
}

#[test]
fn deny_wins_over_allow() {
    let dropped = verdicts(&[Verdict::Dropped]);
    let to_53 = filter(|filter| filter.destination_port = strings(&["53"]));
    let mut flow = with_verdict(Verdict::Dropped);
    assert!(decide(
        std::slice::from_ref(&dropped),
        std::slice::from_ref(&to_53),
        &flow
    ));
    flow.l4 = with_l4(tcp(1, 53)).l4;
    assert!(!decide(&[dropped], &[to_53], &flow));
}

#[test]
fn a_filter_knows_that_it_takes_everything() {
    let empty = FlowFilter::default();
    let dropped = verdicts(&[Verdict::Dropped]);
    for (allow, deny, expected) in [
        (vec![], vec![], true),
        (vec![dropped.clone()], vec![], false),
        (vec![dropped.clone(), empty.clone()], vec![], true),
        (vec![], vec![dropped], false),
        (vec![], vec![empty], false),
    ] {
        assert_eq!(
            Filter::compile(&allow, &deny).unwrap().matches_everything(),
            expected
        );
    }
}

#[test]
fn expressions_are_a_field_like_others() {
    let dropped_and = |expressions: &[&str]| FlowFilter {
        experimental: Some(Experimental {
            cel_expression: strings(expressions),
        }),
        ..verdicts(&[Verdict::Dropped])
    };
    let flow = Flow {
        uuid: "u".to_owned(),
        ..with_verdict(Verdict::Dropped)
    };
    let is_u = dropped_and(&["_flow.uuid == 'x'", "_flow.uuid == 'u'"]);
    let is_x = dropped_and(&["_flow.uuid == 'x'"]);
    let fails = dropped_and(&["1 / 0 == 0", "true"]);
    assert!(decide(slice::from_ref(&is_u), &[], &flow));
    assert!(!decide(
        slice::from_ref(&is_u),
        &[],
        &with_verdict(Verdict::Forwarded)
    ));
    assert!(!decide(slice::from_ref(&is_x), &[], &flow));
    assert!(!decide(slice::from_ref(&fails), &[], &flow));
    assert!(decide(&[dropped_and(&[])], &[fails, is_x], &flow));
    assert!(!decide(&[], slice::from_ref(&is_u), &flow));
    let filter = Filter::compile(&[is_u], &[]).unwrap();
    assert!(filter.matches(&response(flow)));
}
