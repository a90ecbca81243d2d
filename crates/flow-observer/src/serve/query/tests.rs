//! What a request gets from the ring.

use std::{net::IpAddr, time::Duration};

use flow_api::{
    flow::{FlowFilter, LostEventSource, Verdict, flow_filter::Experimental},
    frames::Frames,
    observer::{GetAgentEventsResponse, GetFlowsResponse, get_flows_response::ResponseTypes},
};
use probe_events::{TracePoint, TraceReason};
use prost::Message as _;
use prost_types::FieldMask;
use tokio::time::timeout;

use super::*;
use crate::{
    enrich::{
        Directory, Inventory,
        facts::{Change, Fact, NodeFact, Provider},
    },
    record::{Counts, FlowRecord, Ip, KernelDrop, Observation, PacketHeaders, Party, Transport},
    ring::{Lost, MAX_BATCH},
};

const SECOND: i64 = 1_000_000_000;

/// A flow at a second, from 10.0.0.SECOND; every third is a drop.
pub(super) fn flow(second: i64) -> Event {
    let observation = if second % 3 == 0 {
        Observation::KernelDrop(Arc::new(KernelDrop {
            code: 133,
            reason: "NETFILTER_DROP".into(),
            function: None,
            netns_inode: 0,
        }))
    } else {
        Observation::Trace {
            point: TracePoint::FromEndpoint,
            reason: TraceReason::New,
            encrypted: false,
        }
    };
    Event::Flow(FlowRecord {
        time_ns: second * SECOND,
        uuid: second as u128,
        observation,
        packet: PacketHeaders {
            ip: Some(Ip {
                source: IpAddr::from([10, 0, 0, second as u8]),
                destination: IpAddr::from([10, 0, 1, 1]),
            }),
            transport: Some(Transport::Udp {
                source_port: 1000,
                destination_port: 53,
            }),
            ..PacketHeaders::default()
        },
        source: Party {
            identity: 7,
            ..Party::default()
        },
        destination: Party::default(),
        direction: flow_api::flow::TrafficDirection::Egress,
        tunnel: None,
        interface: None,
        socket_cookie: 0,
        counts: Counts::default(),
        process: None,
        translation: None,
        rare: None,
    })
}

fn ring(capacity: usize, seconds: impl IntoIterator<Item = i64>) -> Arc<FlowRing> {
    let ring = FlowRing::new(capacity);
    for second in seconds {
        ring.publish(&mut vec![flow(second)]);
    }
    Arc::new(ring)
}

pub(super) fn start(ring: &Arc<FlowRing>, request: &GetFlowsRequest) -> Result<Query, Status> {
    let node = Arc::new(NodeFacts {
        name: "node-1".to_owned(),
        directory: None,
    });
    Query::new(
        Kind::Flows,
        request,
        Arc::clone(ring),
        node,
        CancellationToken::new(),
    )
}

/// The next response. Tests take them one by one, and leave the others where they are.
async fn next(query: &mut Query) -> Option<Result<Bytes, Status>> {
    let frames = match query.next_frames().await? {
        Ok(frames) => frames,
        Err(status) => return Some(Err(status)),
    };
    let mut frames = Frames::new(frames);
    let response = frames.next().unwrap();
    if !frames.rest().is_empty() {
        query.ready.push_front(frames.rest().clone());
    }
    Some(Ok(response))
}

pub(super) async fn response(query: &mut Query) -> Option<GetFlowsResponse> {
    let bytes = next(query).await?.unwrap();
    Some(GetFlowsResponse::decode(bytes).unwrap())
}

