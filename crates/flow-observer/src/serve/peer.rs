//! The Peer service: the nodes that this agent knows.

use std::{pin::Pin, sync::Arc};

use flow_api::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, peer_server::Peer,
};
use futures::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{agent::Config, enrich::Inventory};

/// A node as it is announced.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PeerNode {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// The nodes to announce: those of the inventory, and this one.
pub(crate) fn peer_nodes(config: &Config, inventory: &Inventory) -> Arc<[PeerNode]> {
    let own_is_listed = inventory
        .nodes
        .iter()
        .any(|node| node.name == config.node_name);
    let own = (!own_is_listed).then(|| PeerNode {
        name: config.node_name.clone(),
        address: format!("unix://{}", config.socket.display()),
    });
    let listed = inventory.nodes.iter().map(|node| PeerNode {
        name: node.name.clone(),
        address: node.address.clone(),
    });
    own.into_iter().chain(listed).collect()
}

/// Announces the nodes of the inventory, and this one.
pub(crate) struct PeerService {
    pub(crate) nodes: Arc<[PeerNode]>,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                Ok(ChangeNotification {
                    name: node.name.clone(),
                    address: node.address.clone(),
                    r#type: ChangeNotificationType::PeerAdded.into(),
                    tls: None,
                })
            })
            .collect();
        let shutdown = self.shutdown.clone();
        // The list is read at the start, so after it nothing changes until the agent ends.
        let open_end = stream::once(async move {
            shutdown.cancelled().await;
            Err(Status::unavailable("the agent is shutting down"))
        });
        Ok(Response::new(Box::pin(stream::iter(nodes).chain(open_end))))
    }
}
