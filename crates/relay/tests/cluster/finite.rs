//! Finite queries: exactly ordered, never held, and a peer that fails takes nobody with it.

use std::time::{Duration, Instant};

use crate::support::{Cluster, FakePeer, Item, absent_peer, config, flow_times, time};
use bytes::Bytes;
use flow_api::extension::ask_for_total;
use flow_api::observer::GetFlowsRequest;
use flow_api::relay::NodeState;
use tonic::{Request, Status};

fn flow(node: &str, millis: i64) -> Item {
    Item::Flow(node.into(), millis)
}

#[tokio::test]
async fn flows_of_all_peers_come_in_the_exact_order_of_time() {
    // Different steps, so that the streams interleave irregularly and often tie.
    let peers: Vec<_> = (1..=7_i64)
        .map(|step| FakePeer::with_flows(&format!("node-{step}"), (0..400).map(|n| n * step)))
        .collect();
    let cluster = Cluster::over(&peers.iter().collect::<Vec<_>>()).await;

    let items = cluster.client().await.all(GetFlowsRequest::default()).await;

    let mut expected: Vec<_> = (1..=7_i64)
        .flat_map(|step| (0..400).map(move |n| (n * step, step)))
        .collect();
    expected.sort_unstable();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(millis, step)| flow(&format!("node-{step}"), millis))
        .collect();
    assert_eq!(items[1..], expected);
}

#[tokio::test]
async fn a_number_is_that_of_each_node_and_of_all_together_for_a_client_that_asks_so() {
    let a = FakePeer::with_flows("a", [10, 30, 60]);
    let b = FakePeer::with_flows("b", [20, 40, 50]);
    let cluster = Cluster::over(&[&a, &b]).await;
    let client = cluster.client().await;
    let last_two = || {
        Request::new(GetFlowsRequest {
            number: 2,
            ..GetFlowsRequest::default()
        })
    };
    let of_each = client.all(last_two()).await;
    assert_eq!(flow_times(&of_each), [30, 40, 50, 60]);
    let mut request = last_two();
    ask_for_total(request.metadata_mut());
    let of_all = client.all(request).await;
    assert_eq!(flow_times(&of_all), [50, 60]);
    assert!(of_all.len() == 3, "and who is connected: {of_all:?}");
}

