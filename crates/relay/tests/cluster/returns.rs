//! Peers whose stream breaks, and what happened to their clocks meanwhile.

use std::time::{Duration, SystemTime};

use flow_api::flow::Flow;
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use flow_api::relay::NodeState;
use prost::Message as _;

use crate::support::{Cluster, FakePeer, Flows, Item, flow_times};

/// A follow that has all that a peer has told so far.
async fn followed(peer: &FakePeer, count: usize) -> (Cluster, Flows) {
    let cluster = Cluster::over(&[peer]).await;
    let mut flows = cluster.client().await.follow().await;
    while flow_times(&flows.take(1).await).is_empty() {}
    for _ in 1..count {
        flows.next_flow().await;
    }
    (cluster, flows)
}

/// The next so many flows, by time; then there are no more.
async fn rest(flows: &mut Flows, count: usize) -> Vec<i64> {
    let mut times = Vec::new();
    for _ in 0..count {
        times.push(flows.next_flow().await);
    }
    flows.has_no_flow_for(Duration::from_millis(300)).await;
    times.sort_unstable();
    times
}

#[tokio::test]
async fn a_peer_of_ours_goes_on_after_its_last_flow_also_when_its_clock_was_set_back() {
    let mut peer = FakePeer::with_flows("a", [10_000, 20_000, 20_000]);
    peer.resume();
    let (_cluster, mut flows) = followed(&peer, 3).await;
    peer.kill();
    // One more of the same time, one later, and then the clock was set back.
    for millis in [20_000, 21_000, 5_000, 10_000] {
        peer.flow(millis);
    }
    peer.start();
    assert_eq!(
        rest(&mut flows, 4).await,
        [5_000, 10_000, 20_000, 21_000],
        "nothing is missing, and nothing comes twice"
    );
    // And when it has begun anew.
    peer.kill();
    peer.forget();
    for millis in [1_000, 2_000] {
        peer.flow(millis);
    }
    peer.start();
    assert_eq!(rest(&mut flows, 2).await, [1_000, 2_000]);
}

#[tokio::test]
async fn of_a_plain_server_no_flow_of_the_newest_time_is_missing_and_none_comes_twice() {
    let mut peer = FakePeer::with_flows("a", [10, 20, 20]);
    let (_cluster, mut flows) = followed(&peer, 3).await;
    peer.kill();
    for millis in [20, 30] {
        peer.flow(millis);
    }
    peer.start();
    assert_eq!(rest(&mut flows, 2).await, [20, 30]);
}

#[tokio::test]
async fn a_plain_server_whose_clock_was_set_back_before_the_break_goes_on_there() {
    let mut peer = FakePeer::with_flows("a", [10_000, 20_000, 5_000]);
    let (_cluster, mut flows) = followed(&peer, 3).await;
    peer.kill();
    for millis in [6_000, 7_000] {
        peer.flow(millis);
    }
    peer.start();
    assert_eq!(rest(&mut flows, 2).await, [6_000, 7_000]);
}

#[tokio::test]
async fn a_plain_server_whose_clock_was_ahead_is_told_to_lack_flows() {
    let mut peer = FakePeer::new("a");
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    peer.flow_at((now + hour).into());
    let (_cluster, mut flows) = followed(&peer, 1).await;
    peer.kill();
    peer.flow_at((now + Duration::from_secs(1)).into());
    peer.flow_at((now + hour + Duration::from_secs(1)).into());
    peer.start();
    let told = loop {
        match flows.next_status().await {
            Item::Status(NodeState::NodeError, nodes, message) if message.contains("clock") => {
                break (nodes, message);
            }
            _ => {}
        }
    };
    assert_eq!(told.0, ["a"]);
    assert!(told.1.contains("flows are missing"), "{}", told.1);
    flows.next_flow().await;
    flows.has_no_flow_for(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn gaps_that_were_told_do_not_come_again_and_those_since_the_break_do() {
    for resumes in [false, true] {
        let mut peer = FakePeer::with_flows("a", [10]);
        if resumes {
            peer.resume();
        }
        peer.gap(15, 15, 1);
        peer.flow(20);
        peer.gap(21, 30, 2);
        peer.gap(22, 31, 2);
        let cluster = Cluster::over(&[&peer]).await;
        let mut flows = cluster.client().await.follow().await;
        let lost = |millis| Item::Lost("a".to_owned(), millis);
        let flow = |millis| Item::Flow("a".to_owned(), millis);
        let told = [flow(10), lost(15), flow(20), lost(30), lost(31)];
        assert_eq!(flows.events(5).await, told);
        // Twice, for what was left out once is known still.
        for (at, told) in [(23, 32), (24, 25)] {
            peer.kill();
            // The second one by a clock that was set back.
            peer.gap(at, told, 3);
            peer.start();
            assert_eq!(flows.events(1).await, [lost(told)], "resumes: {resumes}");
        }
        peer.flow(40);
        assert_eq!(flows.events(1).await, [flow(40)]);
    }
}

#[tokio::test]
async fn flows_without_times_do_not_come_again() {
    let mut peer = FakePeer::new("a");
    let timeless = |peer: &FakePeer| {
        let response = GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(Flow::default())),
            node_name: "a".into(),
            time: None,
        };
        peer.raw(SystemTime::now().into(), response.encode_to_vec().into());
    };
    let (_cluster, mut flows) = {
        timeless(&peer);
        timeless(&peer);
        followed(&peer, 2).await
    };
    peer.kill();
    timeless(&peer);
    peer.start();
    assert_eq!(rest(&mut flows, 1).await, [0]);
}

#[tokio::test]
async fn a_peer_that_joins_with_a_clock_that_is_behind_is_asked_from_the_beginning_by_that_clock() {
    let mut peer = FakePeer::down("late");
    let hour = Duration::from_secs(3600);
    peer.set_clock_behind(hour);
    let mut config = crate::support::config();
    config.peers = vec![peer.listed()];
    let cluster = Cluster::start(config).await;
    let began = SystemTime::now();
    let client = cluster.client().await;
    let mut flows = client
        .flows(GetFlowsRequest {
            follow: true,
            ..GetFlowsRequest::default()
        })
        .await;
    flows.next_status().await;
    peer.start();
    // The first attempt may come before the clock is known; the next one after a break does not.
    flows.next_status().await;
    client.connected_nodes(1).await;
    peer.kill();
    peer.start();
    peer.flow_at((SystemTime::now() - hour).into());
    flows.next_flow().await;
    let (request, _) = peer.requests().pop().unwrap();
    let since = SystemTime::try_from(request.since.unwrap()).unwrap();
    let expected = began - hour;
    let second = Duration::from_secs(1);
    assert!(since > expected - second && since < SystemTime::now() - hour + second);
}
