//! Tokens: who may see what, and what is written down about it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use flow_api::codec::PassThrough;
use flow_api::flow::{Endpoint, Flow, FlowFilter, Ip};
use flow_api::observer::get_flows_response::ResponseTypes;
use flow_api::observer::{
    GetAgentEventsRequest, GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNodesRequest,
};
use prost::Message as _;
use relay::{Relay, RelayError};
use tempfile::TempDir;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Client, Cluster, FakePeer, LONG, config, time};

const OPERATOR: &str = "operators-0123456789";
const SHOP: &str = "team-shop-0123456789";

fn tokens(path: &Path, shop_namespaces: &str) {
    let text = format!(
        "tokens:\n- name: operators\n  token: {OPERATOR}\n\
         - name: team-shop\n  token: {SHOP}\n  namespaces: [{shop_namespaces}]\n"
    );
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

/// A call with a token.
fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// A relay over a peer that needs tokens, ready.
async fn guarded(peer: &FakePeer, dir: &TempDir) -> (Cluster, Client) {
    let path = dir.path().join("tokens.yaml");
    tokens(&path, "shop");
    let mut config = config();
    config.tokens_file = Some(path);
    config.peers = vec![peer.listed()];
    let cluster = Cluster::start(config).await;
    let client = cluster.client().await;
    let start = std::time::Instant::now();
    loop {
        let request = with(OPERATOR, GetNodesRequest {});
        let nodes = client.grpc.clone().get_nodes(request).await.unwrap();
        let [node] = &nodes.get_ref().nodes[..] else {
            panic!("one node: {nodes:?}");
        };
        if node.state() == flow_api::relay::NodeState::NodeConnected {
            return (cluster, client);
        }
        assert!(start.elapsed() < LONG);
    }
}

#[tokio::test]
async fn without_a_token_there_is_nothing_but_health() {
    let (peer, dir) = (FakePeer::with_flows("a", [1]), TempDir::new().unwrap());
    let (cluster, mut client) = guarded(&peer, &dir).await;
    let error = client
        .grpc
        .get_flows(GetFlowsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.message().contains("authorization: Bearer"), "{error}");
    let request = with("somebody-0123456789", GetFlowsRequest::default());
    let error = client.grpc.get_flows(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(peer.requests().is_empty());

    let options = flow_api::connect::ConnectOptions::default();
    let channel = flow_api::connect::connect(&cluster.address, &options);
    let mut health = HealthClient::new(channel.await.unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_token_of_namespaces_sees_flows_of_those_and_nothing_that_has_none() {
    let (peer, dir) = (FakePeer::with_flows("a", [1]), TempDir::new().unwrap());
    peer.set_namespaces(&[("", "shop"), ("", "bank")]);
    let (_cluster, mut client) = guarded(&peer, &dir).await;

    client.all(with(SHOP, GetFlowsRequest::default())).await;
    client.all(with(OPERATOR, GetFlowsRequest::default())).await;
    let requests = peer.requests();
    let [(shop, metadata), (operator, _)] = &requests[..] else {
        panic!("two requests: {requests:?}");
    };
    let [from, to] = &shop.whitelist[..] else {
        panic!("from and to: {shop:?}");
    };
    assert_eq!(from.source_pod, ["shop/"]);
    assert_eq!(to.destination_pod, ["shop/"]);
    assert!(metadata.get("authorization").is_none());
    assert_eq!(*operator, GetFlowsRequest::default());

    let elsewhere = FlowFilter {
        source_pod: vec!["bank/".into()],
        destination_pod: vec!["bank/".into()],
        ..Default::default()
    };
    let request = GetFlowsRequest {
        whitelist: vec![elsewhere],
        ..Default::default()
    };
    let error = client
        .grpc
        .get_flows(with(SHOP, request))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let request = with(SHOP, GetAgentEventsRequest::default());
    let error = client.grpc.get_agent_events(request).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);

    let request = with(SHOP, GetNamespacesRequest {});
    let namespaces = client.grpc.get_namespaces(request).await.unwrap();
    let names = namespaces.into_inner().namespaces;
    let names: Vec<_> = names.iter().map(|it| it.namespace.as_str()).collect();
    assert_eq!(names, ["shop"]);
    let nodes = client.grpc.get_nodes(with(SHOP, GetNodesRequest {})).await;
    let node = nodes.unwrap().into_inner().nodes.remove(0);
    assert_eq!((node.name.as_str(), node.address.as_str()), ("a", ""));
}

#[tokio::test]
async fn of_an_end_in_another_namespace_only_its_address_is_seen() {
    let (peer, dir) = (FakePeer::new("a"), TempDir::new().unwrap());
    let pod = |namespace: &str, name: &str| Endpoint {
        namespace: namespace.into(),
        pod_name: name.into(),
        identity: 5000,
        labels: vec![format!("k8s:app={name}")],
        ..Endpoint::default()
    };
    let flow = Flow {
        time: Some(time(1)),
        ip: Some(Ip {
            destination: "10.0.0.2".into(),
            ..Ip::default()
        }),
        source: Some(pod("shop", "web")),
        destination: Some(pod("bank", "vault")),
        destination_names: vec!["vault.bank.svc".into()],
        ..Flow::default()
    };
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(flow.clone())),
        node_name: "a".into(),
        time: flow.time,
    };
    peer.raw(time(1), response.encode_to_vec().into());
    let (_cluster, client) = guarded(&peer, &dir).await;

    let mut seen = Vec::new();
    for (token, follow) in [(OPERATOR, false), (SHOP, false), (SHOP, true)] {
        let request = GetFlowsRequest {
            follow,
            ..GetFlowsRequest::default()
        };
        let mut flows = client.flows(with(token, request)).await.0;
        seen.push(loop {
            let next = tokio::time::timeout(LONG, flows.message()).await.unwrap();
            if let Some(ResponseTypes::Flow(flow)) = next.unwrap().unwrap().response_types {
                break flow;
            }
        });
    }
    let redacted = Flow {
        destination: Some(Endpoint::default()),
        destination_names: vec![],
        ..flow.clone()
    };
    assert_eq!(seen, [flow, redacted.clone(), redacted]);

    // Nor is it found by asking for it.
    let request = GetFlowsRequest {
        whitelist: vec![FlowFilter {
            destination_label: vec!["app=vault".into()],
            ..FlowFilter::default()
        }],
        blacklist: vec![FlowFilter {
            destination_pod: vec!["bank/".into()],
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    };
    client.all(with(SHOP, request)).await;
    let (asked, _) = peer.requests().pop().unwrap();
    let is_within = |filter: &FlowFilter| filter.destination_pod == ["shop/"];
    assert!(asked.whitelist.iter().all(is_within), "{asked:?}");
    assert!(asked.blacklist.is_empty());
}

#[tokio::test]
async fn a_follow_ends_when_its_token_is_changed_and_another_one_goes_on() {
    let (peer, dir) = (FakePeer::new("a"), TempDir::new().unwrap());
    let (_cluster, client) = guarded(&peer, &dir).await;
    let follow = || GetFlowsRequest {
        follow: true,
        ..Default::default()
    };
    let mut shop = client.flows(with(SHOP, follow())).await;
    let mut operator = client.flows(with(OPERATOR, follow())).await;
    shop.next_status().await;
    operator.next_status().await;

    tokens(&dir.path().join("tokens.yaml"), "bank");
    let error = loop {
        match shop.try_next().await {
            Ok(item) => assert!(item.is_some(), "it ends with an error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::Unauthenticated);
    peer.flow_now();
    operator.next_flow().await;
}

#[tokio::test]
async fn a_broken_file_of_tokens_ends_the_start_with_its_line() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tokens.yaml");
    fs::write(&path, "tokens:\n- name: a\n  token: short\n").unwrap();
    let mut config = config();
    config.peers = vec!["a=192.0.2.1".parse().unwrap()];
    config.tokens_file = Some(path.clone());
    let error = Relay::bind(config).await.unwrap_err();
    assert!(matches!(error, RelayError::Tokens(_)));
    let expected = format!("{}:2: token of \"a\": ", path.display());
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn each_call_is_written_down_with_who_asked_and_how_it_ended() {
    let (peer, dir) = (FakePeer::with_flows("a", [1, 2]), TempDir::new().unwrap());
    let (tokens_path, log) = (dir.path().join("tokens.yaml"), dir.path().join("audit"));
    tokens(&tokens_path, "shop");
    let mut config = config();
    config.tokens_file = Some(tokens_path);
    config.audit_log = Some(log.clone());
    config.peers = vec![peer.listed()];
    let cluster = Cluster::start(config).await;
    let mut client = cluster.client().await;
    let request = GetFlowsRequest {
        number: 2,
        ..Default::default()
    };
    client.all(with(SHOP, request)).await;
    let refused = client.grpc.get_nodes(GetNodesRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let follow = GetFlowsRequest {
        follow: true,
        ..Default::default()
    };
    let mut follow = client.flows(with(OPERATOR, follow)).await;
    follow.next_status().await;
    drop(follow);

    let start = std::time::Instant::now();
    let lines: Vec<serde_json::Value> = loop {
        let text = fs::read_to_string(&log).unwrap();
        if text.lines().count() == 3 {
            let line = |line: &str| serde_json::from_str(line).unwrap();
            break text.lines().map(line).collect();
        }
        assert!(start.elapsed() < LONG, "{text}");
        tokio::task::yield_now().await;
    };
    let told = |line: &serde_json::Value| {
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        [text("token"), text("call"), text("code")]
    };
    assert_eq!(told(&lines[0]), ["team-shop", "GetFlows", "OK"]);
    assert_eq!(lines[0]["request"]["number"], "2");
    assert!(lines[0]["client"].as_str().unwrap().starts_with("user "));
    assert_eq!(told(&lines[1]), ["-", "refused", "Unauthenticated"]);
    assert_eq!(told(&lines[2]), ["operators", "GetFlows", "Canceled"]);
}

/// A request as it is on the wire.
#[derive(Clone, PartialEq, prost::Message)]
struct RawRequest {
    #[prost(bytes = "vec", repeated, tag = "5")]
    blacklist: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    whitelist: Vec<Vec<u8>>,
    /// What a later version may have.
    #[prost(bool, tag = "77")]
    other: bool,
}

#[tokio::test]
async fn a_filter_with_a_field_that_the_relay_does_not_know_is_refused_and_never_asked_without_it()
{
    let (peer, dir) = (FakePeer::with_flows("a", [1]), TempDir::new().unwrap());
    let (cluster, _client) = guarded(&peer, &dir).await;
    let options = flow_api::connect::ConnectOptions::default();
    let channel = flow_api::connect::connect(&cluster.address, &options);
    let mut grpc = tonic::client::Grpc::new(channel.await.unwrap());
    let mut ask = async |token: &str, request: RawRequest| {
        let codec = PassThrough::<Bytes, Bytes>::default();
        let request = Bytes::from(request.encode_to_vec());
        let path = http::uri::PathAndQuery::from_static("/observer.Observer/GetFlows");
        grpc.ready().await.unwrap();
        grpc.server_streaming(with(token, request), path, codec)
            .await
    };
    // Field 41, which is all that it has.
    let unknown = vec![vec![0xca, 0x02, 1, b'x']];
    for token in [OPERATOR, SHOP] {
        for (list, whitelist, blacklist) in [
            ("whitelist", unknown.clone(), Vec::new()),
            ("blacklist", Vec::new(), unknown.clone()),
        ] {
            let request = RawRequest {
                blacklist,
                whitelist,
                other: true,
            };
            let status = ask(token, request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            let expected = format!("field 41 of a filter in the {list}");
            assert!(status.message().contains(&expected), "{status}");
        }
        assert!(peer.requests().is_empty(), "a wider filter was asked");
    }
    // Elsewhere a later version may have more to say.
    let request = RawRequest {
        other: true,
        ..RawRequest::default()
    };
    let mut stream = ask(SHOP, request).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    assert_eq!(peer.requests().len(), 1);
}
