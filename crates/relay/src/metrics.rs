//! The relay's numbers for Prometheus, under the names of Hubble's relay and under our own; and whether
//! it is ready, for those who cannot ask by gRPC.
//!
//! Nothing is counted here: a scrape reads what there is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flow_api::server::{
    CallCounts, Listener, Pages, Readiness, ServeError, ServerCounts, TlsClient,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::Condition;
use crate::pool::{Pool, State};

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
    /// Of those who look at the pages.
    pub(crate) pages: Arc<ServerCounts>,
}

/// Serves the pages, if anywhere. Ends when certificates cannot be used, and at no other time.
pub(crate) async fn serve(
    listener: Option<Listener>,
    numbers: Numbers,
    closing: CancellationToken,
) -> ServeError {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let condition = numbers.condition.clone();
    let readiness = move || {
        let condition = *condition.borrow();
        Readiness {
            is_ready: condition.is_ready,
            reason: condition.to_string(),
        }
    };
    let counts = Arc::clone(&numbers.pages);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Arc::clone(&numbers.calls)));
    registry.register_collector(Box::new(numbers));
    let pages = Pages::new(registry, readiness, counts);
    match pages.serve(listener, closing).await {
        Err(error) => error,
        Ok(()) => std::future::pending().await,
    }
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_peers(&mut encoder)?;
        self.encode_server(&mut encoder)
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
            ConstCounter::new(count).encode(family.encode_family(&[("peer", &*member.name)])?)?;
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
        for (what, counts) in [("refused", &self.server), ("refused_metrics", &self.pages)] {
            for (refusal, count) in counts.refused() {
                let labels = [("stage", "serve"), ("what", what), ("kind", refusal.name())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "palomar_certificates",
            "Changed certificates, by whether they came into use, and on which side.",
            None,
            MetricType::Counter,
        )?;
        let of = |side, counts: &ServerCounts| {
            let (taken, refused) = (counts.certificates_taken(), counts.certificates_refused());
            (side, taken, refused)
        };
        let server = &self.server;
        let mut sides = vec![of("server", server), of("metrics", &self.pages)];
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
