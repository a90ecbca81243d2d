//! A cluster to test a relay against: fake peers on Unix sockets, a relay, and a client.

mod certificates;
mod client;
mod names;
mod peer;
mod peer_list;

use std::time::Duration;

use flow_api::connect::Target;
use relay::{Config, Listen, Relay, RelayError, StaticPeer};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use certificates::{Authority, tls_server};
pub(crate) use client::{Client, Flows, Item, flow_times};
pub(crate) use names::NameServer;
pub(crate) use peer::{FakePeer, encoded_flow, time};
pub(crate) use peer_list::PeerList;

/// Much longer than anything in a test takes that does not hang.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// The name under which the relay reports.
pub(crate) const RELAY_NAME: &str = "relay-host";

/// A relay that runs, with a folder for sockets. Dropping it stops it.
pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    pub(crate) address: Target,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), RelayError>>,
}

impl Cluster {
    /// A relay over these peers, ready when all of them are connected.
    pub(crate) async fn over(peers: &[&FakePeer]) -> Self {
        Self::with(peers, |_| {}).await
    }

    /// The same, with changes to the configuration.
    pub(crate) async fn with(peers: &[&FakePeer], change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config();
        config.peers = peers.iter().map(|peer| peer.listed()).collect();
        change(&mut config);
        let cluster = Self::start(config).await;
        cluster.client().await.connected_nodes(peers.len()).await;
        cluster
    }

    /// A relay with this configuration, at a socket of its own.
    pub(crate) async fn start(mut config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        config.listen = vec![Listen::Unix(dir.path().join("relay.sock"))];
        let relay = Relay::bind(config).await.unwrap();
        let address = relay.addresses()[0].clone();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(relay.serve(shutdown.clone()));
        Self {
            dir,
            address,
            shutdown,
            running,
        }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address).await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) fn config() -> Config {
    Config {
        node_name: RELAY_NAME.into(),
        ..Config::default()
    }
}

/// A peer that is listed and does not exist.
pub(crate) fn absent_peer(name: &str) -> StaticPeer {
    format!("{name}=unix:///nonexistent/{name}.sock")
        .parse()
        .unwrap()
}
