//! Metrics: what an agent counts of flows, and of itself, on a page for Prometheus.
//!
//! Flows are counted by a reader of the ring ([`flows`]), under Hubble's names. The agent's own numbers
//! ([`own`]) are read where they are counted.

pub mod flows;
mod own;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::{encode::NodeFacts, ring::FlowRing};
use flows::{FlowMetrics, Metric, Pages, Reader, WatchedConfig};

pub(crate) use own::Numbers;

/// The text format of OpenMetrics.
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
        numbers,
    } = observed;
    let address = config.address;
    let failed = |source| MetricsError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let configured = match &config.flows {
        Source::These(metrics) => watch::Sender::new(Arc::from(metrics.as_slice())).subscribe(),
        Source::File(path) => {
            let file = WatchedConfig::open(path)?;
            let configured = file.subscribe();
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
        ring,
        agent_events,
        configured: Some(configured),
        overtaken,
    };
    tokio::spawn(reader.run(closing.clone()));

    let mut registry = Registry::default();
    registry.register_collector(Box::new(numbers));
    registry.register_collector(Box::new(of_flows));
    let router = Router::new()
        .route("/metrics", get(scrape))
        // An agent serves metrics from when it observes until it ends.
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(async || "ready\n"))
        .with_state(Arc::new(registry));
    tokio::spawn(async move {
        let serving =
            axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::warn!(%error, "metrics are served no longer");
        }
    });
    Ok(())
}

async fn scrape(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    // A page of a hundred thousand series takes a while, in which others want to be served.
    let encoding = tokio::task::spawn_blocking(move || {
        let mut page = String::new();
        text::encode(&mut page, &registry).map(|()| page)
    });
    match encoding.await {
        Ok(Ok(page)) => Ok(([(CONTENT_TYPE, CONTENT)], page)),
        Ok(Err(error)) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
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
