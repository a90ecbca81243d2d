//! Requests that go on with what happens.

use tokio::time::timeout;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_follow_goes_on_after_the_flow_that_was_named_whatever_the_clock_did() {
    let ring = ring(100, [9, 10, 11, 11, 12, 5, 6, 9]);
    let after = async |seconds, count, whitelist| {
        let request = GetFlowsRequest {
            follow: true,
            whitelist,
            // It does not hold.
            since: at(11),
            ..GetFlowsRequest::default()
        };
        let time = at(seconds).unwrap();
        let query = start(&ring, &request).unwrap();
        let mut query = query.going_on_after(Some(After { time, count }));
        let mut seen = Vec::new();
        let second = Duration::from_secs(1);
        while let Ok(response) = timeout(second, response(&mut query)).await {
            seen.push(response.unwrap().time.unwrap().seconds);
        }
        seen
    };
    assert_eq!(after(12, 1, vec![]).await, [5, 6, 9]);
    assert_eq!(after(11, 1, vec![]).await, [11, 12, 5, 6, 9]);
    assert_eq!(after(11, 2, vec![]).await, [12, 5, 6, 9]);
    assert_eq!(after(9, 1, dropped()).await, [0; 0]);
    assert_eq!(after(12, 1, dropped()).await, [6, 9]);
    // It is gone, so that all else came later.
    let all = [9, 10, 11, 11, 12, 5, 6, 9];
    assert_eq!(after(8, 1, vec![]).await, all);
}

#[tokio::test(start_paused = true)]
async fn a_follow_begins_now_and_shows_each_flow_at_once() {
    let ring = ring(100, 1..=3);
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut query = start(&ring, &request).unwrap();
    ring.publish(&mut vec![flow(4)]);
    assert_eq!(response(&mut query).await.unwrap().time, at(4));
    let waiting = timeout(Duration::from_secs(60), next(&mut query)).await;
    assert!(waiting.is_err(), "a follow does not end by itself");
    ring.publish(&mut vec![flow(5)]);
    assert_eq!(response(&mut query).await.unwrap().time, at(5));
}

#[tokio::test]
async fn a_follow_with_a_number_begins_with_the_last_ones_and_goes_on() {
    let ring = ring(100, 1..=3);
    let request = GetFlowsRequest {
        follow: true,
        number: 2,
        ..GetFlowsRequest::default()
    };
    let mut query = start(&ring, &request).unwrap();
    ring.publish(&mut vec![flow(4)]);
    for second in 2..=4 {
        assert_eq!(response(&mut query).await.unwrap().time, at(second));
    }
}

#[tokio::test]
async fn a_follow_ends_when_until_has_passed_although_nothing_happens() {
    let ring = ring(4, 1..=3);
    let request = GetFlowsRequest {
        follow: true,
        number: 9,
        until: at(2),
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&ring, request.clone()).await, [1, 2]);
    let quiet = GetFlowsRequest {
        number: 0,
        ..request
    };
    assert_eq!(answer(&ring, quiet.clone()).await, Vec::<i64>::new());

    // Nor does it go on for telling how far it is.
    let often = Some(Duration::from_millis(10));
    let mut telling = start(&ring, &quiet).unwrap().telling_progress(often);
    let all = async { while telling.next_frames().await.is_some() {} };
    timeout(Duration::from_secs(20), all)
        .await
        .expect("it ends");
}

#[tokio::test]
async fn a_closing_agent_ends_follows_with_a_status() {
    let ring = ring(4, 1..=3);
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let shutdown = CancellationToken::new();
    let node = Arc::new(NodeFacts::default());
    let mut query = Query::new(Kind::Flows, &request, ring, node, shutdown.clone()).unwrap();
    shutdown.cancel();
    let status = next(&mut query).await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_how_far_a_follow_is_while_there_is_nothing_to_send() {
    let ring = ring(100, 1..=3);
    let interval = Duration::from_millis(20);
    let follow = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let query = start(&ring, &follow).unwrap();
    let mut query = query.telling_progress(Some(interval));
    let begun = Instant::now();
    let told = response(&mut query).await.unwrap();
    assert_eq!(begun.elapsed(), interval);
    assert_eq!((told.response_types, &*told.node_name), (None, "node-1"));
    // Not quite until now: what has just happened may not be in the ring.
    let time = |time: Timestamp| (time.seconds, time.nanos);
    assert!(time(told.time.unwrap()) < time(crate::encode::timestamp(now_ns())));
    ring.publish(&mut vec![flow(4)]);
    assert_eq!(response(&mut query).await.unwrap().time, at(4));
    assert_eq!(begun.elapsed(), interval, "a flow waits for nothing");
    assert_eq!(response(&mut query).await.unwrap().response_types, None);
    assert_eq!(begun.elapsed(), interval * 2);

    // Nor further than whoever fills the ring has come.
    assert!(ring.horizon().is_asked_for());
    ring.horizon().reach(5_000_000_000);
    assert_eq!(response(&mut query).await.unwrap().time, at(5));
    drop(query);
    assert!(!ring.horizon().is_asked_for());

    let all = GetFlowsRequest::default();
    let mut finite = start(&ring, &all).unwrap().telling_progress(Some(interval));
    while let Some(response) = response(&mut finite).await {
        assert!(response.response_types.is_some());
    }
}
