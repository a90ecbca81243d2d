//! What became of the file of metrics, as scrapes tell it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::assemble::now_ns;

/// Which one is in use, and since when.
#[derive(Debug, Default)]
pub(crate) struct Reloads(Mutex<Current>);

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
    }

    /// What the file says now cannot be used.
    pub(super) fn refused(&self) {
        self.current().is_outdated = true;
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        Ok(())
    }
}
