//! What the answers of all peers cover, for clients that ask.

use std::time::{Duration, SystemTime};

use crate::support::{Cluster, FakePeer, time};
use flow_api::coverage;
use flow_api::observer::GetFlowsRequest;
use flow_api::palomar::{Coverage, CoverageReport, Loss};
use tonic::Request;

fn covering(name: &str, from: i64, lost: u64) -> FakePeer {
    let peer = FakePeer::with_flows(name, [100, 200]);
    let node = Coverage {
        node_name: name.to_owned(),
        from: Some(time(from)),
        to: Some(time(1_000)),
        flows: 2,
        losses: vec![Loss {
            stage: "kernel".to_owned(),
            what: "lost".to_owned(),
            count: lost,
        }],
        ..Coverage::default()
    };
    // The end of its stream is no failure: the status is OK, and carries the report.
    peer.fail_after(2, coverage::end(&coverage::report([node], 0)));
    peer
}

async fn ask(cluster: &Cluster, asks: bool) -> (usize, Option<CoverageReport>) {
    let mut request = Request::new(GetFlowsRequest::default());
    if asks {
        coverage::ask(request.metadata_mut());
    }
    let mut grpc = cluster.client().await.grpc;
    let mut flows = grpc.get_flows(request).await.unwrap().into_inner();
    let mut count = 0;
    while flows.message().await.unwrap().is_some() {
        count += 1;
    }
    let trailers = flows.trailers().await.unwrap();
    (count, trailers.as_ref().and_then(coverage::told))
}

#[tokio::test]
async fn the_end_tells_what_all_peers_cover_together_and_each_of_them() {
    let peers = [covering("a", 10, 1), covering("b", 50, 2)];
    let silent = FakePeer::with_flows("silent", [300]);
    let cluster = Cluster::over(&[&peers[0], &peers[1], &silent]).await;
    // Five flows, and who is connected.
    let (count, report) = ask(&cluster, true).await;
    assert_eq!(count, 6);
    let report = report.unwrap();
    let names: Vec<_> = report.nodes.iter().map(|it| &*it.node_name).collect();
    assert_eq!((names, report.silent_nodes), (vec!["a", "b"], 1));
    let total = report.total.unwrap();
    assert_eq!((total.from, total.flows), (Some(time(50)), 4));
    assert_eq!(total.losses[0].count, 3);
    assert_eq!(ask(&cluster, false).await, (6, None), "nobody else is told");
}

#[tokio::test]
async fn flows_that_come_later_than_the_hold_are_passed_on_and_counted_as_late() {
    let (busy, quiet) = (FakePeer::with_flows("busy", [10]), FakePeer::new("quiet"));
    let cluster = Cluster::with(&[&busy, &quiet], |config| {
        config.max_hold = Duration::from_millis(50);
    })
    .await;
    let until = SystemTime::now() + Duration::from_secs(3);
    let mut request = Request::new(GetFlowsRequest {
        follow: true,
        until: Some(until.into()),
        ..GetFlowsRequest::default()
    });
    coverage::ask(request.metadata_mut());
    let mut flows = cluster.client().await.flows(request).await;
    assert_eq!(flows.next_flow().await, 10);
    quiet.flow(5);
    assert_eq!(flows.next_flow().await, 5);
    for peer in [&busy, &quiet] {
        let node = Coverage {
            node_name: peer.name.clone(),
            from: Some(time(0)),
            to: Some(until.into()),
            flows: 1,
            ..Coverage::default()
        };
        peer.fail_after(1, coverage::end(&coverage::report([node], 0)));
    }
    flows.rest().await;
    let trailers = flows.0.trailers().await.unwrap();
    let report = trailers.as_ref().and_then(coverage::told).unwrap();
    let late: Vec<_> = report
        .nodes
        .iter()
        .map(|node| (&*node.node_name, node.late))
        .collect();
    assert_eq!(late, [("busy", 0), ("quiet", 1)]);
    assert_eq!(report.total.unwrap().late, 1);
}