/// What a finite request gets: seconds of flows, and `-count` for losses.
async fn answer(ring: &Arc<FlowRing>, request: GetFlowsRequest) -> Vec<i64> {
    let mut query = start(ring, &request).unwrap();
    let mut seen = Vec::new();
    while let Some(response) = response(&mut query).await {
        seen.push(match response.response_types {
            Some(ResponseTypes::Flow(flow)) => flow.time.unwrap().seconds,
            Some(ResponseTypes::LostEvents(lost)) => -(lost.num_events_lost as i64),
            other => panic!("{other:?}"),
        });
    }
    seen
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn dropped() -> Vec<FlowFilter> {
    vec![FlowFilter {
        verdict: vec![Verdict::Dropped.into()],
        ..FlowFilter::default()
    }]
}

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
async fn expressions_ask_about_the_whole_flow() {
    let expression = "_flow.verdict == Verdict.DROPPED && _flow.l4.UDP.destination_port == 53u \
                      && _flow.IP.source != '10.0.0.6'";
    let filter = FlowFilter {
        experimental: Some(Experimental {
            cel_expression: vec![expression.to_owned()],
        }),
        ..FlowFilter::default()
    };
    let request = GetFlowsRequest {
        whitelist: vec![filter],
        ..GetFlowsRequest::default()
    };
    assert_eq!(answer(&ring(100, 1..=10), request).await, [3, 9]);
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
    let waiting = tokio::time::timeout(Duration::from_secs(60), next(&mut query)).await;
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
    tokio::time::timeout(Duration::from_secs(20), all)
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

#[tokio::test]
async fn a_mask_without_time_and_node_leaves_them_out_of_the_response_too() {
    let ring = ring(4, 1..=1);
    let masked = |paths: &[&str]| GetFlowsRequest {
        field_mask: Some(FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        }),
        ..GetFlowsRequest::default()
    };
    let mut query = start(&ring, &masked(&["source.identity"])).unwrap();
    let bare = response(&mut query).await.unwrap();
    assert_eq!((bare.time, bare.node_name.as_str()), (None, ""));
    let Some(ResponseTypes::Flow(flow)) = bare.response_types else {
        panic!("{bare:?}")
    };
    assert_eq!(flow.source.unwrap().identity, 7);
    assert_eq!(flow.ip, None);

    let mut query = start(&ring, &masked(&["time", "node_name"])).unwrap();
    let named = response(&mut query).await.unwrap();
    assert_eq!((named.time, named.node_name.as_str()), (at(1), "node-1"));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_as_hubble_does() {
    let ring = ring(4, []);
    let refused = |request: GetFlowsRequest| start(&ring, &request).err().unwrap();
    let both = refused(GetFlowsRequest {
        first: true,
        follow: true,
        ..Default::default()
    });
    assert_eq!(both.code(), tonic::Code::InvalidArgument);
    assert_eq!(both.message(), "first cannot be specified with follow");

    let mask = FieldMask {
        paths: vec!["nope".to_owned()],
    };
    let mask = refused(GetFlowsRequest {
        field_mask: Some(mask),
        ..Default::default()
    });
    assert_eq!(
        (mask.code(), mask.message()),
        (tonic::Code::Unknown, "invalid fieldmask")
    );

    let filter = FlowFilter {
        source_port: vec!["http".to_owned()],
        ..FlowFilter::default()
    };
    let filter = refused(GetFlowsRequest {
        whitelist: vec![filter],
        ..Default::default()
    });
    assert_eq!(filter.code(), tonic::Code::Unknown);
    assert!(
        filter.message().starts_with("invalid source port filter"),
        "{filter}"
    );
}

#[tokio::test]
async fn the_detail_of_a_request_goes_to_those_who_ask_for_it() {
    let detail = flow_api::palomar::FlowDetail {
        vlan_id: 7,
        ..Default::default()
    };
    let message = flow_api::flow::Flow {
        node_name: "node-1".to_owned(),
        extensions: Some(flow_api::extension::pack(&detail)),
        ..Default::default()
    };
    let ring = Arc::new(FlowRing::new(15));
    ring.publish(&mut vec![Event::Message(crate::ring::Message {
        time_ns: SECOND,
        message: Box::new(message.clone()),
    })]);
    for asks in [false, true] {
        let request = GetFlowsRequest {
            extensions: asks.then(flow_api::extension::ask_for_flow_detail),
            number: 1,
            ..GetFlowsRequest::default()
        };
        let node = Arc::new(NodeFacts::default());
        let (kind, shutdown) = (Kind::of_flows(&request), CancellationToken::new());
        let mut query = Query::new(kind, &request, Arc::clone(&ring), node, shutdown).unwrap();
        let response = response(&mut query).await.unwrap();
        let Some(ResponseTypes::Flow(flow)) = response.response_types else {
            panic!("no flow");
        };
        let expected = message.extensions.clone().filter(|_| asks);
        assert_eq!(flow.extensions, expected);
        assert_eq!(
            (&*flow.node_name, &*response.node_name),
            ("node-1", "node-1")
        );
    }
}

#[tokio::test]
async fn agent_events_are_counted_and_sent_apart_from_flows() {
    let ring = Arc::new(FlowRing::new(15));
    let agent_event = |second: i64| {
        Event::Agent(crate::ring::Message {
            time_ns: second * SECOND,
            message: Box::default(),
        })
    };
    ring.publish(&mut vec![flow(1), agent_event(2), agent_event(3), flow(4)]);
    let last = GetFlowsRequest {
        number: 1,
        ..GetFlowsRequest::default()
    };
    let ask = async |kind| {
        let node = Arc::new(NodeFacts::default());
        let shutdown = CancellationToken::new();
        let mut query = Query::new(kind, &last, Arc::clone(&ring), node, shutdown).unwrap();
        let mut times = Vec::new();
        while let Some(response) = next(&mut query).await {
            let response = response.unwrap();
            let time = match kind {
                Kind::AgentEvents => GetAgentEventsResponse::decode(response).unwrap().time,
                _ => GetFlowsResponse::decode(response).unwrap().time,
            };
            times.push(time.unwrap().seconds);
        }
        times
    };
    assert_eq!(ask(Kind::AgentEvents).await, [3]);
    assert_eq!(ask(Kind::Flows).await, [4]);
    assert!(ask(Kind::DebugEvents).await.is_empty());
}

#[tokio::test]
async fn flows_carry_the_labels_of_their_node_and_are_found_by_them() {
    let directory = Directory::new("node-1", Inventory::default());
    let node = NodeFact {
        name: "node-1".to_owned(),
        labels: vec!["zone=a".to_owned()],
        ..NodeFact::default()
    };
    let put = Change::Put("node-1".into(), Fact::Node(node));
    directory.apply(Provider::Nodes, [put]);
    let node = Arc::new(NodeFacts {
        name: "node-1".to_owned(),
        directory: Some(Arc::new(directory)),
    });
    for (selector, expected) in [("zone=a", Some("zone=a")), ("zone=b", None)] {
        let request = GetFlowsRequest {
            number: 1,
            whitelist: vec![FlowFilter {
                node_labels: vec![selector.to_owned()],
                ..FlowFilter::default()
            }],
            ..GetFlowsRequest::default()
        };
        let (ring, node) = (ring(15, 1..=3), Arc::clone(&node));
        let token = CancellationToken::new();
        let mut query = Query::new(Kind::Flows, &request, ring, node, token).unwrap();
        let labels = response(&mut query)
            .await
            .map(|it| match it.response_types {
                Some(ResponseTypes::Flow(flow)) => flow.node_labels,
                other => panic!("{other:?}"),
            });
        assert_eq!(labels, expected.map(|it| vec![it.to_owned()]));
    }
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

    let all = GetFlowsRequest::default();
    let mut finite = start(&ring, &all).unwrap().telling_progress(Some(interval));
    while let Some(response) = response(&mut finite).await {
        assert!(response.response_types.is_some());
    }
}
