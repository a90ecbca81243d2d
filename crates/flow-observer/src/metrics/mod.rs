//! Metrics: what an agent counts of flows, and of itself, on a page for Prometheus.
//!
//! Flows are counted by a reader of the ring ([`flows`]), under Hubble's names. The agent's own numbers
//! ([`own`]) are read where they are counted.

pub mod flows;
mod losses;
mod own;
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

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use flow_api::server::{CallCounts, MetricsPage};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{encode::NodeFacts, ring::FlowRing};
use flows::{FlowMetrics, Metric, Pages, Reader, WatchedConfig};
use losses::Losses;
use scrapes::Scrapes;

pub(crate) use own::Numbers;

/// Where metrics are served, and which.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where.
    pub address: SocketAddr,
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

/// Counts, and serves `/metrics`, `/healthz` and `/readyz`, until `closing`.
///
/// # Errors
/// When nothing can listen there, or what to count cannot be used.
pub(crate) async fn serve(
    config: &Config,
    observed: Observed,
    closing: CancellationToken,
) -> Result<(), MetricsError> {
    let Observed {
        ring,
        agent_events,
        node,
        calls,
        numbers,
    } = observed;
    let address = config.address;
    let failed = |source| MetricsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let mut registry = Registry::default();
    let configured = match &config.flows {
        Source::These(metrics) => watch::Sender::new(Arc::from(metrics.as_slice())).subscribe(),
        Source::File(path) => {
            let file = WatchedConfig::open(path)?;
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

    registry.register_collector(Box::new(of_flows));
    registry.register_collector(Box::new(Losses {
        counters: Arc::clone(&numbers.counters),
        ring,
    }));
    registry.register_collector(Box::new(calls));
    registry.register_collector(Box::new(numbers));
    let scrapes = Scrapes::new(&mut registry);
    let router = Router::new()
        .route("/metrics", get(scrape))
        // An agent serves metrics from when it observes until it ends.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(async || "ready\n"))
        .with_state(Served {
            registry: Arc::new(registry),
            scrapes,
        });
    // The port may have been left to the system.
    let address = listener.local_addr().map_err(failed)?;
    tracing::info!(%address, "metrics are served");
    tokio::spawn(async move {
        let serving =
            axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::warn!(%error, "metrics are served no longer");
        }
    });
    Ok(())
}

/// What the page is made of.
#[derive(Clone)]
struct Served {
    registry: Arc<Registry>,
    scrapes: Scrapes,
}

async fn scrape(State(served): State<Served>, headers: HeaderMap) -> Response {
    let begun = Instant::now();
    // A page of a hundred thousand series takes a while, in which others want to be served.
    let registry = served.registry;
    let encoding = tokio::task::spawn_blocking(move || MetricsPage::of(&registry, &headers));
    let failed = |error: &dyn std::error::Error| {
        (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
    };
    let response = match encoding.await {
        Ok(Ok(page)) => ([(CONTENT_TYPE, page.content_type)], page.text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    };
    served.scrapes.count(response.status(), begun.elapsed());
    response
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
