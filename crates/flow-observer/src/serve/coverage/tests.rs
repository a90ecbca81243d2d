//! Which time an answer covers.

use super::*;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// A ring that holds everything from second 100 on, asked at second 180 and done at 200.
fn covered(request: GetFlowsRequest, delivered: &[i64]) -> (i64, i64) {
    const SECOND: i64 = 1_000_000_000;
    let begun = Begun {
        since: request.since,
        until: request.until,
        number: request.number,
        first: request.first,
        follow: request.follow,
        began_ns: 180 * SECOND,
        held_from_ns: 100 * SECOND,
        oldest_ns: Some(100 * SECOND),
    };
    let times = delivered.first().zip(delivered.last());
    let tally = Tally {
        delivered: delivered.len() as u64,
        times_ns: times.map(|(first, last)| (first * SECOND, last * SECOND)),
        overtaken: 0,
        is_limited: !request.follow && delivered.len() as u64 == request.number,
    };
    let (from_ns, to_ns) = begun.covered(tally, 200 * SECOND);
    (from_ns / SECOND, to_ns / SECOND)
}

#[test]
fn what_is_asked_for_is_covered_as_far_as_it_is_held_and_has_happened() {
    let since_until = |since, until| GetFlowsRequest {
        since: at(since),
        until,
        ..GetFlowsRequest::default()
    };
    assert_eq!(covered(since_until(150, None), &[160]), (150, 200));
    assert_eq!(covered(since_until(50, at(120)), &[]), (100, 120));
    assert_eq!(covered(since_until(150, at(900)), &[]), (150, 200));
    assert_eq!(covered(since_until(10, at(20)), &[]), (20, 20), "nothing");
}

#[test]
fn a_number_ends_what_is_covered_at_the_side_that_it_counts_to() {
    let number = GetFlowsRequest {
        number: 2,
        ..GetFlowsRequest::default()
    };
    let first = GetFlowsRequest {
        first: true,
        ..number.clone()
    };
    let since = GetFlowsRequest {
        since: at(120),
        ..number.clone()
    };
    assert_eq!(covered(number.clone(), &[170, 190]), (170, 200));
    assert_eq!(covered(number, &[170]), (100, 200), "that is all there is");
    assert_eq!(covered(first, &[101, 110]), (100, 110));
    assert_eq!(covered(since, &[121, 130]), (120, 130));
}

#[test]
fn a_follow_covers_what_comes_after_it_began() {
    let follow = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let with_last = GetFlowsRequest {
        number: 1,
        ..follow.clone()
    };
    assert_eq!(covered(follow, &[185]), (180, 200));
    assert_eq!(covered(with_last, &[170, 185]), (170, 200));
}
