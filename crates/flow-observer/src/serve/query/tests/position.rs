//! Where an answer begins and ends: by number and by time.

use super::*;

#[tokio::test]
async fn last_counts_matching_flows_from_the_newest() {
    let ring = ring(100, 1..=10);
    let last = |number| GetFlowsRequest {
        number,
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&ring, last(3)).await, [8, 9, 10]);
    assert_eq!(answer(&ring, last(50)).await, Vec::from_iter(1..=10));
    let request = GetFlowsRequest {
        whitelist: dropped(),
        ..last(2)
    };
    assert_eq!(answer(&ring, request).await, [6, 9]);
}

#[tokio::test]
async fn no_number_means_everything_in_the_ring() {
    assert_eq!(
        answer(&ring(4, 1..=10), GetFlowsRequest::default()).await,
        [7, 8, 9, 10]
    );
    assert_eq!(
        answer(&ring(4, []), GetFlowsRequest::default()).await,
        Vec::<i64>::new()
    );
}

#[tokio::test]
async fn a_large_range_is_scanned_ahead_and_comes_in_order() {
    let seconds = |keep: fn(&i64) -> bool| Vec::from_iter((1..=10_000).filter(keep));
    let ring = Arc::new(FlowRing::new(16_383));
    for chunk in Vec::from_iter(1..=10_000).chunks(700) {
        ring.publish(&mut chunk.iter().copied().map(flow).collect());
    }
    let all = GetFlowsRequest::default();
    let drops = GetFlowsRequest {
        whitelist: dropped(),
        ..all.clone()
    };
    let first = |number| GetFlowsRequest {
        number,
        first: true,
        ..drops.clone()
    };
    let until = GetFlowsRequest {
        until: at(9_000),
        ..drops.clone()
    };
    // A second time, since then the bytes are there already.
    for _ in 0..2 {
        assert_eq!(
            answer(&ring, drops.clone()).await,
            seconds(|it| it % 3 == 0)
        );
        assert_eq!(answer(&ring, all.clone()).await, seconds(|_| true));
        let some = answer(&ring, first(1_500)).await;
        assert_eq!(some, seconds(|it| it % 3 == 0 && *it <= 4_500));
        assert_eq!(answer(&ring, first(3)).await, [3, 6, 9]);
        let early = answer(&ring, until.clone()).await;
        assert_eq!(early, seconds(|it| it % 3 == 0 && *it <= 9_000));
    }
}

#[tokio::test]
async fn first_counts_from_the_oldest() {
    let request = GetFlowsRequest {
        number: 2,
        first: true,
        blacklist: dropped(),
        ..Default::default()
    };
    assert_eq!(answer(&ring(8, 1..=10), request).await, [4, 5]);
}

#[tokio::test]
async fn since_and_until_are_inclusive_and_number_counts_from_since() {
    let ring = ring(100, 1..=10);
    let between = GetFlowsRequest {
        since: at(4),
        until: at(6),
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&ring, between.clone()).await, [4, 5, 6]);
    let two = GetFlowsRequest {
        number: 2,
        ..between
    };
    assert_eq!(answer(&ring, two).await, [4, 5]);
    let future = GetFlowsRequest {
        since: at(99),
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&ring, future).await, Vec::<i64>::new());
}
