//! What an answer covers, told to those who ask and to nobody else.

use flow_api::{coverage, observer::GetFlowsRequest, palomar::CoverageReport};
use prost_types::Timestamp;
use tonic::Request;

use crate::support::{Agent, NODE, Setup, everything, flow_line, now_millis};

async fn ask(agent: &Agent, request: GetFlowsRequest) -> (u64, Option<CoverageReport>) {
    let mut request = Request::new(request);
    coverage::ask(request.metadata_mut());
    let mut flows = agent
        .observer()
        .get_flows(request)
        .await
        .unwrap()
        .into_inner();
    let mut count = 0;
    while flows.message().await.unwrap().is_some() {
        count += 1;
    }
    let trailers = flows.trailers().await.unwrap();
    (count, trailers.as_ref().and_then(coverage::told))
}

async fn agent(newest_millis: i64) -> Agent {
    let lines = (0..10).map(|at| flow_line(newest_millis - 9_000 + at * 1_000, "shop"));
    let agent = Agent::start(Setup {
        flows: lines.collect(),
        ..Setup::default()
    })
    .await;
    agent.await_flows(10).await;
    agent
}

fn at(millis: i64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: millis.div_euclid(1_000),
        nanos: millis.rem_euclid(1_000) as i32 * 1_000_000,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_with_what_it_covers_for_those_who_ask() {
    let newest = now_millis();
    let agent = agent(newest).await;
    let since = GetFlowsRequest {
        since: at(newest - 1_200_000),
        until: at(newest - 4_500),
        ..GetFlowsRequest::default()
    };
    let (count, report) = ask(&agent, since.clone()).await;
    assert_eq!(count, 5);
    let total = report.unwrap().total.unwrap();
    assert_eq!(total.from, at(newest - 9_000), "the oldest that there is");
    assert_eq!(total.to, since.until);
    assert_eq!(total.oldest, at(newest - 9_000));
    assert_eq!(
        (total.requested_since, total.requested_until),
        (since.since, since.until)
    );
    assert_eq!((total.flows, total.losses), (5, vec![]));

    let last = GetFlowsRequest {
        number: 3,
        ..GetFlowsRequest::default()
    };
    let (count, report) = ask(&agent, last).await;
    let report = report.unwrap();
    assert_eq!((count, report.nodes[0].node_name.as_str()), (3, NODE));
    assert_eq!(report.total.unwrap().from, at(newest - 2_000));
    agent.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_ask_gets_the_same_flows_and_nothing_else() {
    let agent = agent(now_millis()).await;
    let mut flows = agent
        .observer()
        .get_flows(everything())
        .await
        .unwrap()
        .into_inner();
    let mut count = 0;
    while flows.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 10);
    let trailers = flows.trailers().await.unwrap().unwrap_or_default();
    assert_eq!(coverage::told(&trailers), None);
    agent.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_that_the_agent_ends_says_what_it_covered() {
    let agent = agent(now_millis()).await;
    let mut request = Request::new(GetFlowsRequest {
        number: 2,
        follow: true,
        ..GetFlowsRequest::default()
    });
    coverage::ask(request.metadata_mut());
    let mut flows = agent
        .observer()
        .get_flows(request)
        .await
        .unwrap()
        .into_inner();
    for _ in 0..2 {
        assert!(flows.message().await.unwrap().is_some());
    }
    agent.shut_down();
    let status = flows.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    let report = coverage::told(status.metadata()).unwrap();
    assert_eq!(report.total.unwrap().flows, 2);
    agent.ended().await;
}
