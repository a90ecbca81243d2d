//! The Peer service: the nodes that this agent knows.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::Arc,
};

use flow_api::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, peer_server::Peer,
};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{agent::Config, enrich::Inventory};

/// The nodes to announce: addresses by name.
pub(crate) type PeerNodes = Arc<BTreeMap<String, String>>;

/// The nodes of the inventory, and this one.
pub(crate) fn peer_nodes(config: &Config, inventory: &Inventory) -> PeerNodes {
    let own = (
        config.node_name.clone(),
        format!("unix://{}", config.socket.display()),
    );
    let listed = inventory
        .nodes
        .iter()
        .map(|node| (node.name.clone(), node.address.clone()));
    // What the inventory says about this node comes after what it thinks of itself.
    Arc::new([own].into_iter().chain(listed).collect())
}

/// Announces the nodes of the inventory, and this one.
pub(crate) struct PeerService {
    /// The sender is with whoever follows the inventory; when it is dropped, nothing changes any
    /// more.
    pub(crate) nodes: watch::Receiver<PeerNodes>,
    pub(crate) shutdown: CancellationToken,
}

/// One client's view.
struct Announcing {
    nodes: watch::Receiver<PeerNodes>,
    told: PeerNodes,
    /// At most twice as many as there are nodes.
    next: VecDeque<ChangeNotification>,
    shutdown: CancellationToken,
}

impl Announcing {
    /// Waits for the next change. `Err` once the agent is ending.
    async fn change(&mut self) -> Result<ChangeNotification, Status> {
        loop {
            if let Some(change) = self.next.pop_front() {
                return Ok(change);
            }
            let nodes = &mut self.nodes;
            let changed = async {
                if nodes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            if self.shutdown.run_until_cancelled(changed).await.is_none() {
                return Err(Status::unavailable("the agent is shutting down"));
            }
            let now = Arc::clone(&self.nodes.borrow_and_update());
            self.next.extend(changes(&self.told, &now));
            self.told = now;
        }
    }
}

/// What makes `after` of `before`.
fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<ChangeNotification> {
    let gone = before
        .iter()
        .filter(|(name, _)| !after.contains_key(*name))
        .map(|(name, address)| notification(name, address, ChangeNotificationType::PeerDeleted));
    let new = after
        .iter()
        .filter_map(|(name, address)| match before.get(name) {
            None => Some((name, address, ChangeNotificationType::PeerAdded)),
            Some(known) if known != address => {
                Some((name, address, ChangeNotificationType::PeerUpdated))
            }
            Some(_) => None,
        })
        .map(|(name, address, kind)| notification(name, address, kind));
    gone.chain(new).collect()
}

fn notification(name: &str, address: &str, kind: ChangeNotificationType) -> ChangeNotification {
    ChangeNotification {
        name: name.to_owned(),
        address: address.to_owned(),
        r#type: kind.into(),
        tls: None,
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let mut nodes = self.nodes.clone();
        let told = Arc::clone(&nodes.borrow_and_update());
        let announcing = Announcing {
            next: changes(&BTreeMap::new(), &told).into(),
            nodes,
            told,
            shutdown: self.shutdown.clone(),
        };
        let stream = stream::unfold(Some(announcing), async |announcing| {
            let mut announcing = announcing?;
            let change = announcing.change().await;
            // The error is the last that a client hears.
            let rest = change.is_ok().then_some(announcing);
            Some((change, rest))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    fn nodes(nodes: &[(&str, &str)]) -> PeerNodes {
        let owned = |&(name, address): &(&str, &str)| (name.to_owned(), address.to_owned());
        Arc::new(nodes.iter().map(owned).collect())
    }

    #[tokio::test]
    async fn clients_hear_all_nodes_and_then_what_changes() {
        let (sender, receiver) = watch::channel(nodes(&[("a", "1"), ("b", "2")]));
        let shutdown = CancellationToken::new();
        let service = PeerService {
            nodes: receiver,
            shutdown: shutdown.clone(),
        };
        let stream = service.notify(Request::new(NotifyRequest {})).await;
        let mut stream = stream.unwrap().into_inner();
        let mut heard = async |count| {
            let mut heard = Vec::new();
            while heard.len() < count {
                let change = stream.next().await.unwrap().unwrap();
                heard.push((change.r#type().as_str_name(), change.name, change.address));
            }
            heard
        };
        let row = |kind, name: &str, address: &str| (kind, name.to_owned(), address.to_owned());
        assert_eq!(
            heard(2).await,
            [row("PEER_ADDED", "a", "1"), row("PEER_ADDED", "b", "2")]
        );
        sender.send(nodes(&[("b", "3"), ("c", "4")])).unwrap();
        assert_eq!(
            heard(3).await,
            [
                row("PEER_DELETED", "a", "1"),
                row("PEER_UPDATED", "b", "3"),
                row("PEER_ADDED", "c", "4"),
            ]
        );
        drop(sender);
        shutdown.cancel();
        let last = stream.next().await.unwrap().unwrap_err();
        assert_eq!(last.code(), tonic::Code::Unavailable);
        assert!(stream.next().await.is_none());
    }
}
