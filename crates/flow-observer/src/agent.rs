//! A node's agent: everything between the probes and the socket, put together.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use flow_api::server::{
    ListenError, Listener, ServeError, SocketAccess, TlsServer, raise_open_files,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

#[cfg(feature = "kubernetes")]
use crate::enrich::kubernetes::{self, Kubernetes};
use crate::{
    agent_events::AgentEvents,
    counters::Counters,
    encode::NodeFacts,
    enrich::{
        self, ContainerMode, Containers, Directory, Inventory, InventoryError, NodeName, Reports,
        WatchedFile,
    },
    exchange,
    export::{self, Exporters, Feed},
    metrics::{self, MetricsError, Numbers, Observed},
    namespaces::SeenNamespaces,
    ring::{FlowRing, Limits},
    running::Running,
    serve::{self, AgentService, Announcing, FlowRate, ObserverService, PeerService, Services},
    source::{OpenError, SourceError, SourceOptions, SourceSpec},
};

/// Where an agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/palomar/observer.sock";
/// How many flows the ring keeps unless told otherwise, as in Hubble.
pub const DEFAULT_RING_CAPACITY: usize = 4095;
/// The largest ring: some eight gigabytes of flows.
pub const MAX_RING_CAPACITY: usize = 16_777_215;
/// Losses of a reader are gathered for so long unless told otherwise, as in Hubble.
pub const DEFAULT_LOST_EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// How an agent is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name in flows.
    pub node_name: String,
    /// The Unix socket to serve on.
    pub socket: PathBuf,
    /// Who may connect to it.
    pub socket_access: SocketAccess,
    /// Where to serve by TCP as well; nowhere for `None`.
    pub listen: Option<Listen>,
    /// Who is behind which address; without it, only this host's own addresses are known.
    pub inventory: Option<PathBuf>,
    /// How to come to identities.
    pub enrich: enrich::Settings,
    /// Who is behind which address, by a Kubernetes API server.
    #[cfg(feature = "kubernetes")]
    pub kubernetes: kubernetes::Settings,
    /// Whether to look for containers and units on this host.
    pub containers: ContainerMode,
    /// Where events come from.
    pub source: SourceOptions,
    /// Which requests and responses become flows.
    pub exchanges: exchange::Options,
    /// How much to keep.
    pub ring: Limits,
    /// How long losses of a reader are gathered before it is told of them.
    pub lost_event_interval: Duration,
    /// Relays are told the IPv6 addresses of nodes rather than those of IPv4.
    pub prefer_ipv6: bool,
    /// Which metrics to serve, and where; nowhere for `None`.
    pub metrics: Option<metrics::Config>,
    /// What is written to files.
    pub export: export::Config,
}

/// Serving by TCP.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// How to encrypt. `None` shows all flows to everybody who can connect.
    pub tls: Option<TlsServer>,
}

