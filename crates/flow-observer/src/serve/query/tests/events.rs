//! Which events a request finds, and what it is shown of them.

use flow_api::{flow::flow_filter::Experimental, observer::GetAgentEventsResponse};
use prost_types::FieldMask;

use super::*;
use crate::enrich::{
    Directory, Inventory,
    facts::{Change, Fact, NodeFact, Provider},
};

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
