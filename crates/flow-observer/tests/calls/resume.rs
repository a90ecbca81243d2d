//! A follow goes on after a flow that the client names.

use flow_api::{
    observer::GetFlowsRequest,
    resume::{self, After},
};
use tokio::time::timeout;
use tonic::Request;

use crate::support::{Agent, DEADLINE, Setup, flow_line};

/// Seconds of flows that a call gets, as many as are `expected`, and whether it goes on after the flow.
async fn answer(agent: &Agent, follow: bool, expected: usize) -> (Vec<i64>, bool) {
    let time = prost_types::Timestamp {
        seconds: 6,
        nanos: 0,
    };
    let mut request = Request::new(GetFlowsRequest {
        follow,
        since: Some(time),
        ..GetFlowsRequest::default()
    });
    resume::ask(request.metadata_mut(), After { time, count: 1 });
    let answer = agent.observer().get_flows(request).await.unwrap();
    let goes_on = resume::is_accepted(answer.metadata());
    let mut flows = answer.into_inner();
    let mut seconds = Vec::new();
    while seconds.len() < expected {
        let flow = timeout(DEADLINE, flows.message()).await.unwrap().unwrap();
        seconds.push(flow.unwrap().time.unwrap().seconds);
    }
    (seconds, goes_on)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_goes_on_after_a_flow_where_the_clock_was_set_back_and_other_calls_do_not() {
    let agent = Agent::start(Setup {
        flows: [5_000, 6_000, 2_000, 3_000]
            .map(|millis| flow_line(millis, "shop"))
            .concat(),
        ..Setup::default()
    })
    .await;
    agent.await_flows(4).await;
    assert_eq!(answer(&agent, true, 2).await, (vec![2, 3], true));
    // By time there is nothing behind the step.
    assert_eq!(answer(&agent, false, 0).await, (vec![], false));
    agent.ended().await;
}
