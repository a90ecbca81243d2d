//! Calls with one answer: every available peer is asked at the same time, and what they say is put
//! together. A peer that fails or hangs is left out and counted.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow_api::observer::{
    GetNamespacesRequest, GetNamespacesResponse, GetNodesResponse, Node, ServerStatusRequest,
    ServerStatusResponse, Tls,
};
use flow_api::relay::NodeState;
use flow_api::service::observer_client::ObserverClient;
use futures::future::join_all;
use tokio::time::timeout;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::defaults::{UNARY_TIMEOUT, UNAVAILABLE_NAMES};
use crate::pool::{Member, Pool};
use crate::status::error_text;

/// What the relay calls itself.
fn version() -> String {
    concat!("palomar-relay v", env!("CARGO_PKG_VERSION")).to_owned()
}

/// What came of asking one peer.
enum Answer<T> {
    /// It is down, so it was not asked.
    Unavailable,
    /// It was asked in vain.
    Failed,
    Ok(T),
}

/// Asks all peers at once; the answers come by name.
async fn ask_all<T, F>(
    pool: &Pool,
    metadata: &MetadataMap,
    what: &str,
    call: impl Fn(ObserverClient<Channel>, MetadataMap) -> F,
) -> Vec<(Arc<Member>, Answer<T>)>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let members = pool.members();
    let asked = members.values().map(|member| async {
        let answer = ask(member, metadata.clone(), what, &call).await;
        (Arc::clone(member), answer)
    });
    join_all(asked).await
}

async fn ask<T, F>(
    member: &Member,
    metadata: MetadataMap,
    what: &str,
    call: impl Fn(ObserverClient<Channel>, MetadataMap) -> F,
) -> Answer<T>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let (Some(connections), true) = (member.connections().0, member.is_available()) else {
        return Answer::Unavailable;
    };
    let channel = match connections.channel() {
        Ok(channel) => channel,
        Err(error) => {
            tracing::warn!(peer = %member.name, %error, call = what, "peer did not answer");
            return Answer::Failed;
        }
    };
    let error = match timeout(UNARY_TIMEOUT, call(ObserverClient::new(channel), metadata)).await {
        Ok(Ok(response)) => return Answer::Ok(response.into_inner()),
        Ok(Err(status)) => {
            member.nudge();
            error_text(&status)
        }
        Err(_elapsed) => format!("no answer within {UNARY_TIMEOUT:?}"),
    };
    tracing::warn!(peer = %member.name, %error, call = what, "peer did not answer");
    Answer::Failed
}

fn request<T>(message: T, metadata: MetadataMap) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata;
    request
}

async fn ask_status(
    pool: &Pool,
    metadata: &MetadataMap,
) -> Vec<(Arc<Member>, Answer<ServerStatusResponse>)> {
    ask_all(
        pool,
        metadata,
        "ServerStatus",
        |mut client, metadata| async move {
            client
                .server_status(request(ServerStatusRequest {}, metadata))
                .await
        },
    )
    .await
}

/// All known nodes by name, with what those say of themselves that answer.
pub(crate) async fn nodes(pool: &Pool, metadata: &MetadataMap) -> GetNodesResponse {
    let nodes = ask_status(pool, metadata)
        .await
        .into_iter()
        .map(|(member, answer)| {
            let peer = member.peer();
            let mut node = Node {
                name: member.name.to_string(),
                address: peer.address,
                tls: Some(Tls {
                    enabled: !peer.tls_server_name.is_empty(),
                    server_name: peer.tls_server_name,
                }),
                ..Node::default()
            };
            match answer {
                Answer::Unavailable => node.set_state(NodeState::NodeUnavailable),
                Answer::Failed => node.set_state(NodeState::NodeError),
                Answer::Ok(status) => {
                    node.set_state(NodeState::NodeConnected);
                    node.version = status.version;
                    node.uptime_ns = status.uptime_ns;
                    node.max_flows = status.max_flows;
                    node.num_flows = status.num_flows;
                    node.seen_flows = status.seen_flows;
                }
            }
            node
        });
    GetNodesResponse {
        nodes: nodes.collect(),
    }
}

/// The namespaces of all peers that answer, each once, by cluster and name.
pub(crate) async fn namespaces(pool: &Pool, metadata: &MetadataMap) -> GetNamespacesResponse {
    let answers = ask_all(
        pool,
        metadata,
        "GetNamespaces",
        |mut client, metadata| async move {
            client
                .get_namespaces(request(GetNamespacesRequest {}, metadata))
                .await
        },
    )
    .await;
    let mut seen = BTreeSet::new();
    let mut namespaces = Vec::new();
    for (_, answer) in answers {
        let Answer::Ok(answer) = answer else { continue };
        for namespace in answer.namespaces {
            if seen.insert((namespace.cluster.clone(), namespace.namespace.clone())) {
                namespaces.push(namespace);
            }
        }
    }
    namespaces.sort_by(|a, b| (&a.cluster, &a.namespace).cmp(&(&b.cluster, &b.namespace)));
    GetNamespacesResponse { namespaces }
}

/// Sums over the peers that answer. The uptime is the longest one.
pub(crate) async fn server_status(pool: &Pool, metadata: &MetadataMap) -> ServerStatusResponse {
    let mut sum = ServerStatusResponse {
        version: version(),
        ..Default::default()
    };
    let (mut connected, mut unavailable) = (0_u32, 0_u32);
    for (member, answer) in ask_status(pool, metadata).await {
        if let Answer::Ok(status) = answer {
            connected += 1;
            // Peers may send any number; a sum that wraps would be worse than one that stops.
            sum.num_flows = sum.num_flows.saturating_add(status.num_flows);
            sum.max_flows = sum.max_flows.saturating_add(status.max_flows);
            sum.seen_flows = sum.seen_flows.saturating_add(status.seen_flows);
            sum.flows_rate += status.flows_rate;
            sum.uptime_ns = sum.uptime_ns.max(status.uptime_ns);
        } else {
            unavailable += 1;
            if sum.unavailable_nodes.len() < UNAVAILABLE_NAMES {
                sum.unavailable_nodes.push(member.name.to_string());
            }
        }
    }
    sum.num_connected_nodes = Some(connected);
    sum.num_unavailable_nodes = Some(unavailable);
    sum
}
