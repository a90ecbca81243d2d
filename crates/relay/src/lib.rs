//! Peers, merge and serve: many node agents as one Observer service.
//!
//! ```text
//! peer service, --peer ──> discovery ──> PeerSet (watch) ──> pool: one member per peer
//!                                                              │
//! client ──> serve ──> flows: one reader per member ──> merge ──> client
//!                  └─> unary: nodes, namespaces, status
//! ```
//!
//! Flows are not decoded: of each message the time and the kind are read, and the bytes go on.
//! Nothing that a peer does, or fails to do, ends a client's stream; it becomes a status event in it.

mod call;
mod credit;
mod defaults;
mod discovery;
mod flows;
mod health;
mod listen;
mod merge;
mod monitor;
mod peers;
mod pool;
mod reader;
mod retry;
mod serve;
mod status;
mod unary;
mod wire;

use std::io;
use std::time::Duration;

use flow_api::connect::Target;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::discovery::Discovery;
use crate::flows::Settings;
use crate::health::HealthService;
use crate::listen::Listener;
use crate::pool::Keeper;
use crate::serve::RelayService;

pub use crate::listen::{Listen, ListenParseError};
pub use crate::peers::{StaticPeer, StaticPeerError};

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// An agent that announces the nodes; asked again whenever its stream ends.
    pub peer_service: Option<Target>,
    /// Nodes that are always peers.
    pub peers: Vec<StaticPeer>,
    /// How long a following call holds a flow back for peers that say nothing.
    pub max_hold: Duration,
    /// The longest pause between attempts to reach the peer service.
    pub retry_timeout: Duration,
    /// The relay's own name, in whose name status events come.
    pub node_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            peer_service: None,
            peers: Vec::new(),
            max_hold: defaults::MAX_HOLD,
            retry_timeout: defaults::RETRY_TIMEOUT,
            node_name: String::new(),
        }
    }
}

/// Why a relay does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The address is taken, or not ours to take.
    #[error("cannot listen on {listen}: {}", listen_problem(reason))]
    Listen {
        /// The address.
        listen: Listen,
        /// What the system said.
        reason: io::Error,
    },
    /// A relay without peers would never show anything.
    #[error("no peers: name a peer service or at least one peer")]
    NoPeers,
    /// The description of the services is broken: a fault in the build.
    #[error("cannot describe the services for reflection: {reason}")]
    Reflection {
        /// What is wrong with it.
        reason: String,
    },
    /// The server ended by itself.
    #[error("cannot serve")]
    Serve {
        /// What the server said.
        source: tonic::transport::Error,
    },
}

impl RelayError {
    fn reflection(error: tonic_reflection::server::Error) -> Self {
        Self::Reflection {
            reason: error.to_string(),
        }
    }
}

/// A relay that is bound and not serving yet, for callers that want to know the address first.
#[derive(Debug)]
pub struct Relay {
    config: Config,
    listener: Listener,
    address: Target,
}

impl Relay {
    /// Binds the address. Peers are not looked for yet.
    ///
    /// # Errors
    /// When the address cannot be bound, or the configuration names no peers at all.
    pub async fn bind(config: Config) -> Result<Self, RelayError> {
        if config.peer_service.is_none() && config.peers.is_empty() {
            return Err(RelayError::NoPeers);
        }
        let bound = async {
            let listener = Listener::bind(&config.listen).await?;
            let address = listener.address()?;
            Ok((listener, address))
        };
        match bound.await {
            Ok((listener, address)) => Ok(Self {
                config,
                listener,
                address,
            }),
            Err(reason) => Err(RelayError::Listen {
                listen: config.listen,
                reason,
            }),
        }
    }

    /// Where clients reach the relay: with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn address(&self) -> &Target {
        &self.address
    }

    /// Finds peers and serves until `shutdown`. Then following calls end as unavailable, others may
    /// end by themselves for some seconds, and the socket's file is removed.
    ///
    /// # Errors
    /// When the server fails; never because of a peer or a client.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let Self {
            config,
            listener,
            address,
        } = self;
        tracing::info!(%address, "relay listening");
        let discovery = Discovery {
            fixed: config.peers,
            service: config.peer_service,
            retry_timeout: config.retry_timeout,
        };
        let peers = watch::Sender::new(discovery.initial());
        let peers_seen = peers.subscribe();
        let (keeper, pool) = Keeper::new(peers.subscribe());
        let serving = watch::Sender::new(false);
        let health = HealthService {
            serving: serving.subscribe(),
            shutdown: shutdown.clone(),
        };
        // Ended by being dropped, when serving has ended.
        let mut tasks = JoinSet::new();
        tasks.spawn(discovery.run(peers));
        tasks.spawn(keeper.run());
        tasks.spawn(health::evaluate(peers_seen, pool.clone(), serving));
        let settings = Settings {
            relay_name: config.node_name.into(),
            max_hold: config.max_hold,
            shutdown: shutdown.clone(),
        };
        let served = serve::serve(
            listener,
            RelayService::new(pool, settings),
            health,
            shutdown,
        )
        .await;
        tracing::info!(%address, "relay stopped");
        served
    }
}

/// Binds and serves; see [`Relay`].
///
/// # Errors
/// When the address cannot be bound or the server fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RelayError> {
    Relay::bind(config).await?.serve(shutdown).await
}

/// What to make of a bind error.
fn listen_problem(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the address is in use, stop what listens there or choose another one".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied, choose a place that this user may listen on".to_owned()
        }
        io::ErrorKind::NotFound => "its directory does not exist, create it first".to_owned(),
        _ => error.to_string(),
    }
}
