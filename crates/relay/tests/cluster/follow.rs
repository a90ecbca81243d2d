//! Following queries: ordered as far as a bounded wait allows, and alive whatever the peers do.

use std::time::{Duration, Instant, SystemTime};

use crate::support::{
    Client, Cluster, FakePeer, Flows, Item, LONG, PeerList, absent_peer, config, flow_times, time,
};
use flow_api::observer::GetFlowsRequest;
use flow_api::relay::NodeState;
use tonic::Status;

fn flow(node: &str, millis: i64) -> Item {
    Item::Flow(node.into(), millis)
}

/// Follows, and waits until the peers' streams are open.
pub(crate) async fn follow(client: &Client, peers: &[&FakePeer]) -> Flows {
    let mut flows = client.follow().await;
    let names: Vec<_> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeConnected, &names)
    );
    for peer in peers {
        until(|| peer.open_streams() > 0).await;
    }
    flows
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "it never happens");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn error(node: &str, text: &str) -> Item {
    Item::Status(NodeState::NodeError, vec![node.into()], text.into())
}

fn is_error_of(item: &Item, node: &str) -> bool {
    matches!(item, Item::Status(NodeState::NodeError, nodes, message)
        if nodes == &[node] && message.contains("Unavailable"))
}

#[tokio::test]
async fn stored_flows_come_in_order_and_new_ones_after_them() {
    let a = FakePeer::with_flows("a", (0..300).map(|n| n * 2));
    let b = FakePeer::with_flows("b", (0..300).map(|n| n * 3));
    let cluster = Cluster::over(&[&a, &b]).await;
    let mut flows = cluster.client().await.follow().await;
    let times = flow_times(&flows.take(601).await);
    assert!(times.is_sorted());
    a.flow(2_000);
    b.flow(2_001);
    assert_eq!(flows.next_flow().await, 2_000);
    assert_eq!(flows.next_flow().await, 2_001);
}

#[tokio::test]
async fn a_flow_is_released_as_soon_as_every_peer_has_passed_its_time() {
    let (a, b) = (FakePeer::new("a"), FakePeer::new("b"));
    let hold = Duration::from_secs(3600);
    let cluster = Cluster::with(&[&a, &b], |config| config.max_hold = hold).await;
    let mut flows = follow(&cluster.client().await, &[&a, &b]).await;
    a.flow(10);
    // The other one may still bring an older one.
    flows.stays_quiet_for(Duration::from_millis(100)).await;
    b.flow(5);
    b.flow(20);
    assert_eq!(flows.take(2).await, [flow("b", 5), flow("a", 10)]);
}

#[tokio::test]
async fn a_quiet_peer_delays_the_others_by_the_hold_and_no_longer() {
    let (busy, quiet) = (FakePeer::new("busy"), FakePeer::new("quiet"));
    let hold = Duration::from_millis(400);
    let cluster = Cluster::with(&[&busy, &quiet], |config| config.max_hold = hold).await;
    let mut flows = follow(&cluster.client().await, &[&busy, &quiet]).await;
    for millis in [10, 20] {
        let sent = Instant::now();
        busy.flow(millis);
        assert_eq!(flows.next().await, flow("busy", millis));
        let held = sent.elapsed();
        assert!(
            held >= hold && held < hold + Duration::from_millis(400),
            "{held:?}"
        );
    }
    quiet.flow(15);
    let (late, waited) = flows.timed().await;
    assert_eq!(late, flow("quiet", 15), "late, but delivered");
    assert!(waited < hold, "and at once: {waited:?}");
}

#[tokio::test]
async fn nothing_is_held_when_one_peer_is_left() {
    let a = FakePeer::new("a");
    let mut b = FakePeer::new("b");
    let hold = Duration::from_secs(3600);
    let cluster = Cluster::with(&[&a, &b], |config| config.max_hold = hold).await;
    let mut flows = follow(&cluster.client().await, &[&a, &b]).await;
    a.flow(10);
    b.kill();
    // The error is told at once, and the flow is free.
    let items = flows.take(2).await;
    assert!(items.contains(&flow("a", 10)), "{items:?}");
    assert!(items.iter().any(|item| is_error_of(item, "b")), "{items:?}");
    a.flow(20);
    assert_eq!(flows.next().await, flow("a", 20));
}

