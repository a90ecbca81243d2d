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

mod access;
mod answer;
mod audit;
mod call;
mod calls;
mod credit;
mod defaults;
mod dial;
mod discovery;
mod flows;
mod gather;
mod health;
mod listen;
mod merge;
mod metrics;
mod monitor;
mod pace;
mod peers;
mod pool;
mod process;
mod reader;
mod retry;
mod serve;
mod stamp;
mod status;
mod total;
mod unary;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flow_api::connect::Target;
use flow_api::server::{
    Limits, Listener, ServeError, Server, ServerCounts, SocketAccess, TlsClient, TlsClientFiles,
    TlsError, TlsServer, TlsVersion, raise_open_files,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Gate, TokensFile};
use crate::audit::Audit;
use crate::calls::CallCounts;
use crate::defaults::DRAIN_TIMEOUT;
use crate::dial::Dialer;
use crate::discovery::{Discovery, Names, Notify, PeerFile, Source};
use crate::flows::Settings;
use crate::health::{Condition, HealthService};
use crate::metrics::Numbers;
use crate::peers::{DEFAULT_CLUSTER, Rules};
use crate::pool::{Keeper, Ways};
use crate::serve::RelayService;

pub use crate::access::TokensError;
pub use crate::discovery::{NamesError, PeerFileError, PeerNames, PeerNamesError};
#[cfg(feature = "kubernetes")]
pub use crate::discovery::{PeerSlices, PeerSlicesError, SlicesError};
pub use crate::listen::{Listen, ListenParseError};
pub use crate::pace::Pace;
pub use crate::peers::{StaticPeer, StaticPeerError, server_name};

/// What stands for a node in the name of the peer service's certificate, as in Hubble.
const PEER_SERVICE_NODE: &str = "hubble-peer";

