//! What the answers of all peers cover, for clients that ask.

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
