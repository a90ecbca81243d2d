//! The service whose flows stay encoded, with its own client and with the ordinary one.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up fails loudly"
)]

use bytes::Bytes;
use flow_api::{
    connect::{ConnectOptions, Target, connect_lazy},
    flow::Flow,
    observer::{
        GetFlowsRequest, GetFlowsResponse, GetNodesRequest, ServerStatusRequest,
        get_flows_response::ResponseTypes, observer_client,
    },
    service,
};
use prost::Message as _;
use testbed::observer::{Ready, Server};
use tokio_stream::StreamExt as _;
use tonic::{Code, transport::Channel};

/// More than a frame of any size gathers at once, several times over.
const MANY: u64 = 5_000;

fn response(index: u64) -> GetFlowsResponse {
    let flow = Flow {
        uuid: index.to_string(),
        node_name: "x".repeat(100),
        ..Flow::default()
    };
    GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(flow)),
        ..GetFlowsResponse::default()
    }
}

/// A server with these messages, and a channel to it.
fn serve(messages: Vec<Bytes>) -> (Server, Channel) {
    let server = Server::at_port(Ready { messages }, None).unwrap();
    let target: Target = server.address().parse().unwrap();
    let channel = connect_lazy(&target, &ConnectOptions::default()).unwrap();
    (server, channel)
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent() {
    // Not even a message: nobody on the way looks inside.
    let mut sent: Vec<_> = (0..MANY)
        .map(|index| Bytes::from(response(index).encode_to_vec()))
        .collect();
    sent.extend([
        Bytes::new(),
        Bytes::from_static(&[0xff; 3]),
        Bytes::from(vec![7; 1_000_000]),
    ]);
    let (_server, channel) = serve(sent.clone());
    let mut client = service::observer_client::ObserverClient::new(channel);

    let request = GetFlowsRequest {
        number: u64::MAX,
        ..GetFlowsRequest::default()
    };
    let stream = client.get_flows(request).await.unwrap().into_inner();
    let received: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
    assert!(received == sent);
}

#[tokio::test]
async fn an_ordinary_client_decodes_what_was_sent_ready() {
    let sent: Vec<_> = (0..MANY).map(response).collect();
    let messages = sent
        .iter()
        .map(|message| message.encode_to_vec().into())
        .collect();
    let (_server, channel) = serve(messages);
    let mut client = observer_client::ObserverClient::new(channel);

    let request = GetFlowsRequest {
        number: MANY - 1,
        ..GetFlowsRequest::default()
    };
    let stream = client.get_flows(request).await.unwrap().into_inner();
    let received: Vec<GetFlowsResponse> = stream.map(Result::unwrap).collect().await;
    assert!(received == sent[..sent.len() - 1]);
}

#[tokio::test]
async fn the_other_calls_carry_messages() {
    let (_server, channel) = serve(Vec::new());
    let mut client = service::observer_client::ObserverClient::new(channel);
    let status = client
        .server_status(ServerStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.num_flows, 0);
    let refused = client.get_nodes(GetNodesRequest {}).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unimplemented, "GetNodes not implemented")
    );
}

#[test]
fn the_service_has_the_name_that_clients_call() {
    assert_eq!(service::observer_server::SERVICE_NAME, "observer.Observer");
}