/// What a relay needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect: one or more addresses.
    pub listen: Vec<Listen>,
    /// Who may connect to those that are Unix sockets.
    pub socket_access: SocketAccess,
    /// Certificates for those that are TCP; plain text without.
    pub tls: Option<TlsServer>,
    /// Nodes that are always peers. Where several sources tell of the same name, the first in the
    /// order of these fields wins.
    pub peers: Vec<StaticPeer>,
    /// Files of peers, followed.
    pub peer_files: Vec<PathBuf>,
    /// An agent that announces the nodes; asked again whenever its stream ends.
    pub peer_service: Option<Target>,
    /// The name in the peer service's certificate; the cluster's own for `None`.
    pub peer_service_name: Option<String>,
    /// Kubernetes services whose endpoints are peers.
    #[cfg(feature = "kubernetes")]
    pub peer_slices: Vec<PeerSlices>,
    /// Who to ask for them; for `None`, as the pod that this is, or by the usual kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Its context to use; the current one for `None`.
    pub kube_context: Option<String>,
    /// Names in DNS behind which there are peers.
    pub peer_names: Vec<PeerNames>,
    /// Who to ask for them; the system's servers if there are none.
    pub dns_servers: Vec<SocketAddr>,
    /// Whether nodes that have addresses of both families are reached by IPv6, as far as this is the
    /// relay's to choose.
    pub prefer_ipv6: bool,
    /// Certificates for peers and for the peer service; plain text without.
    pub peer_tls: Option<TlsClientFiles>,
    /// The oldest version of TLS to speak with peers.
    pub peer_tls_oldest: TlsVersion,
    /// The cluster of nodes whose names do not say theirs.
    pub cluster_name: String,
    /// Tokens of clients, followed; without, whoever can connect sees everything.
    pub tokens_file: Option<PathBuf>,
    /// Where each call is written down, `-` for standard output; nowhere for `None`.
    pub audit_log: Option<PathBuf>,
    /// Where metrics are served, and `/healthz` and `/readyz`; nowhere for `None`.
    pub metrics_listen: Option<SocketAddr>,
    /// Where health alone is served, in plain text whatever [`Config::tls`] is: those who probe
    /// seldom have certificates.
    pub health_listen: Option<Listen>,
    /// How long a following call holds a flow back for peers that say nothing.
    pub max_hold: Duration,
    /// Told of the calls that are open; what else is done with it is the caller's to decide.
    pub pace: Pace,
    /// How often a peer is asked whether it still lives, besides that its connection stands; less
    /// often where there are thousands.
    pub probe_interval: Duration,
    /// The longest pause between attempts to reach the peer service.
    pub retry_timeout: Duration,
    /// The relay's own name, in whose name status events come.
    pub node_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Listen::default()],
            socket_access: SocketAccess::default(),
            tls: None,
            peers: Vec::new(),
            peer_files: Vec::new(),
            peer_service: None,
            peer_service_name: None,
            #[cfg(feature = "kubernetes")]
            peer_slices: Vec::new(),
            kubeconfig: None,
            kube_context: None,
            peer_names: Vec::new(),
            dns_servers: Vec::new(),
            prefer_ipv6: false,
            peer_tls: None,
            peer_tls_oldest: TlsVersion::default(),
            cluster_name: DEFAULT_CLUSTER.to_owned(),
            tokens_file: None,
            audit_log: None,
            metrics_listen: None,
            health_listen: None,
            max_hold: defaults::MAX_HOLD,
            pace: Pace::default(),
            probe_interval: defaults::PROBE_INTERVAL,
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
    #[error("cannot listen on {listen}: {reason}")]
    Listen {
        /// The address.
        listen: Listen,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Nobody could ask it anything.
    #[error("no address to listen on")]
    NoAddress,
    /// A relay without peers would never show anything.
    #[error("no peers: name a peer service or at least one peer")]
    NoPeers,
    /// A file of peers is not there, or broken.
    #[error(transparent)]
    PeerFile(#[from] PeerFileError),
    /// The file of tokens is not there, or broken.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The audit log cannot be written.
    #[error("cannot write the audit log {}: {reason}", file.display())]
    Audit {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// There is no DNS.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// There is no API server.
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Slices(#[from] SlicesError),
    /// The certificates for peers cannot be used.
    #[error("cannot connect to peers")]
    PeerTls(#[source] TlsError),
    /// The description of the services is broken: a fault in the build.
    #[error("cannot describe the services for reflection: {reason}")]
    Reflection {
        /// What is wrong with it.
        reason: String,
    },
    /// The server ended by itself; mostly because of certificates.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl RelayError {
    fn reflection(error: tonic_reflection::server::Error) -> Self {
        Self::Reflection {
            reason: error.to_string(),
        }
    }
}

/// A relay that is bound and not serving yet, for callers that want to know the address first.
pub struct Relay {
    config: Config,
    listeners: Vec<Listener>,
    addresses: Vec<Target>,
    health: Option<Listener>,
    metrics: Option<TcpListener>,
    access: Option<(Arc<Access>, TokensFile)>,
    audit: Option<Arc<Audit>>,
    sources: Sources,
}

/// Where peers come from, ready to be asked.
struct Sources {
    rules: Rules,
    tls: Option<Arc<TlsClient>>,
    sources: Vec<Source>,
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
                let bound = metrics::bind(address).await;
                Some(
                    bound
                        .map_err(|error| listen_error(&Listen::Tcp(address), error.to_string()))?,
                )
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
        self.metrics.as_ref()?.local_addr().ok()
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
        let calls: Arc<CallCounts> = Arc::default();
        // Ended by being dropped, when serving has ended.
        let mut tasks = JoinSet::new();
        if let Some(listener) = metrics_listener {
            let numbers = Numbers {
                pool: pool.clone(),
                calls: Arc::clone(&calls),
                server: Arc::clone(&counts),
                tls: tls.clone(),
                condition: condition.subscribe(),
            };
            tasks.spawn(metrics::serve(listener, numbers, shutdown.clone()));
        }
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
        let served = serve::serve(
            listeners,
            RelayService::new(pool, settings, audit.clone()),
            health,
            Server::new(limits, counts),
            calls,
            Gate { access, audit },
            shutdown,
        )
        .await;
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

impl Sources {
    async fn of(config: &Config) -> Result<Self, RelayError> {
        let rules = Rules {
            has_tls: config.peer_tls.is_some(),
            cluster: config.cluster_name.clone(),
        };
        let wants_tls = |target: &Target| matches!(target, Target::Tls { .. });
        let files = match &config.peer_tls {
            Some(files) => Some(files.clone()),
            // As those who ask for TLS in an address expect it: by what the system trusts.
            None if config.peers.iter().any(|peer| wants_tls(&peer.address))
                || config.peer_service.as_ref().is_some_and(wants_tls)
                || !config.peer_files.is_empty() =>
            {
                Some(TlsClientFiles::Each {
                    identity: None,
                    server_cas: Vec::new(),
                })
            }
            None => None,
        };
        let tls = match files {
            Some(files) => Some(Arc::new(
                TlsClient::read(files, config.peer_tls_oldest).map_err(RelayError::PeerTls)?,
            )),
            None => None,
        };
        let mut sources = Vec::new();
        for file in &config.peer_files {
            sources.push(Source::File(PeerFile::open(file, &rules)?));
        }
        if let Some(service) = &config.peer_service {
            sources.push(Source::Notify(Notify {
                dialer: peer_service(service, config, &rules, tls.as_ref()),
                service: service.clone(),
                rules: rules.clone(),
                retry_timeout: config.retry_timeout,
            }));
        }
        #[cfg(feature = "kubernetes")]
        for slices in &config.peer_slices {
            let slices = discovery::Slices::new(
                slices.clone(),
                config.kubeconfig.clone(),
                config.kube_context.clone(),
                rules.clone(),
                config.prefer_ipv6,
            );
            sources.push(Source::Slices(Box::new(slices.await?)));
        }
        for names in &config.peer_names {
            let servers = &config.dns_servers;
            let names = Names::new(names.clone(), servers, rules.clone(), config.prefer_ipv6)?;
            sources.push(Source::Names(Box::new(names)));
        }
        if sources.is_empty() && config.peers.is_empty() {
            return Err(RelayError::NoPeers);
        }
        Ok(Self {
            rules,
            tls,
            sources,
        })
    }
}

/// How the peer service is reached: as peers are, under a name that is the same in all clusters.
fn peer_service(
    service: &Target,
    config: &Config,
    rules: &Rules,
    tls: Option<&Arc<TlsClient>>,
) -> Dialer {
    let (host, port) = match service {
        Target::Tls { host, port } => (host, *port),
        Target::Tcp { host, port } if rules.has_tls => (host, *port),
        Target::Tcp { .. } | Target::Unix(_) => return Dialer::new(service.clone(), None),
    };
    let name = match &config.peer_service_name {
        Some(name) => name.clone(),
        None if rules.has_tls => server_name(PEER_SERVICE_NODE, &rules.cluster),
        None => host.clone(),
    };
    let target = Target::Tls {
        host: host.clone(),
        port,
    };
    Dialer::new(target, tls.map(|tls| (Arc::clone(tls), name)))
}

/// Binds and serves; see [`Relay`].
///
/// # Errors
/// When the address cannot be bound or the server fails.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), RelayError> {
    Relay::bind(config).await?.serve(shutdown).await
}
