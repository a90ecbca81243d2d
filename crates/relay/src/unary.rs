//! Calls with one answer: every available peer is asked at the same time, and what they say is put
//! together. A peer that fails or hangs is left out and counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flow_api::observer::{
    GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest, GetNodesResponse, Node,
    ServerStatusRequest, ServerStatusResponse, Tls,
};
use flow_api::relay::NodeState;
use flow_api::service::observer_client::ObserverClient;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::defaults::{UNARY_AT_ONCE, UNARY_TIMEOUT, UNAVAILABLE_NAMES};
use crate::names::Names;
use crate::pool::{Member, Pool};
use crate::status::error_text;

/// How long the client waits, as gRPC tells it.
const TIMEOUT_HEADER: &str = "grpc-timeout";

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

/// The client's side of a call with one answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its metadata, passed on.
    metadata: MetadataMap,
    /// When the answer has to be there.
    deadline: Instant,
}

impl Asked {
    /// With the metadata as it is passed on, and as it came: a client that waits for a shorter time
    /// than this relay would, such as a relay above it, gets what there is before it gives up.
    pub(crate) fn new(forwarded: MetadataMap, metadata: &MetadataMap) -> Self {
        let wait = metadata
            .get(TIMEOUT_HEADER)
            .and_then(|value| value.to_str().ok())
            .and_then(grpc_timeout)
            .map_or(UNARY_TIMEOUT, |wait| UNARY_TIMEOUT.min(wait.mul_f64(0.8)));
        Self {
            metadata: forwarded,
            deadline: Instant::now() + wait,
        }
    }

    /// The same question for a peer, that knows how long it may take.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        request.set_timeout(self.deadline.saturating_duration_since(Instant::now()));
        request
    }
}

/// A time as gRPC has it in a header: up to eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Asks all peers at once, as far as that is fit; the answers come by name.
async fn ask_all<T, F>(
    pool: &Pool,
    asked: &Asked,
    what: &str,
    call: impl Fn(ObserverClient<Channel>) -> F,
) -> Vec<(Arc<Member>, Answer<T>)>
where
    F: Future<Output = Result<T, Status>>,
{
    let members = pool.members();
    let call = &call;
    let answer = |member: Arc<Member>| async move {
        let answer = ask(&member, asked, what, call).await;
        (member, answer)
    };
    let answers: Vec<_> = members.values().cloned().map(answer).collect();
    futures::stream::iter(answers)
        .buffered(UNARY_AT_ONCE)
        .collect()
        .await
}

async fn ask<T, F>(
    member: &Member,
    asked: &Asked,
    what: &str,
    call: impl Fn(ObserverClient<Channel>) -> F,
) -> Answer<T>
where
    F: Future<Output = Result<T, Status>>,
{
    let (Some(connections), true) = (member.connections().0, member.is_available()) else {
        return Answer::Unavailable;
    };
    let error = match connections.channel() {
        Err(error) => error.to_string(),
        Ok(channel) => match timeout_at(asked.deadline, call(ObserverClient::new(channel))).await {
            Ok(Ok(answer)) => return Answer::Ok(answer),
            Ok(Err(status)) => {
                member.nudge();
                error_text(&status)
            }
            Err(_elapsed) => "no answer in time".to_owned(),
        },
    };
    tracing::warn!(peer = %member.name, %error, call = what, "peer did not answer");
    Answer::Failed
}

/// What a peer says of itself: one node, or those behind it where it is a relay.
enum Behind {
    Node(ServerStatusResponse),
    Nodes(Vec<Node>),
}

/// All known nodes by name, with what those say of themselves that answer. Behind a peer that is a
/// relay there are those that it knows.
pub(crate) async fn nodes(pool: &Pool, asked: &Asked) -> GetNodesResponse {
    let answers = ask_all(pool, asked, "GetNodes", |mut client| async move {
        let request = asked.request(ServerStatusRequest {});
        let status = client.server_status(request).await?.into_inner();
        // Only relays count nodes.
        if status.num_connected_nodes.is_none() {
            return Ok(Behind::Node(status));
        }
        let request = asked.request(GetNodesRequest {});
        let nodes = client.get_nodes(request).await?.into_inner().nodes;
        Ok(Behind::Nodes(nodes))
    });
    let mut nodes = Vec::new();
    for (member, answer) in answers.await {
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
            Answer::Ok(Behind::Node(status)) => {
                node.set_state(NodeState::NodeConnected);
                node.version = status.version;
                node.uptime_ns = status.uptime_ns;
                node.max_flows = status.max_flows;
                node.num_flows = status.num_flows;
                node.seen_flows = status.seen_flows;
            }
            Answer::Ok(Behind::Nodes(mut behind)) => {
                let names = Names::of(Arc::clone(&member.name));
                for node in &mut behind {
                    names.complete(&mut node.name);
                }
                nodes.extend(behind);
                continue;
            }
        }
        nodes.push(node);
    }
    GetNodesResponse { nodes }
}

