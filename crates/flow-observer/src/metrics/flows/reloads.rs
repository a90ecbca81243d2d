//! What became of the file of metrics, as scrapes tell it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::{assemble::now_ns, counters::Counters};

/// Which one is in use, and since when.
#[derive(Debug)]
pub(crate) struct Reloads {
    current: Mutex<Current>,
    /// Where reloads are counted, for status as well.
    counters: Arc<Counters>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Current {
    /// Tells files apart. Of 48 bits, which a sample can hold.
    hash: u64,
    /// When it was read, in seconds since 1970.
    since: i64,
    /// The file is another by now, which cannot be used.
    is_outdated: bool,
}

impl Reloads {
    /// None was read yet.
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            current: Mutex::default(),
            counters,
        }
    }

    /// The file says this now.
    pub(super) fn took(&self, text: &str) {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let mut first = [0; 8];
        first[..6].copy_from_slice(&digest.as_ref()[..6]);
        *self.current() = Current {
            hash: u64::from_le_bytes(first),
            since: now_ns() / 1_000_000_000,
            is_outdated: false,
        };
        self.counters.metrics_config(true);
    }

    /// What the file says now cannot be used.
    pub(super) fn refused(&self) {
        self.current().is_outdated = true;
        self.counters.metrics_config(false);
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Reloads {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let current = *self.current();
        for (name, help, value) in [
            (
                "palomar_metrics_config_hash",
                "Tells apart which file of metrics is in use.",
                i64::try_from(current.hash).unwrap_or(i64::MAX),
            ),
            (
                "palomar_metrics_config_last_reload_success_timestamp_seconds",
                "When the file of metrics that is in use was read, in seconds since 1970.",
                current.since,
            ),
            (
                "palomar_metrics_config_last_reload_successful",
                "Whether the file of metrics is in use as it is now.",
                i64::from(!current.is_outdated),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        let mut reloads = encoder.encode_descriptor(
            "palomar_metrics_config_reloads",
            "How often the file of metrics was read, by whether it could be used.",
            None,
            MetricType::Counter,
        )?;
        let (taken, refused) = self.counters.metrics_configs();
        for (result, count) in [("success", taken), ("failure", refused)] {
            let count = ConstCounter::new(count);
            count.encode(reloads.encode_family(&[("result", result)])?)?;
        }
        Ok(())
    }
}
