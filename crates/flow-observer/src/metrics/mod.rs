//! Metrics: what an agent counts of flows, and of itself, on a page for Prometheus.
//!
//! Flows are counted by a reader of the ring ([`flows`]), under Hubble's names. The agent's own numbers
//! (`own`) are read where they are counted.

pub mod flows;
mod losses;
#[doc(hidden)]
pub mod measure;
mod own;
mod readiness;
mod scrapes;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use flow_api::server::{CallCounts, ListenError, Listener, ServeError, TlsServer};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{encode::NodeFacts, ring::FlowRing};
use flows::{FlowMetrics, Metric, Pages, Reader, WatchedConfig};
use losses::Losses;
use readiness::Condition;
use scrapes::Scrapes;

pub(crate) use own::Numbers;

/// Where metrics are served, and which.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where.
    pub address: SocketAddr,
    /// How they are encrypted; not at all for `None`.
    pub tls: Option<TlsServer>,
    /// Which metrics of flows are counted.
    pub flows: Source,
    /// Most series of each of these.
    pub series_budget: usize,
}

/// What says which metrics of flows are counted.
#[derive(Clone, Debug)]
pub enum Source {
    /// These, as long as the agent runs.
    These(Vec<Metric>),
    /// Those in a file, which may change.
    File(PathBuf),
}

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// The address is in use, or none of this host's.
    #[error("cannot serve metrics on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file that says which cannot be used.
    #[error(transparent)]
    File(#[from] flows::FileError),
    /// A filter makes no sense.
    #[error(transparent)]
    Filter(#[from] flow_filter::FilterError),
}

/// What is counted, and of whom.
pub(crate) struct Observed {
    pub(crate) ring: Arc<FlowRing>,
    /// Where agent events are, if they are not among the flows.
    pub(crate) agent_events: Option<Arc<FlowRing>>,
    pub(crate) node: Arc<NodeFacts>,
    /// Calls of clients.
    pub(crate) calls: Arc<CallCounts>,
    pub(crate) numbers: Numbers,
}

/// What flows came to, as a scrape reads it.
#[derive(Debug)]
struct OfFlows {
    pages: Arc<Pages>,
    /// Events that were not counted, since they had left the ring.
    overtaken: Arc<AtomicU64>,
}

/// Takes the address, before anything is observed.
///
/// # Errors
/// When nothing can listen there.
pub(crate) fn listen(config: &Config) -> Result<Listener, MetricsError> {
    let Config { address, tls, .. } = config;
    Listener::tcp(*address, tls.clone()).map_err(|error| MetricsError::Listen {
        address: *address,
        source: match error {
            ListenError::Address { source, .. } => source,
            other => std::io::Error::other(other),
        },
    })
}

/// Counts, and serves `/metrics`, `/healthz` and `/readyz`, until `closing`. What comes back ends before
/// that only when certificates cannot be used.
///
/// # Errors
/// When what to count cannot be used.
pub(crate) fn serve(
    config: &Config,
    listener: Listener,
    observed: Observed,
    ending: CancellationToken,
    closing: CancellationToken,
) -> Result<JoinHandle<Result<(), ServeError>>, MetricsError> {
    let Observed {
        ring,
        agent_events,
        node,
        calls,
        numbers,
    } = observed;
    let mut registry = Registry::default();
    let configured = match &config.flows {
        Source::These(metrics) => watch::Sender::new(Arc::from(metrics.as_slice())).subscribe(),
        Source::File(path) => {
            let file = WatchedConfig::open(path, Arc::clone(&numbers.counters))?;
            let configured = file.subscribe();
            registry.register_collector(Box::new(file.reloads()));
            tokio::spawn(file.follow(closing.clone()));
            configured
        }
    };
    let mut metrics = FlowMetrics::new(config.series_budget);
    metrics.configure(&configured.borrow().clone())?;
    let overtaken = Arc::new(AtomicU64::new(0));
    let of_flows = OfFlows {
        pages: metrics.pages(),
        overtaken: Arc::clone(&overtaken),
    };
    let reader = Reader {
        metrics,
        node,
        ring: Arc::clone(&ring),
        agent_events,
        configured: Some(configured),
        overtaken,
    };
    tokio::spawn(reader.run(closing.clone()));

    let condition = Condition {
        providers: numbers.providers.clone(),
        observing_since: Instant::now(),
        ending,
    };
    let counts = Arc::clone(&numbers.pages);
    registry.register_collector(Box::new(of_flows));
    registry.register_collector(Box::new(Losses {
        counters: Arc::clone(&numbers.counters),
        ring,
    }));
    registry.register_collector(Box::new(calls));
    registry.register_collector(Box::new(numbers));
    let scrapes = Scrapes::new(&mut registry);
    let pages = flow_api::server::Pages::new(registry, move || condition.now(), counts)
        .telling_scrapes(move |status, took| scrapes.count(status, took));
    // The port may have been left to the system.
    let address = listener.address().unwrap_or(config.address);
    tracing::info!(%address, "metrics are served");
    Ok(tokio::spawn(pages.serve(listener, closing)))
}

impl Collector for OfFlows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let pages = self.pages.all();
        for page in &pages {
            page.encode(&mut encoder)?;
        }
        let overtaken = ConstCounter::new(self.overtaken.load(Ordering::Relaxed));
        let lost = encoder.encode_descriptor(
            "palomar_metrics_uncounted_events",
            "Events that left the ring before metrics counted them.",
            None,
            MetricType::Counter,
        )?;
        overtaken.encode(lost)?;
        let mut series = encoder.encode_descriptor(
            "palomar_metrics_series",
            "Series of each metric of flows.",
            None,
            MetricType::Gauge,
        )?;
        for page in &pages {
            let count = ConstGauge::new(i64::try_from(page.series()).unwrap_or(i64::MAX));
            count.encode(series.encode_family(&[("metric", page.full_name())])?)?;
        }
        let mut beyond = encoder.encode_descriptor(
            "palomar_metrics_beyond_budget",
            "How often something had no series of its own, and was counted as other.",
            None,
            MetricType::Counter,
        )?;
        for page in &pages {
            let count = ConstCounter::new(page.beyond_budget());
            count.encode(beyond.encode_family(&[("metric", page.full_name())])?)?;
        }
        Ok(())
    }
}
