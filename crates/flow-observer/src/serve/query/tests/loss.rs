//! What a reader is told of events that it missed.

use flow_api::flow::LostEventSource;

use super::*;
use crate::ring::{Lost, MAX_BATCH, ReaderKind};

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_a_bounded_part_of_the_ring() {
    let ring = Arc::new(FlowRing::new(16_383));
    ring.publish(&mut (1..=10_000).map(flow).collect());
    let mut query = start(&ring, &GetFlowsRequest::default()).unwrap();
    assert_eq!(response(&mut query).await.unwrap().time, at(1));
    assert!(query.position <= 8 * MAX_BATCH as u64, "{}", query.position);
    // What was overtaken meanwhile is told as lost, and what was ahead is not.
    ring.publish(&mut (10_001..=40_000).map(flow).collect());
    let (mut flows, mut lost) = (1, 0);
    while let Some(response) = response(&mut query).await {
        match response.response_types {
            Some(ResponseTypes::LostEvents(event)) => lost += event.num_events_lost,
            _ => flows += 1,
        }
    }
    assert_eq!(flows + lost, 40_000);
    assert!(lost > 0);
}

#[tokio::test]
async fn losses_pass_filters_and_count_for_nothing() {
    let ring = FlowRing::new(100);
    let lost = Event::Lost(Lost {
        time_ns: 4 * SECOND,
        count: 17,
        cpu: 1,
    });
    ring.publish(&mut vec![flow(3), lost, flow(5), flow(6)]);
    let request = GetFlowsRequest {
        number: 2,
        whitelist: dropped(),
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&Arc::new(ring), request).await, [3, -17, 6]);
}

#[tokio::test]
async fn a_follow_that_was_overtaken_is_told_how_many_it_missed() {
    let ring = ring(4, 1..=1);
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut query = start(&ring, &request).unwrap();
    for second in 2..=12 {
        ring.publish(&mut vec![flow(second)]);
    }
    let mut seen = Vec::new();
    let mut missed = 0;
    while missed == 0 || seen.len() < 4 {
        match response(&mut query).await.unwrap().response_types {
            Some(ResponseTypes::Flow(flow)) => seen.push(flow.time.unwrap().seconds),
            Some(ResponseTypes::LostEvents(lost)) => {
                assert_eq!(lost.source(), LostEventSource::HubbleRingBuffer);
                missed += lost.num_events_lost;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, missed), (vec![9, 10, 11, 12], 7));
    let reading = ring.readers().of(ReaderKind::Follow, ring.end());
    assert_eq!(reading.missed, 7);
}
