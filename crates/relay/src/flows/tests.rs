//! A call whose readers are played by the test, with the clock standing still unless moved.

use std::time::Duration;

use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{GetFlowsRequest, GetFlowsResponse};
use flow_api::relay::NodeState;
use futures::FutureExt as _;
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tonic::metadata::MetadataMap;

use super::*;
use crate::call::Method;
use crate::defaults::{ERROR_WINDOW, MAX_HOLD};
use crate::peers::PeerSet;
use crate::pool::{Keeper, Ways};
use crate::reader::Report;

/// A call without peers of its own, and lanes that the test adds.
struct Scene {
    flows: Flows,
    lanes: Vec<LaneId>,
    _keeper: Keeper,
}

impl Scene {
    fn with_peers(request: GetFlowsRequest, names: &[&str]) -> Self {
        let (_, peers) = watch::channel(PeerSet::default());
        let (keeper, pool) = Keeper::new(peers, Ways::default());
        let settings = Settings {
            relay_name: "relay".into(),
            max_hold: MAX_HOLD,
            pace: Pace::default(),
            shutdown: CancellationToken::new(),
        };
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let call = Call::new(Method::Flows, request, MetadataMap::new(), names.len());
        let mut flows = Flows::start(call, &pool, settings, permit);
        let mut lanes = Vec::new();
        for name in names {
            let lane = flows.merge.add_lane();
            flows.merge.open(lane);
            let reader = flows.readers.spawn(std::future::pending());
            let peer = PeerState {
                name: (*name).into(),
                reader,
                is_up: true,
                told: None,
                has_ended: false,
                late: 0,
            };
            flows.peers.insert(lane, peer);
            lanes.push(lane);
        }
        Self {
            flows,
            lanes,
            _keeper: keeper,
        }
    }

    fn following(names: &[&str]) -> Self {
        Self::with_peers(
            GetFlowsRequest {
                follow: true,
                ..Default::default()
            },
            names,
        )
    }

    fn report(&mut self, peer: usize, report: Report) {
        self.flows
            .sender
            .try_send((self.lanes[peer], report))
            .unwrap();
    }

    fn flow(&mut self, peer: usize, seconds: i64) {
        let bytes = seconds.to_be_bytes().to_vec().into();
        let event = (
            Time { seconds, nanos: 0 },
            Event {
                bytes,
                is_flow: true,
                credit: None,
            },
        );
        self.report(peer, Report::Events(vec![event]));
    }

    /// The next item: a flow's second, or a status.
    async fn next(&mut self) -> Option<String> {
        let bytes = self.flows.next().await?.unwrap();
        Some(shown(&bytes))
    }

    fn is_quiet(&mut self) -> bool {
        self.flows.next().now_or_never().is_none()
    }
}

fn shown(bytes: &[u8]) -> String {
    if let Ok(second) = bytes.try_into() {
        return i64::from_be_bytes(second).to_string();
    }
    let response = GetFlowsResponse::decode(bytes).unwrap();
    let Some(ResponseTypes::NodeStatus(event)) = response.response_types else {
        panic!("a status: {response:?}");
    };
    format!(
        "{:?} {} {}",
        event.state_change(),
        event.node_names.join(","),
        event.message
    )
}

