//! The Peer service: the nodes that this agent knows, as relays are to reach them.
//!
//! In: the directory's nodes, whenever they change. Out, for each client: all of them, and then what
//! changes. Nothing is queued between the two: a client that reads slowly hears later, and then of
//! what is so by then.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    time::Duration,
};

use flow_api::peer::{
    ChangeNotification, ChangeNotificationType, NotifyRequest, Tls, peer_server::Peer,
};
use futures::{Stream, stream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::enrich::{NodeName, Nodes, facts::AgentFact};

/// Changes that come within this are told together, as in Hubble.
const GATHER: Duration = Duration::from_millis(50);
/// More changes than that at once are too many for one client, as in Hubble.
const MOST_WAITING: usize = 65_536;
/// What Hubble says then.
const TOO_MANY: &str = "server stream send was blocked for too long";

/// The cluster that names leave out.
const DEFAULT_CLUSTER: &str = "default";
/// What the names in certificates end with.
const TLS_DOMAIN: &str = "hubble-grpc.cilium.io";

/// How nodes are announced.
#[derive(Clone, Debug)]
pub(crate) struct Announcing {
    /// The agent's own node. Always announced.
    pub(crate) own: NodeName,
    /// Where it can be reached on its own host.
    pub(crate) socket: PathBuf,
    /// Where it serves by TCP. The others are taken to serve on the same port.
    pub(crate) listen: Option<SocketAddr>,
    /// TCP is served with TLS, here and so everywhere.
    pub(crate) with_tls: bool,
    /// Of a node's addresses, those of IPv6 come first.
    pub(crate) prefer_ipv6: bool,
}

/// A node as it is announced.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Announced {
    /// Empty when none is known.
    address: String,
    /// The name in its certificate, where it serves with TLS.
    server_name: Option<String>,
}

type Announcement = BTreeMap<String, Announced>;

impl Announcing {
    fn announce(&self, nodes: &Nodes) -> Announcement {
        let nowhere = AgentFact::default();
        let own = nodes.get(&self.own).unwrap_or(&nowhere);
        let own = (&self.own, self.own_address(own));
        let others = nodes
            .iter()
            .filter(|(name, _)| **name != self.own)
            .map(|(name, agent)| (name, self.address(agent)));
        others
            .chain([own])
            .map(|(name, address)| {
                let announced = Announced {
                    server_name: self.server_name(name, &address),
                    address,
                };
                (full_name(name), announced)
            })
            .collect()
    }

    fn own_address(&self, agent: &AgentFact) -> String {
        let listens_at = self.listen.filter(|it| !it.ip().is_unspecified());
        if !agent.address.is_empty() {
            agent.address.clone()
        } else if let (Some(listen), Some(ip)) = (self.listen, self.choose(agent)) {
            SocketAddr::new(ip, listen.port()).to_string()
        } else if let Some(address) = listens_at {
            address.to_string()
        } else {
            format!("unix://{}", self.socket.display())
        }
    }

    fn address(&self, agent: &AgentFact) -> String {
        if !agent.address.is_empty() {
            return agent.address.clone();
        }
        match (self.choose(agent), self.listen) {
            (Some(ip), Some(listen)) => SocketAddr::new(ip, listen.port()).to_string(),
            (Some(ip), None) => ip.to_string(),
            (None, _) => String::new(),
        }
    }

    /// The best address of the preferred family, or of the other.
    fn choose(&self, agent: &AgentFact) -> Option<IpAddr> {
        let is_preferred = |ip: &&IpAddr| ip.is_ipv6() == self.prefer_ipv6;
        let preferred = agent.ips.iter().find(is_preferred);
        preferred.or(agent.ips.first()).copied()
    }

    /// A Unix socket needs no certificate.
    fn server_name(&self, name: &NodeName, address: &str) -> Option<String> {
        if !self.with_tls || address.starts_with("unix:") {
            return None;
        }
        let part = |text: &str| text.replace('.', "-");
        let (node, cluster) = (part(&name.name), part(&name.cluster));
        Some(format!("{node}.{cluster}.{TLS_DOMAIN}"))
    }
}

