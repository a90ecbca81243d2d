//! Counts scrapes, as Hubble does.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::flows::BUCKETS;

/// The status that a scrape got.
type Labels = [(&'static str, String); 1];

/// Scrapes, and how long they took. A page tells of those before it.
#[derive(Clone, Debug)]
pub(super) struct Scrapes {
    requests: Family<Labels, Counter>,
    duration: Family<Labels, Histogram>,
}

impl Scrapes {
    /// None yet, on pages of this registry.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let scrapes = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        };
        registry.register(
            "hubble_metrics_http_handler_requests",
            "Scrapes, by status",
            scrapes.requests.clone(),
        );
        registry.register(
            "hubble_metrics_http_handler_request_duration_seconds",
            "How long scrapes took, by status",
            scrapes.duration.clone(),
        );
        scrapes
    }

    /// Counts one that took so long.
    pub(super) fn count(&self, status: StatusCode, took: Duration) {
        let labels = [("code", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
        self.duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }
}