/// The namespaces of all peers that answer, each once, by cluster and name.
pub(crate) async fn namespaces(pool: &Pool, asked: &Asked) -> GetNamespacesResponse {
    let answers = ask_all(pool, asked, "GetNamespaces", |mut client| async move {
        let request = asked.request(GetNamespacesRequest {});
        Ok(client.get_namespaces(request).await?.into_inner())
    });
    let mut seen = BTreeSet::new();
    let mut namespaces = Vec::new();
    for (member, answer) in answers.await {
        let Answer::Ok(answer) = answer else { continue };
        let names = Names::of(Arc::clone(&member.name));
        for mut namespace in answer.namespaces {
            if namespace.cluster.is_empty() {
                namespace.cluster = names.cluster().unwrap_or_default().to_owned();
            }
            if seen.insert((namespace.cluster.clone(), namespace.namespace.clone())) {
                namespaces.push(namespace);
            }
        }
    }
    namespaces.sort_by(|a, b| (&a.cluster, &a.namespace).cmp(&(&b.cluster, &b.namespace)));
    GetNamespacesResponse { namespaces }
}

/// Of a relay that has nothing to add.
pub(crate) fn status_of_nothing() -> ServerStatusResponse {
    ServerStatusResponse {
        version: version(),
        num_connected_nodes: Some(0),
        num_unavailable_nodes: Some(0),
        ..ServerStatusResponse::default()
    }
}

/// Sums over the peers that answer. The uptime is the longest one. Of a peer that is a relay, the
/// nodes behind it count.
pub(crate) async fn server_status(pool: &Pool, asked: &Asked) -> ServerStatusResponse {
    let answers = ask_all(pool, asked, "ServerStatus", |mut client| async move {
        let request = asked.request(ServerStatusRequest {});
        Ok(client.server_status(request).await?.into_inner())
    });
    let mut sum = ServerStatusResponse {
        version: version(),
        ..Default::default()
    };
    let (mut connected, mut unavailable) = (0_u32, 0_u32);
    let mut names = Vec::new();
    for (member, answer) in answers.await {
        if let Answer::Ok(mut status) = answer {
            let peer_names = Names::of(Arc::clone(&member.name));
            for name in &mut status.unavailable_nodes {
                peer_names.complete(name);
            }
            connected = connected.saturating_add(status.num_connected_nodes.unwrap_or(1));
            unavailable = unavailable.saturating_add(status.num_unavailable_nodes.unwrap_or(0));
            names.extend(status.unavailable_nodes);
            // Peers may send any number; a sum that wraps would be worse than one that stops.
            sum.num_flows = sum.num_flows.saturating_add(status.num_flows);
            sum.max_flows = sum.max_flows.saturating_add(status.max_flows);
            sum.seen_flows = sum.seen_flows.saturating_add(status.seen_flows);
            sum.flows_rate += status.flows_rate;
            sum.uptime_ns = sum.uptime_ns.max(status.uptime_ns);
        } else {
            unavailable = unavailable.saturating_add(1);
            names.push(member.name.to_string());
        }
        names.truncate(UNAVAILABLE_NAMES);
    }
    sum.unavailable_nodes = names;
    sum.num_connected_nodes = Some(connected);
    sum.num_unavailable_nodes = Some(unavailable);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_patience_is_read_as_grpc_writes_it() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("1H", Some(Duration::from_secs(3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("", None),
            ("S", None),
            ("5", None),
            ("5x", None),
            ("123456789S", None),
            ("5\u{e9}", None),
        ] {
            assert_eq!(grpc_timeout(text), expected, "{text}");
        }
    }
}