/// A cluster as the lists tell it: empty for the default one.
pub(crate) fn told_cluster(cluster: &str) -> String {
    match cluster {
        DEFAULT_CLUSTER => String::new(),
        told => told.to_owned(),
    }
}

/// The name of a node, with its cluster unless that is the default one.
pub(crate) fn full_name(name: &NodeName) -> String {
    let NodeName { cluster, name } = name;
    match cluster.as_str() {
        "" | DEFAULT_CLUSTER => name.clone(),
        _ => format!("{cluster}/{name}"),
    }
}

/// Announces the nodes that the directory knows, and this one.
pub(crate) struct PeerService {
    /// The directory has the sender.
    pub(crate) nodes: watch::Receiver<Nodes>,
    pub(crate) announcing: Announcing,
    pub(crate) shutdown: CancellationToken,
}

/// One client's view.
struct Client {
    nodes: watch::Receiver<Nodes>,
    announcing: Announcing,
    told: Announcement,
    /// At most [`MOST_WAITING`].
    next: VecDeque<ChangeNotification>,
    shutdown: CancellationToken,
}

impl Client {
    /// Waits for the next change. `None` once the agent is ending.
    async fn change(&mut self) -> Option<Result<ChangeNotification, Status>> {
        loop {
            if let Some(change) = self.next.pop_front() {
                return Some(Ok(change));
            }
            let nodes = &mut self.nodes;
            let changed = async {
                if nodes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(GATHER).await;
            };
            self.shutdown.run_until_cancelled(changed).await?;
            if let Err(status) = self.look() {
                return Some(Err(status));
            }
        }
    }

    /// Compares what is so now with what was told.
    fn look(&mut self) -> Result<(), Status> {
        let now = self.announcing.announce(&self.nodes.borrow_and_update());
        let changes = changes(&self.told, &now);
        if changes.len() > MOST_WAITING {
            return Err(Status::unknown(TOO_MANY));
        }
        self.next.extend(changes);
        self.told = now;
        Ok(())
    }
}

/// What makes `after` of `before`.
fn changes(before: &Announcement, after: &Announcement) -> Vec<ChangeNotification> {
    let gone = before
        .iter()
        .filter(|(name, _)| !after.contains_key(*name))
        .map(|(name, node)| notification(name, node, ChangeNotificationType::PeerDeleted));
    let new = after
        .iter()
        .filter_map(|(name, node)| match before.get(name) {
            None => Some((name, node, ChangeNotificationType::PeerAdded)),
            Some(known) if known.address != node.address => {
                Some((name, node, ChangeNotificationType::PeerUpdated))
            }
            Some(_) => None,
        })
        .map(|(name, node, kind)| notification(name, node, kind));
    gone.chain(new).collect()
}

fn notification(name: &str, node: &Announced, kind: ChangeNotificationType) -> ChangeNotification {
    let tls = node
        .server_name
        .clone()
        .map(|server_name| Tls { server_name });
    ChangeNotification {
        name: name.to_owned(),
        address: node.address.clone(),
        r#type: kind.into(),
        tls,
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type NotifyStream = Pin<Box<dyn Stream<Item = Result<ChangeNotification, Status>> + Send>>;

    async fn notify(
        &self,
        _request: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let mut client = Client {
            nodes: self.nodes.clone(),
            announcing: self.announcing.clone(),
            told: Announcement::new(),
            next: VecDeque::new(),
            shutdown: self.shutdown.clone(),
        };
        client.look()?;
        let stream = stream::unfold(Some(client), async |client| {
            let mut client = client?;
            let change = client.change().await?;
            // An error is the last that a client hears.
            let rest = change.is_ok().then_some(client);
            Some((change, rest))
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

#[cfg(test)]
mod tests;