#[tokio::test(start_paused = true)]
async fn a_quiet_peer_delays_a_flow_by_the_hold_to_the_millisecond() {
    let mut scene = Scene::following(&["busy", "quiet"]);
    scene.flow(0, 10);
    let start = Instant::now();
    assert_eq!(scene.next().await.unwrap(), "10");
    assert_eq!(start.elapsed().as_millis(), MAX_HOLD.as_millis());
    scene.flow(1, 5);
    assert_eq!(scene.next().await.unwrap(), "5", "late, and at once");
    assert_eq!(start.elapsed().as_millis(), MAX_HOLD.as_millis());
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_quiet_peer_that_says_how_far_it_is() {
    let mut scene = Scene::following(&["busy", "quiet"]);
    let start = Instant::now();
    scene.flow(0, 10);
    scene.report(
        1,
        Report::Passed(Time {
            seconds: 9,
            nanos: 0,
        }),
    );
    assert!(scene.is_quiet(), "it may still have one that is as old");
    scene.report(
        1,
        Report::Passed(Time {
            seconds: 10,
            nanos: 0,
        }),
    );
    assert_eq!(scene.next().await.unwrap(), "10");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_asks_is_told_how_far_all_peers_are() {
    let mut scene = Scene::following(&["a", "b"]);
    let interval = Duration::from_millis(20);
    scene.flows.progress = Some((Instant::now() + interval, Time::UNKNOWN));
    let mut metadata = MetadataMap::new();
    flow_api::progress::ask(&mut metadata, interval);
    let request = scene.flows.call.request.clone();
    scene.flows.call = Arc::new(Call::new(Method::Flows, request, metadata, 2));
    let start = Instant::now();
    scene.report(
        0,
        Report::Passed(Time {
            seconds: 9,
            nanos: 0,
        }),
    );
    scene.report(
        1,
        Report::Passed(Time {
            seconds: 7,
            nanos: 0,
        }),
    );
    let told = scene.flows.next().await.unwrap().unwrap();
    assert_eq!(start.elapsed(), interval);
    let told = GetFlowsResponse::decode(told).unwrap();
    assert_eq!(
        (told.node_name.as_str(), told.response_types),
        ("relay", None)
    );
    assert_eq!(told.time.unwrap().seconds, 7);
    assert!(scene.is_quiet(), "it is told once");
}

#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_peer_whose_stream_broke() {
    let mut scene = Scene::following(&["a", "b"]);
    scene.flow(0, 10);
    assert!(scene.is_quiet());
    let start = Instant::now();
    scene.report(1, Report::Failed("gone".into()));
    assert_eq!(
        scene.next().await.unwrap(),
        format!("{:?} b gone", NodeState::NodeError)
    );
    assert_eq!(scene.next().await.unwrap(), "10");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_follow_without_peers_waits_for_a_year() {
    let mut scene = Scene::following(&[]);
    let year = sleep(Duration::from_secs(365 * 86_400));
    tokio::select! {
        item = scene.next() => panic!("it waits, but gave {item:?}"),
        () = year => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_is_told_at_once_and_repeats_after_the_window() {
    let mut scene = Scene::following(&["a", "b", "c"]);
    let start = Instant::now();
    for peer in 0..3 {
        scene.report(peer, Report::Failed("network".into()));
    }
    assert_eq!(scene.next().await.unwrap(), "NodeError a network");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(scene.next().await.unwrap(), "NodeError b,c network");
    assert_eq!(start.elapsed().as_secs(), ERROR_WINDOW.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_failing_is_told_once_and_its_return_too() {
    let mut scene = Scene::following(&["a"]);
    for _ in 0..5 {
        scene.report(0, Report::Failed("refused".into()));
    }
    assert_eq!(scene.next().await.unwrap(), "NodeError a refused");
    assert!(scene.is_quiet());
    scene.report(0, Report::Opened);
    assert_eq!(scene.next().await.unwrap(), "NodeConnected a ");
}

#[tokio::test(start_paused = true)]
async fn of_a_peer_that_flaps_errors_and_returns_are_told_in_turn() {
    let mut scene = Scene::following(&["a", "b"]);
    for peer in [0, 1, 1] {
        scene.report(peer, Report::Failed("network".into()));
        scene.report(peer, Report::Opened);
    }
    let turns = [
        "NodeError a network",
        "NodeConnected a ",
        "NodeError b network",
        "NodeConnected b ",
        "NodeError b network",
        "NodeConnected b ",
    ];
    for told in turns {
        assert_eq!(scene.next().await.unwrap(), told);
    }
    assert!(scene.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_finite_query_waits_for_a_peer_as_long_as_its_reader_does() {
    let mut scene = Scene::with_peers(GetFlowsRequest::default(), &["a", "b"]);
    scene.flow(0, 10);
    sleep(MAX_HOLD * 5).await;
    assert!(scene.is_quiet());
    scene.flow(1, 5);
    scene.report(1, Report::Ended);
    scene.report(0, Report::Failed("gone".into()));
    assert_eq!(scene.next().await.unwrap(), "5");
    assert_eq!(scene.next().await.unwrap(), "10");
    assert_eq!(scene.next().await.unwrap(), "NodeError a gone");
    assert_eq!(scene.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_follow_and_nothing_comes_after_it() {
    let mut scene = Scene::following(&["a"]);
    scene.flows.settings.shutdown.cancel();
    let status = scene.flows.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert!(scene.flows.next().await.is_none());
}