#[tokio::test]
async fn a_killed_peer_is_told_and_its_return_too_and_nothing_comes_twice() {
    let mut a = FakePeer::with_flows("a", [10, 20]);
    let b = FakePeer::with_flows("b", [15, 30]);
    let cluster = Cluster::with(&[&a, &b], |config| {
        config.max_hold = Duration::from_millis(100)
    })
    .await;
    let mut flows = follow(&cluster.client().await, &[&a, &b]).await;
    assert_eq!(flow_times(&flows.take(4).await), [10, 15, 20, 30]);

    a.kill();
    assert!(is_error_of(&flows.next().await, "a"));
    b.flow(40);
    assert_eq!(flows.next().await, flow("b", 40), "the others go on");

    a.flow(50);
    let back = Instant::now();
    a.start();
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeConnected, &["a"])
    );
    assert_eq!(
        flows.next().await,
        flow("a", 50),
        "what happened meanwhile, and not 10 and 20"
    );
    assert!(
        back.elapsed() < Duration::from_millis(2_500),
        "{:?}",
        back.elapsed()
    );
    let (request, _) = a.requests().pop().unwrap();
    let since = request.since.unwrap();
    assert_eq!(
        (request.number, since.seconds, since.nanos),
        (0, 0, 20_000_000)
    );
    flows.has_no_flow_for(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a_peer_that_returns_before_it_sent_anything_is_asked_from_the_beginning_of_the_call() {
    let mut a = FakePeer::new("a");
    let cluster = Cluster::over(&[&a]).await;
    let began = SystemTime::now();
    let client = cluster.client().await;
    let request = GetFlowsRequest {
        follow: true,
        number: 20,
        ..Default::default()
    };
    let mut flows = client.flows(request).await;
    until(|| a.open_streams() > 0).await;
    a.kill();
    a.flow_now();
    a.start();
    flows.next_flow().await;
    let (request, _) = a.requests().pop().unwrap();
    assert_eq!(request.number, 0);
    let since = SystemTime::try_from(request.since.unwrap()).unwrap();
    assert!(since >= began && since <= SystemTime::now());
}

#[tokio::test]
async fn a_follow_outlives_all_its_peers() {
    let mut peers = [FakePeer::new("a"), FakePeer::new("b")];
    let cluster = Cluster::over(&[&peers[0], &peers[1]]).await;
    let mut flows = follow(&cluster.client().await, &[&peers[0], &peers[1]]).await;
    peers.iter_mut().for_each(FakePeer::kill);
    flows.next_status().await;
    peers[1].start();
    loop {
        if flows.next_status().await == Item::status(NodeState::NodeConnected, &["b"]) {
            break;
        }
    }
    peers[1].flow_now();
    flows.next_flow().await;
}

#[tokio::test]
async fn a_follow_that_begins_without_peers_waits_for_them() {
    let mut late = FakePeer::down("late");
    let mut config = config();
    config.peers = vec![late.listed()];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.unavailable_nodes(1).await;
    let mut flows = client.follow().await;
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeUnavailable, &["late"])
    );
    late.start();
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeConnected, &["late"])
    );
    late.flow_now();
    flows.next_flow().await;
}

#[tokio::test]
async fn peers_that_are_announced_later_join_and_removed_ones_are_told_gone() {
    let (a, b) = (FakePeer::new("a"), FakePeer::new("b"));
    let list = PeerList::of(&[&a]);
    let mut config = config();
    config.peer_service = Some(list.address().parse().unwrap());
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.connected_nodes(1).await;
    let mut flows = follow(&client, &[&a]).await;

    list.set(&[&a, &b]);
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeConnected, &["b"])
    );
    list.set(&[&b]);
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeGone, &["a"])
    );
    until(|| a.open_streams() == 0).await;
    b.flow_now();
    flows.next_flow().await;
}

#[tokio::test]
async fn a_peer_that_moves_is_followed_to_its_new_address() {
    let old = FakePeer::with_flows("node", [10]);
    let new = FakePeer::with_flows("node", [10, 20]);
    let list = PeerList::of(&[&old]);
    let mut config = config();
    config.peer_service = Some(list.address().parse().unwrap());
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.connected_nodes(1).await;
    let mut flows = follow(&client, &[&old]).await;
    assert_eq!(flows.next_flow().await, 10);
    list.set(&[&new]);
    assert_eq!(flows.next_flow().await, 20);
}

