//! Losses under Hubble's name, beside which `palomar_lost_events` says more.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter},
};

use crate::{
    counters::Counters,
    ring::{FlowRing, ReaderKind},
};

/// Where they are counted.
#[derive(Debug)]
pub(super) struct Losses {
    pub(super) counters: Arc<Counters>,
    pub(super) ring: Arc<FlowRing>,
}

impl Collector for Losses {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut family = encoder.encode_descriptor(
            "hubble_lost_events",
            "Number of lost events",
            None,
            MetricType::Counter,
        )?;
        let end = self.ring.end();
        let missed = |kind| self.ring.readers().of(kind, end).missed;
        for (source, count) in [
            // As Hubble does, how often the kernel said so, not how many it lost.
            ("perf_event_ring_buffer", self.counters.loss_reports()),
            // There is no such queue here: what is not read in time waits in the kernel.
            ("observer_events_queue", 0),
            (
                "hubble_ring_buffer",
                missed(ReaderKind::Follow) + missed(ReaderKind::Query),
            ),
        ] {
            ConstCounter::new(count).encode(family.encode_family(&[("source", source)])?)?;
        }
        Ok(())
    }
}
