//! Requests that make no sense, over a socket.

use flow_api::{
    flow::FlowFilter,
    observer::{GetAgentEventsRequest, observer_client::ObserverClient},
};
use prost_types::FieldMask;
use tonic::{Code, transport::Channel};

use super::{model::serve, *};
use crate::ring::Message;

const FLOWS: i64 = 20;

/// A server with a flow at each of so many seconds.
fn server(directory: &tempfile::TempDir) -> (ObserverClient<Channel>, Arc<FlowRing>) {
    let ring = Arc::new(FlowRing::new(100));
    for second in 0..FLOWS {
        ring.publish(&mut vec![Event::Message(Message {
            time_ns: second * 1_000_000_000,
            message: Box::default(),
        })]);
    }
    (serve(&ring, directory), ring)
}

/// How many flows come, or the code and text of the refusal.
async fn ask(
    client: &mut ObserverClient<Channel>,
    request: GetFlowsRequest,
) -> Result<i64, (Code, String)> {
    let refused = |status: Status| (status.code(), status.message().to_owned());
    let mut responses = client
        .get_flows(request)
        .await
        .map_err(refused)?
        .into_inner();
    let mut count = 0;
    while responses.message().await.map_err(refused)?.is_some() {
        count += 1;
    }
    Ok(count)
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn between(since: Option<Timestamp>, until: Option<Timestamp>) -> GetFlowsRequest {
    GetFlowsRequest {
        since,
        until,
        ..GetFlowsRequest::default()
    }
}

/// The first and the last second of what protobuf can tell.
const TIMES: [i64; 2] = [-62_135_596_800, 253_402_300_799];

#[tokio::test]
async fn times_that_exist_are_bounds_however_far_away() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    let [first, last] = TIMES;
    for (since, until, expected) in [
        (at(first, 0), at(last, 999_999_999), FLOWS),
        (at(last, 0), None, 0),
        (None, at(first, 0), 0),
        (at(12, 0), at(3, 0), 0),
        (at(3, 1), at(12, 0), 9),
        (at(3, 0), at(3, 0), 1),
    ] {
        let request = between(since, until);
        assert_eq!(
            ask(&mut client, request.clone()).await,
            Ok(expected),
            "{request:?}"
        );
    }
    // Until is over, so that nothing is to be waited for.
    let over = GetFlowsRequest {
        follow: true,
        ..between(at(12, 0), at(3, 0))
    };
    assert_eq!(ask(&mut client, over).await, Ok(0));
}

#[tokio::test]
async fn times_that_do_not_exist_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    let [first, last] = TIMES;
    for time in [
        at(0, -1),
        at(0, 1_000_000_000),
        at(first - 1, 0),
        at(last + 1, 0),
        at(i64::MAX, i32::MIN),
    ] {
        for (name, request) in [
            ("since", between(time, None)),
            ("until", between(None, time)),
        ] {
            let (code, text) = ask(&mut client, request).await.unwrap_err();
            assert_eq!(code, Code::Unknown);
            assert!(text.starts_with(&format!("invalid {name}: ")), "{text}");
            assert!(text.contains("expected"), "{text}");
        }
    }
    let request = GetAgentEventsRequest {
        since: at(0, -1),
        ..GetAgentEventsRequest::default()
    };
    let status = client.get_agent_events(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

#[tokio::test]
async fn any_number_may_be_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    for first in [false, true] {
        for number in [0, FLOWS as u64, u64::MAX] {
            let request = GetFlowsRequest {
                number,
                first,
                ..GetFlowsRequest::default()
            };
            assert_eq!(
                ask(&mut client, request).await,
                Ok(FLOWS),
                "{number} {first}"
            );
        }
    }
}

#[tokio::test]
async fn the_first_of_what_is_to_come_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    let request = GetFlowsRequest {
        first: true,
        follow: true,
        ..GetFlowsRequest::default()
    };
    let text = "first cannot be specified with follow".to_owned();
    assert_eq!(
        ask(&mut client, request).await,
        Err((Code::InvalidArgument, text))
    );
}

#[tokio::test]
async fn values_that_nobody_knows_match_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    let unknown = FlowFilter {
        verdict: vec![4_711, -1],
        ..FlowFilter::default()
    };
    let allow = GetFlowsRequest {
        whitelist: vec![unknown.clone()],
        ..GetFlowsRequest::default()
    };
    assert_eq!(ask(&mut client, allow).await, Ok(0));
    let deny = GetFlowsRequest {
        blacklist: vec![unknown],
        ..GetFlowsRequest::default()
    };
    assert_eq!(ask(&mut client, deny).await, Ok(FLOWS));
}

#[tokio::test]
async fn a_field_that_nobody_knows_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    for path in ["nope", "source.nope", "ip.source", "", "time.seconds.more"] {
        let request = GetFlowsRequest {
            field_mask: Some(FieldMask {
                paths: vec![path.to_owned()],
            }),
            ..GetFlowsRequest::default()
        };
        let text = "invalid fieldmask".to_owned();
        assert_eq!(
            ask(&mut client, request).await,
            Err((Code::Unknown, text)),
            "{path:?}"
        );
    }
}

#[tokio::test]
async fn filters_that_are_too_many_are_refused_with_a_code_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let (mut client, _ring) = server(&directory);
    let names = |patterns: Vec<String>| GetFlowsRequest {
        whitelist: vec![FlowFilter {
            dns_query: patterns,
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    };
    let many = (0..1000).map(|number| format!("^name-{number}\\.$"));
    assert_eq!(ask(&mut client, names(many.collect())).await, Ok(0));
    let large = vec!["[^/]{1,1000}".to_owned(); 100];
    let (code, text) = ask(&mut client, names(large)).await.unwrap_err();
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.starts_with("invalid DNS query filter"), "{text}");
    assert!(text.contains("use fewer or smaller ones"), "{text}");
}
