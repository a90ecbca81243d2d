//! The relay's numbers for Prometheus, under the names of Hubble's relay and under our own; and
//! `/healthz` and `/readyz` beside them, for those who cannot ask by gRPC.
//!
//! Nothing is counted here: a scrape reads what there is.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use flow_api::server::{CallCounts, MetricsPage, ServerCounts, TlsClient};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::Condition;
use crate::pool::{Pool, State};
use crate::process::Process;

/// The states of connections as Go's gRPC has them, and one for none at all.
const STATES: [&str; 6] = [
    "IDLE",
    "CONNECTING",
    "READY",
    "TRANSIENT_FAILURE",
    "SHUTDOWN",
    "NIL_CONNECTION",
];

/// What a scrape reads.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) pool: Pool,
    pub(crate) calls: Arc<CallCounts>,
    pub(crate) server: Arc<ServerCounts>,
    /// Of connections to peers, where they are encrypted.
    pub(crate) tls: Option<Arc<TlsClient>>,
    pub(crate) condition: watch::Receiver<Condition>,
}

/// What the pages show.
struct Pages {
    registry: Registry,
    condition: watch::Receiver<Condition>,
}

/// Serves the pages until `closing`.
pub(crate) async fn serve(listener: TcpListener, numbers: Numbers, closing: CancellationToken) {
    let condition = numbers.condition.clone();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(&numbers.calls)));
    registry.register_collector(Box::new(numbers));
    let pages = Arc::new(Pages {
        registry,
        condition,
    });
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(pages);
    let serving = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(%error, "metrics are served no longer");
    }
}

/// Where metrics are to be served.
///
/// # Errors
/// Says what the system said.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, std::io::Error> {
    TcpListener::bind(address).await
}

async fn scrape(Shared(pages): Shared<Arc<Pages>>, headers: HeaderMap) -> impl IntoResponse {
    match MetricsPage::of(&pages.registry, &headers) {
        Ok(page) => Ok(([(CONTENT_TYPE, page.content_type)], page.text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn ready(Shared(pages): Shared<Arc<Pages>>) -> impl IntoResponse {
    let condition = *pages.condition.borrow();
    let code = if condition.is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, format!("{condition}\n"))
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_peers(&mut encoder)?;
        self.encode_server(&mut encoder)?;
        encode_process(&mut encoder)
    }
}

impl Numbers {
    fn encode_peers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let members = self.pool.members();
        let mut by_state = [0_i64; STATES.len()];
        for member in members.values() {
            let place = match (member.connections().0, member.state()) {
                (None, _) => 5,
                (Some(_), State::Idle) => 0,
                (Some(_), State::Connecting) => 1,
                (Some(_), State::Ready) => 2,
                (Some(_), State::Failed(_)) => 3,
            };
            if let Some(count) = by_state.get_mut(place) {
                *count += 1;
            }
        }
        let mut family = encoder.encode_descriptor(
            "hubble_relay_pool_peer_connection_status",
            "Peers by the state of their connection.",
            None,
            MetricType::Gauge,
        )?;
        for (state, count) in STATES.iter().zip(by_state) {
            ConstGauge::new(count).encode(family.encode_family(&[("status", *state)])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "palomar_peer_connected",
            "Whether a peer is connected.",
            None,
            MetricType::Gauge,
        )?;
        for member in members.values() {
            let is_connected = member.state() == State::Ready;
            ConstGauge::new(i64::from(is_connected))
                .encode(family.encode_family(&[("peer", &*member.name)])?)?;
        }
        let abouts: Vec<_> = members.values().map(|it| (&*it.name, it.about())).collect();
        let mut family = encoder.encode_descriptor(
            "palomar_peer_clock_ahead_seconds",
            "How far a peer's clock is ahead of this host's.",
            None,
            MetricType::Gauge,
        )?;
        for (peer, about) in &abouts {
            if let Some(clock) = about.clock {
                ConstGauge::new(clock.ahead_seconds)
                    .encode(family.encode_family(&[("peer", *peer)])?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "palomar_peers_by_version",
            "Peers by what they say that they are.",
            None,
            MetricType::Gauge,
        )?;
        let mut versions = BTreeMap::<_, i64>::new();
        for (_, about) in &abouts {
            *versions.entry(about.version.as_str()).or_default() += 1;
        }
        for (version, count) in versions {
            ConstGauge::new(count).encode(family.encode_family(&[("version", version)])?)?;
        }
        let mut family = encoder.encode_descriptor(
            "palomar_peer_malformed_responses",
            "Messages of a peer that were none, and were left out.",
            None,
            MetricType::Counter,
        )?;
        for member in members.values() {
            let count = member.malformed.load(Ordering::Relaxed);
            if count > 0 {
                ConstCounter::new(count)
                    .encode(family.encode_family(&[("peer", &*member.name)])?)?;
            }
        }
        let condition = *self.condition.borrow();
        for (name, help, is_so) in [
            (
                "palomar_peers_current",
                "Whether somebody tells of peers now.",
                condition.is_current,
            ),
            (
                "palomar_relay_serving",
                "Health by Hubble's rule.",
                condition.is_serving,
            ),
            (
                "palomar_relay_ready",
                "Whether clients should be sent here.",
                condition.is_ready,
            ),
        ] {
            gauge(encoder, name, help, i64::from(is_so))?;
        }
        Ok(())
    }

    fn encode_server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "palomar_events",
            "What the stages counted besides, by stage, what it is, and which kind.",
            None,
            MetricType::Counter,
        )?;
        for (refusal, count) in self.server.refused() {
            let labels = [
                ("stage", "serve"),
                ("what", "refused"),
                ("kind", refusal.name()),
            ];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "palomar_certificates",
            "Changed certificates, by whether they came into use, and on which side.",
            None,
            MetricType::Counter,
        )?;
        let server = &self.server;
        let mut sides = vec![(
            "server",
            server.certificates_taken(),
            server.certificates_refused(),
        )];
        sides.extend(
            self.tls
                .iter()
                .map(|tls| ("peers", tls.taken(), tls.refused())),
        );
        for (side, taken, refused) in sides {
            for (what, count) in [("taken", taken), ("refused", refused)] {
                let labels = [("side", side), ("what", what)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        gauge(
            encoder,
            "palomar_connections",
            "Open connections of clients.",
            count(server.connections()),
        )?;
        gauge(
            encoder,
            "palomar_calls",
            "Open calls of clients.",
            count(server.calls()),
        )
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn encode_process(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(process) = Process::now() else {
        return Ok(());
    };
    let cpu = ConstCounter::new(process.cpu_seconds);
    let help = "Time on a processor, in seconds.";
    cpu.encode(encoder.encode_descriptor(
        "process_cpu_seconds",
        help,
        None,
        MetricType::Counter,
    )?)?;
    let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    gauge(
        encoder,
        "process_resident_memory_bytes",
        "Memory that is in use.",
        count(process.resident_bytes),
    )?;
    gauge(
        encoder,
        "process_open_fds",
        "Open files and sockets.",
        count(process.open_files),
    )
}