#[tokio::test]
async fn an_error_is_told_at_once_and_not_again_with_every_attempt() {
    let (bad, good) = (FakePeer::new("bad"), FakePeer::new("good"));
    let cluster = Cluster::over(&[&bad, &good]).await;
    bad.refuse(Status::resource_exhausted("too many readers"));
    let mut flows = cluster.client().await.follow().await;
    let start = Instant::now();
    flows.next().await;
    let text = "rpc error: code = ResourceExhausted desc = too many readers";
    assert_eq!(flows.next().await, error("bad", text));
    assert!(start.elapsed() < Duration::from_secs(1));
    until(|| bad.requests().len() >= 3).await;
    good.flow(1);
    assert_eq!(flows.next().await, flow("good", 1));
}

#[tokio::test]
async fn until_ends_a_follow_though_peers_are_quiet_broken_or_down() {
    let a = FakePeer::with_flows("a", [10]);
    let mut config = config();
    let quiet = FakePeer::new("quiet");
    config.peers = vec![a.listed(), quiet.listed(), absent_peer("x")];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    client.unavailable_nodes(1).await;
    a.fail_after(1, Status::unavailable("done"));
    let request = GetFlowsRequest {
        follow: true,
        until: Some(time(50)),
        ..Default::default()
    };
    let items = client.all(request).await;
    assert_eq!(flow_times(&items), [10]);
}

#[tokio::test]
async fn a_hundred_and_fifty_peers_are_followed_in_order_and_none_starves() {
    let names: Vec<_> = (0..150).map(|n| format!("node-{n:03}")).collect();
    let peers: Vec<_> = names.iter().map(|name| FakePeer::new(name)).collect();
    let all: Vec<_> = peers.iter().collect();
    let cluster = Cluster::with(&all, |config| config.max_hold = Duration::from_secs(10)).await;
    let mut flows = follow(&cluster.client().await, &all).await;
    let start = Instant::now();
    for round in 0..20_i64 {
        for (n, peer) in (0_i64..).zip(&peers) {
            peer.flow(round * 1_000 + n);
        }
    }
    // The last round is held for who might still come; one flow of each peer frees it.
    peers.iter().for_each(|peer| peer.flow(1_000_000));
    let times = flow_times(&flows.take(20 * 150).await);
    assert!(times.is_sorted());
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_peer_without_health_service_is_followed_too() {
    let mut plain = FakePeer::without_health("plain");
    let cluster = Cluster::over(&[&plain]).await;
    let mut flows = follow(&cluster.client().await, &[&plain]).await;
    plain.kill();
    assert!(is_error_of(&flows.next().await, "plain"));
    plain.start();
    assert_eq!(
        flows.next().await,
        Item::status(NodeState::NodeConnected, &["plain"])
    );
}

#[tokio::test]
async fn a_following_request_that_makes_no_sense_to_any_peer_ends() {
    let peer = FakePeer::new("a");
    peer.refuse(Status::invalid_argument(
        "first cannot be specified with follow",
    ));
    let other = FakePeer::new("b");
    other.refuse(Status::invalid_argument(
        "first cannot be specified with follow",
    ));
    let mut config = config();
    config.peers = vec![peer.listed(), other.listed()];
    let cluster = Cluster::start(config).await;
    let request = GetFlowsRequest {
        follow: true,
        first: true,
        ..Default::default()
    };
    let items = cluster.client().await.all(request).await;
    let text = "rpc error: code = InvalidArgument desc = first cannot be specified with follow";
    let mut nodes: Vec<_> = items[1..]
        .iter()
        .flat_map(|item| match item {
            Item::Status(NodeState::NodeError, nodes, message) if message == text => nodes.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["a", "b"]);
}

#[tokio::test]
async fn a_peer_that_is_frozen_is_noticed_and_holds_nobody_up_until_it_wakes() {
    let (live, frozen) = (FakePeer::new("live"), FakePeer::new("frozen"));
    let cluster = Cluster::with(&[&live, &frozen], |config| {
        config.probe_interval = Duration::from_millis(50);
    })
    .await;
    let client = cluster.client().await;
    let mut flows = follow(&client, &[&frozen, &live]).await;
    let waker = frozen.freeze();
    let told = flows.next_status().await;
    assert_eq!(told, Item::status(NodeState::NodeUnavailable, &["frozen"]));

    live.flow_now();
    let (item, took) = flows.timed().await;
    assert!(matches!(item, Item::Flow(..)), "{item:?}");
    assert!(took < Duration::from_millis(900), "{took:?}");

    drop(waker);
    let told = flows.next_status().await;
    assert_eq!(told, Item::status(NodeState::NodeConnected, &["frozen"]));
}