#[tokio::test]
async fn a_peer_without_flows_makes_nobody_wait() {
    let busy = FakePeer::with_flows("busy", 0..100);
    let empty = FakePeer::new("empty");
    let cluster = Cluster::with(&[&busy, &empty], |config| {
        config.max_hold = Duration::from_secs(60)
    })
    .await;
    let start = Instant::now();
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    assert_eq!(flow_times(&items).len(), 100);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_stream_begins_with_who_is_connected_and_who_is_not() {
    let (b, a) = (FakePeer::with_flows("b", [1]), FakePeer::new("a"));
    let mut config = config();
    config.peers = vec![b.listed(), a.listed(), absent_peer("x"), absent_peer("w")];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.connected_nodes(2).await;
    client.unavailable_nodes(2).await;
    let items = client.all(GetFlowsRequest::default()).await;
    let expected = [
        Item::status(NodeState::NodeConnected, &["a", "b"]),
        Item::status(NodeState::NodeUnavailable, &["w", "x"]),
        flow("b", 1),
    ];
    assert_eq!(items, expected);
}

#[tokio::test]
async fn without_any_peer_the_query_ends_well_and_says_so() {
    let mut config = config();
    config.peers = vec![absent_peer("x")];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.unavailable_nodes(1).await;
    let items = client.all(GetFlowsRequest::default()).await;
    assert_eq!(items, [Item::status(NodeState::NodeUnavailable, &["x"])]);
}

#[tokio::test]
async fn a_peer_that_breaks_off_becomes_an_error_and_the_rest_goes_on() {
    let bad = FakePeer::with_flows("bad", 0..10);
    bad.fail_after(5, Status::internal("disk on fire"));
    let good = FakePeer::with_flows("good", 0..10);
    let cluster = Cluster::over(&[&bad, &good]).await;
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    let error = Item::Status(
        NodeState::NodeError,
        vec!["bad".into()],
        "rpc error: code = Internal desc = disk on fire".into(),
    );
    assert_eq!(
        items.last(),
        Some(&error),
        "it happened after all the flows"
    );
    let times = flow_times(&items);
    assert_eq!(times.len(), 15);
    assert!(times.is_sorted());
}

#[tokio::test]
async fn a_request_that_every_peer_refuses_is_one_error_naming_all() {
    let peers = [FakePeer::new("a"), FakePeer::new("b"), FakePeer::new("c")];
    peers[..2]
        .iter()
        .for_each(|peer| peer.refuse(Status::unknown("invalid fieldmask")));
    let cluster = Cluster::with(&[&peers[2]], |config| {
        config.peers = peers.iter().map(FakePeer::listed).collect();
    })
    .await;
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    let error = Item::Status(
        NodeState::NodeError,
        vec!["a".into(), "b".into()],
        "invalid fieldmask".into(),
    );
    assert_eq!(items[1..], [error]);
}

#[tokio::test]
async fn a_peer_that_hangs_is_given_up_and_the_rest_is_complete() {
    let stuck = FakePeer::with_flows("stuck", [1]);
    stuck.hang();
    let good = FakePeer::with_flows("good", 0..10);
    let cluster = Cluster::over(&[&stuck, &good]).await;
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    assert_eq!(flow_times(&items).len(), 11);
    let Some(Item::Status(NodeState::NodeError, nodes, message)) = items.last() else {
        panic!("an error at the end of {items:?}");
    };
    assert_eq!(nodes, &["stuck"]);
    assert!(message.contains("DeadlineExceeded") && message.contains("nothing for 10 s"));
}

#[tokio::test]
async fn what_is_not_a_response_is_left_out_and_told() {
    let peer = FakePeer::with_flows("odd", [1]);
    peer.raw(time(2), Bytes::from_static(b"\xff\xff\xff"));
    peer.raw(time(3), Bytes::from_static(b"\x0a\x7f"));
    peer.flow(4);
    let cluster = Cluster::over(&[&peer]).await;
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    assert_eq!(flow_times(&items), [1, 4]);
    let Some(Item::Status(NodeState::NodeError, nodes, message)) = items.last() else {
        panic!("an error at the end of {items:?}");
    };
    assert_eq!(nodes, &["odd"]);
    assert!(message.contains("malformed"), "{message}");
}

#[tokio::test]
async fn a_message_that_is_too_long_is_left_out_and_told_and_nobody_asks_for_it_again() {
    let peer = FakePeer::with_flows("odd", [1]);
    peer.raw(time(2), vec![0; 5 << 20].into());
    peer.flow(3);
    let cluster = Cluster::over(&[&peer]).await;
    let mut flows = cluster.client().await.follow().await;
    let came = flows.take(4).await;
    assert_eq!(flow_times(&came), [1, 3]);
    let told = came.iter().filter_map(|item| match item {
        Item::Status(NodeState::NodeError, nodes, message) => Some((nodes, message)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let [(nodes, message)] = told[..] else {
        panic!("one error: {came:?}");
    };
    assert_eq!(nodes, &["odd"]);
    assert!(message.contains("more than 4 MiB"), "{message}");
    peer.flow(4);
    assert_eq!(flows.next().await, flow("odd", 4));
    assert_eq!(peer.requests().len(), 1, "the stream went on");
}

#[tokio::test]
async fn gaps_pass_through_where_they_came_and_block_nobody() {
    let lossy = FakePeer::with_flows("lossy", [10]);
    lossy.gap(15, 30, 1);
    lossy.flow(20);
    let other = FakePeer::with_flows("other", [15, 25, 35]);
    let cluster = Cluster::over(&[&lossy, &other]).await;
    let items = cluster.client().await.all(GetFlowsRequest::default()).await;
    let expected = [
        flow("lossy", 10),
        Item::Lost("lossy".into(), 30),
        flow("other", 15),
        flow("lossy", 20),
        flow("other", 25),
        flow("other", 35),
    ];
    assert_eq!(items[1..], expected);
}

#[tokio::test]
async fn request_and_metadata_reach_every_peer_unchanged() {
    let peers = [
        FakePeer::with_flows("a", 0..50),
        FakePeer::with_flows("b", 0..50),
    ];
    let cluster = Cluster::over(&[&peers[0], &peers[1]]).await;
    let message = GetFlowsRequest {
        number: 3,
        until: Some(time(1_000)),
        field_mask: Some(prost_types::FieldMask {
            paths: vec!["time".into()],
        }),
        ..Default::default()
    };
    let mut request = Request::new(message.clone());
    request
        .metadata_mut()
        .insert("authorization", "Bearer x".parse().unwrap());

    let items = cluster.client().await.all(request).await;

    assert_eq!(
        flow_times(&items),
        [47, 47, 48, 48, 49, 49],
        "three of each peer"
    );
    for peer in &peers {
        let [(seen, metadata)] = &peer.requests()[..] else {
            panic!("asked once")
        };
        assert_eq!(*seen, message);
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer x");
    }
}