/// Why an agent could not run, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The inventory cannot be used.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The Kubernetes API server cannot be asked.
    #[cfg(feature = "kubernetes")]
    #[error(transparent)]
    Kubernetes(#[from] kubernetes::AccessError),
    /// The source cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A socket cannot be served on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The descriptors that reflection tells do not add up; a build gone wrong.
    #[error("cannot offer reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// Flows cannot be exported as asked.
    #[error(transparent)]
    Export(#[from] export::StartError),
    /// The source broke.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The thread that reads the source ended without a reason; a bug.
    #[error("the thread that reads events ended unexpectedly")]
    PipelineEnded,
    /// The system has no thread left.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Runs an agent until `shutdown`: probes attached, socket served. When it returns, the probes are
/// detached and the socket is gone.
///
/// # Errors
/// When something it needs cannot be had, or breaks later.
pub async fn run(config: Config, shutdown: CancellationToken) -> Result<(), AgentError> {
    let (inventory_file, inventory) = match &config.inventory {
        Some(path) => {
            let (file, inventory) = WatchedFile::open(path)?;
            (Some(file), inventory)
        }
        None => (None, Inventory::default()),
    };
    // The socket before the probes: a second agent should fail before it attaches anything.
    let listeners = listeners(&config).await?;
    let metrics_listener = config.metrics.as_ref().map(metrics::listen).transpose()?;

    if config.ring.memory_comes_first() {
        let (flows, bytes) = (config.ring.events, config.ring.bytes);
        warn!(
            flows,
            bytes, "the ring's memory is full before so many flows are kept"
        );
    }
    let ring = Arc::new(FlowRing::with_limits(config.ring));
    let counters = Arc::new(Counters::default());
    let namespaces = Arc::new(SeenNamespaces::default());
    let directory = Arc::new(Directory::with_settings(
        &config.node_name,
        inventory,
        config.enrich.clone(),
    ));
    let agent_events = Arc::new(AgentEvents::default());
    // Cilium's agent tells its own, which are among the flows as in Hubble.
    let tells_own = !matches!(config.source.spec, SourceSpec::Cilium(_));
    if tells_own {
        agent_events.start(&directory, Arc::clone(&counters));
    }
    #[cfg(feature = "kubernetes")]
    let mut providers = providers(&config, &directory, &counters).await?;
    #[cfg(not(feature = "kubernetes"))]
    let mut providers: Vec<Arc<dyn Reports>> = Vec::new();
    let has_kubernetes = !providers.is_empty();
    providers.extend(inventory_file.as_ref().map(WatchedFile::reports));
    let own = NodeName {
        cluster: config.enrich.cluster_name.to_string(),
        name: config.node_name.clone(),
    };
    let node = Arc::new(NodeFacts {
        name: serve::full_name(&own),
        directory: Some(Arc::clone(&directory)),
    });
    // Before the source, so that they miss nothing of it.
    let mut rings = vec![Arc::clone(&ring)];
    rings.extend(tells_own.then(|| Arc::clone(agent_events.ring())));
    let feed = Feed {
        rings,
        node: Arc::clone(&node),
        plain_node_name: config.node_name.clone(),
        counts: Arc::clone(counters.export()),
    };
    let exporters = Exporters::start(config.export.clone(), feed)?;
    let mut running = Running::start(
        &config,
        Arc::clone(&directory),
        &ring,
        &counters,
        &namespaces,
    )?;

    let looks_for_containers = config.containers.is_on(&config.source.spec, has_kubernetes);
    let containers = looks_for_containers
        .then(|| Containers::start(Arc::clone(&directory), Arc::clone(&running.devices)))
        .transpose()
        .map_err(AgentError::Thread)?;
    providers.extend(containers.as_ref().map(Containers::reports));

    let (ending, closing) = (CancellationToken::new(), CancellationToken::new());
    if let Some(file) = inventory_file {
        let directory = Arc::clone(&directory);
        let take = move |inventory| directory.set_inventory(inventory);
        tokio::spawn(file.follow(Arc::clone(&counters), closing.clone(), take));
    }
    let calls = Arc::new(serve::call_counts());
    let mut pages = None;
    if let Some((config, listener)) = config.metrics.as_ref().zip(metrics_listener) {
        let observed = Observed {
            calls: Arc::clone(&calls),
            ring: Arc::clone(&ring),
            agent_events: tells_own.then(|| Arc::clone(agent_events.ring())),
            node: Arc::clone(&node),
            numbers: Numbers {
                counters: Arc::clone(&counters),
                ring: Arc::clone(&ring),
                hooks: running.hooks.clone(),
                run_times: Arc::clone(&running.run_times),
                providers: providers.clone(),
                pages: Arc::default(),
            },
        };
        let (ending, closing) = (ending.clone(), closing.clone());
        pages = Some(metrics::serve(config, listener, observed, ending, closing)?);
    }
    info!(socket = %config.socket.display(), node = %config.node_name, "agent ready");
    let observer = ObserverService {
        agent_events: Arc::clone(if tells_own {
            agent_events.ring()
        } else {
            &ring
        }),
        rate: FlowRate::default(),
        cluster: serve::told_cluster(&own.cluster),
        ring: Arc::clone(&ring),
        node,
        counters: Arc::clone(&counters),
        namespaces,
        lost_event_interval: config.lost_event_interval,
        shutdown: closing.clone(),
    };
    let agent = AgentService {
        source: config.source,
        ring,
        hooks: std::mem::take(&mut running.hooks),
        devices: Arc::clone(&running.devices),
        counters: Arc::clone(&counters),
        providers,
    };
    let peers = PeerService {
        nodes: directory.nodes(),
        announcing: Announcing {
            own,
            socket: config.socket.clone(),
            listen: config.listen.as_ref().map(|it| it.address),
            with_tls: config.listen.as_ref().is_some_and(|it| it.tls.is_some()),
            prefer_ipv6: config.prefer_ipv6,
        },
        shutdown: closing.clone(),
    };
    let server = serve::run(
        listeners,
        Services {
            observer,
            agent,
            peers,
        },
        counters.server(),
        calls,
        ending.clone(),
        closing.clone(),
    );
    tokio::pin!(server);
    let mut served = None;
    let ended = tokio::select! {
        result = &mut server => {
            served = Some(result);
            Ok(())
        }
        () = shutdown.cancelled() => Ok(()),
        error = running.broken() => Err(error),
        error = broken(pages) => Err(error.into()),
    };
    ending.cancel();
    // The source first, so that what it had left is in the ring before the streams end. Its threads
    // look for the end ten times a second.
    let ending_source = tokio::task::spawn_blocking(move || {
        drop(running);
        exporters.stop();
    });
    drop(ending_source.await);
    closing.cancel();
    drop(containers);
    let served = match served {
        Some(served) => served,
        None => server.await,
    };
    report(&counters);
    served.and(ended)
}

/// Why metrics are served no longer, if they were and it is not for the agent's end.
async fn broken(pages: Option<JoinHandle<Result<(), ServeError>>>) -> ServeError {
    if let Some(pages) = pages
        && let Ok(Err(error)) = pages.await
    {
        return error;
    }
    std::future::pending().await
}

/// The sockets, bound before anything is observed: an agent that cannot serve should say so at once.
async fn listeners(config: &Config) -> Result<Vec<Listener>, ListenError> {
    raise_open_files();
    let mut listeners = vec![Listener::unix(&config.socket, &config.socket_access).await?];
    if let Some(Listen { address, tls }) = &config.listen {
        match tls {
            None => {
                warn!(%address, "TCP is served in plain text: anybody who can connect sees all flows")
            }
            Some(tls) if !tls.files.verify_clients() => {
                warn!(%address, "clients are not verified: anybody who can connect sees all flows");
            }
            Some(_) => {}
        }
        listeners.push(Listener::tcp(*address, tls.clone())?);
    }
    Ok(listeners)
}

/// Those who tell who is who for as long as the agent runs.
#[cfg(feature = "kubernetes")]
async fn providers(
    config: &Config,
    directory: &Arc<Directory>,
    counters: &Arc<Counters>,
) -> Result<Vec<Arc<dyn Reports>>, AgentError> {
    let (directory, counters) = (Arc::clone(directory), Arc::clone(counters));
    let started = Kubernetes::start(&config.kubernetes, directory, counters).await?;
    Ok(started
        .into_iter()
        .map(|it| Arc::new(it) as Arc<dyn Reports>)
        .collect())
}

/// What was counted, for whoever reads the log after the fact.
fn report(counters: &Counters) {
    let undecodable = counters.undecodable_records();
    info!(
        flows = counters.seen_flows(),
        lost = counters.lost_records(),
        "agent stopped"
    );
    if !undecodable.is_empty() {
        warn!(?undecodable, "records that could not be decoded");
    }
}
