//! Requests against a ring that has much to go through, or is faster than they are.

use std::{pin::pin, task::Poll};

use flow_api::{
    flow::{Flow, FlowFilter},
    frames::Frames,
    observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
};
use futures::poll;
use prost::Message as _;
use prost_types::FieldMask;

use super::{
    tests::{flow, response, start},
    *,
};
use crate::ring::Message;

/// Filters that match no flow of [`flow`]: one whose groups can be told apart, and one that has to
/// look at each.
fn nothing() -> [FlowFilter; 2] {
    [
        FlowFilter {
            source_identity: vec![999],
            ..FlowFilter::default()
        },
        FlowFilter {
            source_pod: vec!["default/nobody".to_owned()],
            ..FlowFilter::default()
        },
    ]
}

#[tokio::test(start_paused = true)]
async fn a_follower_of_nothing_that_comes_is_told_exactly_what_it_missed() {
    for filter in nothing() {
        let ring = Arc::new(FlowRing::new(100));
        let request = GetFlowsRequest {
            follow: true,
            whitelist: vec![filter],
            ..GetFlowsRequest::default()
        };
        let (node, shutdown) = (Arc::default(), CancellationToken::new());
        let kind = Kind::Flows;
        let mut query =
            Query::new(kind, &request, Arc::clone(&ring), node, shutdown.clone()).unwrap();
        let lost = async |query: &mut Query| match response(query).await?.response_types {
            Some(ResponseTypes::LostEvents(lost)) => Some(lost.num_events_lost),
            other => panic!("{other:?}"),
        };
        ring.publish(&mut (0..1_000).map(flow).collect());
        assert_eq!(lost(&mut query).await, Some(900));
        // The agent ends before it would be told again.
        ring.publish(&mut (0..250).map(flow).collect());
        shutdown.cancel();
        assert_eq!(lost(&mut query).await, Some(150));
        let status = query.next_frames().await.unwrap().unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unavailable);
        assert_eq!(query.tally().overtaken, 1_050);
    }
}

#[tokio::test]
async fn a_search_for_the_beginning_gives_way_to_others() {
    let ring = Arc::new(FlowRing::new(16_383));
    ring.publish(&mut (0..10_000).map(flow).collect());
    for filter in nothing() {
        let request = GetFlowsRequest {
            number: 1,
            whitelist: vec![filter],
            ..GetFlowsRequest::default()
        };
        let mut query = start(&ring, &request).unwrap();
        let mut search = pin!(query.next_frames());
        for _ in 0..10_000 / crate::ring::MAX_BATCH {
            assert!(matches!(poll!(&mut search), Poll::Pending));
        }
        assert!(search.await.is_none());
    }
}

#[tokio::test]
async fn what_is_found_and_not_sent_yet_is_bounded_in_bytes() {
    const FLOWS: u64 = 2_500;
    const BYTES: usize = 8_000;
    // A scan's, and the group with which it went beyond it.
    const MOST: usize = (1 << 20) + crate::encode::GROUP * (BYTES + 500);
    let giant = |number: u64| {
        let flow = Flow {
            uuid: "x".repeat(BYTES),
            node_name: number.to_string(),
            ..Flow::default()
        };
        Event::Message(Message {
            time_ns: number as i64,
            message: Box::new(flow),
        })
    };
    let ring = Arc::new(FlowRing::new(4_095));
    ring.publish(&mut (0..FLOWS).map(giant).collect());
    let all = GetFlowsRequest::default();
    let masked = GetFlowsRequest {
        field_mask: Some(FieldMask {
            paths: vec!["uuid".to_owned(), "node_name".to_owned()],
        }),
        ..all.clone()
    };
    // Reads on the spot: what it asks for can be told of a group.
    let follow = GetFlowsRequest {
        follow: true,
        number: FLOWS,
        whitelist: vec![FlowFilter {
            verdict: vec![0],
            ..FlowFilter::default()
        }],
        ..all.clone()
    };
    for request in [all, masked, follow] {
        let mut query = start(&ring, &request).unwrap();
        let mut seen = 0;
        while seen < FLOWS {
            let frames = query.next_frames().await.unwrap().unwrap();
            let waiting: usize = query.ready.iter().map(Bytes::len).sum();
            assert!(frames.len() + waiting <= MOST, "{} {waiting}", frames.len());
            for response in Frames::new(frames) {
                let response = GetFlowsResponse::decode(response).unwrap();
                let Some(ResponseTypes::Flow(flow)) = response.response_types else {
                    panic!("no flow");
                };
                assert_eq!(flow.node_name, seen.to_string());
                seen += 1;
            }
        }
    }
}
