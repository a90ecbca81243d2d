//! Those that a server names: the nodes of a relay, the peers that an agent announces.

use std::time::Duration;

use flow_api::{
    connect::TlsOptions,
    observer::GetNodesRequest,
    peer::{ChangeNotification, ChangeNotificationType, NotifyRequest},
};
use tonic::Code;

use super::Subject;
use crate::source::server::{RpcError, Server};

/// The port of an agent whose address names none.
const AGENT_PORT: u16 = 4244;

/// An agent announces all peers at once; when nothing came for so long, these were all.
const QUIET: Duration = Duration::from_millis(300);

/// The first of them may take longer, where there are any.
const FIRST: Duration = Duration::from_secs(1);

/// Nobody has more nodes; whoever names more is not believed.
const MAX_PEERS: usize = 10_000;

/// One that was named.
struct Named {
    name: String,
    address: String,
    /// The name in its certificate; `None` for one without TLS.
    tls: Option<String>,
}

/// The peers that a server names, sorted by name. Trust and identity are as for the server.
///
/// # Errors
/// The server has such a list and does not give it.
pub(super) async fn named(
    server: &Server,
    tls: &TlsOptions,
    patience: Duration,
) -> Result<Vec<Subject>, RpcError> {
    let mut named = match nodes(server).await? {
        Some(nodes) => nodes,
        None => announced(server, patience).await?,
    };
    if named.len() > MAX_PEERS {
        return Err(RpcError {
            code: Code::ResourceExhausted,
            message: format!("it names more than {MAX_PEERS} of them"),
        });
    }
    named.sort_by(|a, b| (&a.name, &a.address).cmp(&(&b.name, &b.address)));
    named.dedup_by(|a, b| a.name == b.name && a.address == b.address);
    let subjects = named.into_iter().map(|peer| {
        let tls = peer.tls.map(|server_name| TlsOptions {
            server_name: Some(server_name).filter(|name| !name.is_empty()),
            ..tls.clone()
        });
        Subject::peer(&peer.name, &with_port(&peer.address), tls, patience)
    });
    Ok(subjects.collect())
}

/// What a relay lists; `None` if the server is no relay.
async fn nodes(server: &Server) -> Result<Option<Vec<Named>>, RpcError> {
    let mut observer = server.observer();
    let call = async |request| observer.get_nodes(request).await;
    let nodes = match server.unary(GetNodesRequest {}, call).await {
        Ok(answer) => answer.nodes,
        Err(error) if error.code == Code::Unimplemented => return Ok(None),
        Err(error) => return Err(error),
    };
    let named = nodes.into_iter().map(|node| Named {
        name: node.name,
        address: node.address,
        tls: node
            .tls
            .filter(|tls| tls.enabled)
            .map(|tls| tls.server_name),
    });
    Ok(Some(named.collect()))
}

/// What an agent announces until it is quiet.
async fn announced(server: &Server, patience: Duration) -> Result<Vec<Named>, RpcError> {
    let mut peer = server.peer();
    let call = peer.notify(NotifyRequest {});
    let mut changes = match tokio::time::timeout(patience, call).await {
        Ok(Ok(changes)) => changes.into_inner(),
        Ok(Err(status)) if status.code() == Code::Unimplemented => return Ok(Vec::new()),
        Ok(Err(status)) => return Err(status.into()),
        Err(_elapsed) => return Ok(Vec::new()),
    };
    let mut named = Vec::new();
    let mut wait = FIRST;
    while let Ok(Ok(Some(change))) = tokio::time::timeout(wait, changes.message()).await {
        wait = QUIET;
        let is_gone = change.r#type() == ChangeNotificationType::PeerDeleted;
        named.retain(|known: &Named| known.name != change.name);
        if !is_gone {
            named.push(Named::from(change));
        }
        if named.len() > MAX_PEERS {
            break;
        }
    }
    Ok(named)
}

impl From<ChangeNotification> for Named {
    fn from(change: ChangeNotification) -> Self {
        Self {
            name: change.name,
            address: change.address,
            tls: change.tls.map(|tls| tls.server_name),
        }
    }
}

/// An address alone means an agent's port.
fn with_port(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{AGENT_PORT}"),
        Ok(std::net::IpAddr::V4(ip)) => format!("{ip}:{AGENT_PORT}"),
        Err(_) => address.to_owned(),
    }
}
