//! Peers, merge and serve: many node agents as one Observer service.
//!
//! ```text
//! peer service, DNS, ... ──> discovery ──> PeerSet (watch) ──> pool: one member per peer
//!                                                                │
//! client ──> serve ──> flows: one reader per member ──> merge ──> client
//!                  └─> unary: nodes, namespaces, status
//! ```
//!
//! Flows are not decoded: of each message the time and the kind are read, and the bytes go on.
//! Nothing that a peer does, or fails to do, ends a client's stream; it becomes a status event in it.

mod about;
mod access;
mod answer;
mod audit;
mod call;
mod config;
mod connections;
mod credit;
mod defaults;
mod dial;
mod discovery;
mod flows;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
mod health;
mod listen;
mod merge;
mod metrics;
mod monitor;
mod names;
mod pace;
mod peers;
mod pool;
mod reader;
mod rejoin;
mod retry;
mod serve;
mod sources;
mod status;
mod total;
mod unary;
mod unknown;
mod via;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use flow_api::connect::Target;
use flow_api::server::{
    CallCounts, Limits, Listener, OBSERVER_METHODS, STANDARD_METHODS, Server, ServerCounts,
    raise_open_files,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Gate, TokensFile};
use crate::audit::Audit;
use crate::defaults::DRAIN_TIMEOUT;
use crate::discovery::Discovery;
use crate::flows::Settings;
use crate::health::{Condition, HealthService};
use crate::metrics::Numbers;
use crate::pool::{Keeper, Ways};
use crate::serve::RelayService;
use crate::sources::Sources;

pub use crate::access::TokensError;
pub use crate::config::{Config, RelayError};
pub use crate::discovery::{NamesError, PeerFileError, PeerNames, PeerNamesError};
#[cfg(feature = "kubernetes")]
pub use crate::discovery::{PeerSlices, PeerSlicesError, SlicesError};
pub use crate::listen::{Listen, ListenParseError};
pub use crate::pace::Pace;
pub use crate::peers::{StaticPeer, StaticPeerError, server_name};

/// A relay that is bound and not serving yet, for callers that want to know the address first.
pub struct Relay {
    config: Config,
    listeners: Vec<Listener>,
    addresses: Vec<Target>,
    health: Option<Listener>,
    metrics: Option<Listener>,
    access: Option<(Arc<Access>, TokensFile)>,
    audit: Option<Arc<Audit>>,
    sources: Sources,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("config", &self.config)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// Binds the address. Peers are not looked for yet.
    ///
    /// # Errors
    /// When the address cannot be bound, or the configuration names no peers at all.
    pub async fn bind(config: Config) -> Result<Self, RelayError> {
        let sources = Sources::of(&config).await?;
        let access = config
            .tokens_file
            .as_deref()
            .map(Access::open)
            .transpose()?;
        let audit = match &config.audit_log {
            Some(file) => Some(Audit::open(file).map_err(|reason| RelayError::Audit {
                file: file.clone(),
                reason,
            })?),
            None => None,
        };
        raise_open_files();
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        let socket_access = &config.socket_access;
        for listen in &config.listen {
            let opened = listen::open(listen, socket_access, config.tls.clone()).await;
            let (listener, address) = opened.map_err(|reason| listen_error(listen, reason))?;
            listeners.push(listener);
            addresses.push(address);
        }
        let health = match &config.health_listen {
            Some(listen) => {
                let opened = listen::open_plain(listen, socket_access).await;
                Some(opened.map_err(|reason| listen_error(listen, reason))?)
            }
            None => None,
        };
        let metrics = match config.metrics_listen {
            Some(address) => {
                let listen = Listen::Tcp(address);
                let opened = listen::open_metrics(address, config.metrics_tls.clone());
                Some(opened.map_err(|reason| listen_error(&listen, reason))?)
            }
            None => None,
        };
        if addresses.is_empty() {
            return Err(RelayError::NoAddress);
        }
        Ok(Self {
            config,
            listeners,
            addresses,
            health,
            metrics,
            access,
            audit,
            sources,
        })
    }

    /// Where metrics are served: with the port that the system chose, if it was asked to.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.address()
    }

    /// The same of health alone, by TCP.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health.as_ref()?.address()
    }

    /// Where clients reach the relay, in the order of [`Config::listen`]: with the port that the
    /// system chose, if it was asked to.
    #[must_use]
    pub fn addresses(&self) -> &[Target] {
        &self.addresses
    }

    /// Finds peers and serves until `shutdown`. Then following calls end as unavailable, others may
    /// end by themselves for some seconds, and the socket's file is removed.
    ///
    /// # Errors
    /// When the server fails; never because of a peer or a client.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), RelayError> {
        let Self {
            config,
            listeners,
            addresses,
            health: health_listener,
            metrics: metrics_listener,
            access,
            audit,
            sources,
        } = self;
        for address in &addresses {
            tracing::info!(%address, "relay listening");
        }
        let Sources {
            rules,
            tls,
            sources,
        } = sources;
        let (discovery, peers_seen) = Discovery::start(config.peers, sources, &rules);
        let (keeper, pool) = Keeper::new(
            peers_seen.clone(),
            Ways::new(tls.clone(), config.probe_interval),
        );
        let condition = watch::Sender::new(Condition::default());
        let health = HealthService {
            condition: condition.subscribe(),
            shutdown: shutdown.clone(),
        };
        let counts: Arc<ServerCounts> = Arc::default();
        let methods = OBSERVER_METHODS.into_iter().chain(STANDARD_METHODS);
        let calls = Arc::new(CallCounts::new(methods));
        // Ended by being dropped, when serving has ended.
        let mut tasks = JoinSet::new();
        let numbers = Numbers {
            pool: pool.clone(),
            calls: Arc::clone(&calls),
            server: Arc::clone(&counts),
            tls: tls.clone(),
            condition: condition.subscribe(),
            pages: Arc::default(),
        };
        let pages = metrics::serve(metrics_listener, numbers, shutdown.clone());
        if let Some(listener) = health_listener {
            tasks.spawn(serve::serve_health(
                listener,
                health.clone(),
                shutdown.clone(),
            ));
        }
        let access = access.map(|(access, file)| {
            tasks.spawn(file.follow(Arc::clone(&access), shutdown.clone()));
            access
        });
        tasks.spawn(discovery.run());
        if let Some(tls) = tls {
            tasks.spawn(tls.follow(shutdown.clone()));
        }
        tasks.spawn(keeper.run());
        let evaluating = health::evaluate(peers_seen, pool.clone(), condition, shutdown.clone());
        tasks.spawn(evaluating);
        let settings = Settings {
            relay_name: config.node_name.into(),
            max_hold: config.max_hold,
            pace: config.pace,
            shutdown: shutdown.clone(),
        };
        let limits = Limits {
            drain: DRAIN_TIMEOUT,
            ..Limits::default()
        };
        let serving = serve::serve(
            listeners,
            RelayService::new(pool, settings, audit.clone()),
            health,
            Server::new(limits, counts),
            calls,
            Gate { access, audit },
            shutdown,
        );
        let served = tokio::select! {
            served = serving => served,
            error = pages => Err(error.into()),
        };
        tracing::info!("relay stopped");
        served
    }
}

fn listen_error(listen: &Listen, reason: String) -> RelayError {
    RelayError::Listen {
        listen: listen.clone(),
        reason,
    }
}

/// Binds and serves; see [`Relay`].
///
/// # Errors
/// When the address cannot be bound or the server fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RelayError> {
    Relay::bind(config).await?.serve(shutdown).await
}
