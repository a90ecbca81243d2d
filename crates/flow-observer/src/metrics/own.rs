//! The agent's own numbers.
//!
//! Nothing is counted here: a scrape reads what the stages have counted.

mod export;
mod providers;
mod ring;
mod source;
mod write;

use std::{fmt, sync::Arc};

use flow_api::server::ServerCounts;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use crate::{
    counters::{Counters, Stage},
    enrich::Reports,
    ring::FlowRing,
    source::{Hook, RunTimes},
};

/// What a scrape reads.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) counters: Arc<Counters>,
    pub(crate) ring: Arc<FlowRing>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) run_times: Arc<RunTimes>,
    pub(crate) providers: Vec<Arc<dyn Reports>>,
    /// Of those who scrape.
    pub(crate) pages: Arc<ServerCounts>,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.encode_stages(encoder)?;
        source::encode_hooks(&self.hooks, encoder)?;
        source::encode_run_times(&self.run_times, encoder)?;
        providers::encode(&self.providers, encoder)?;
        providers::encode_misses(self.counters.enrich_misses(), encoder)?;
        let changes = [
            ("inventory", self.counters.inventories()),
            ("metrics", self.counters.metrics_configs()),
        ];
        providers::encode_changes(changes, encoder)?;
        ring::encode(&self.ring, encoder)?;
        export::encode(self.counters.export(), encoder)?;
        self.encode_servers(encoder)
    }
}

impl Numbers {
    fn encode_stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        write::counter(
            encoder,
            "palomar_events_read",
            "Events that the source handed over, whatever became of them.",
            self.counters.read_events(),
        )?;
        let counts = self.counters.stages();
        for (name, help, is_loss) in [
            (
                "palomar_lost_events",
                "Events that nobody will see, by where they were lost, why, and which kind.",
                true,
            ),
            (
                "palomar_events",
                "What the stages counted besides, by stage, what it is, and which kind.",
                false,
            ),
        ] {
            let counts = counts
                .iter()
                .filter(|count| count.is_loss == is_loss)
                // Exporters have metrics of their own.
                .filter(|count| is_loss || count.stage != Stage::Export);
            let series = counts.map(|count| {
                let labels = [
                    ("stage", count.stage.name()),
                    ("what", count.what),
                    ("kind", count.kind.as_str()),
                ];
                (labels, count.count)
            });
            write::counters(encoder, name, help, series)?;
        }
        Ok(())
    }

    fn encode_servers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let server = self.counters.server();
        write::size(
            encoder,
            "palomar_connections",
            "Open connections of clients.",
            server.connections(),
        )?;
        write::size(
            encoder,
            "palomar_calls",
            "Open calls of clients.",
            server.calls(),
        )?;
        let sides = [("server", &*server), ("metrics", &*self.pages)];
        let certificates = sides.iter().flat_map(|(side, counts)| {
            let taken = counts.certificates_taken();
            let refused = counts.certificates_refused();
            [("taken", taken), ("refused", refused)]
                .map(|(what, count)| ([("side", *side), ("what", what)], count))
        });
        write::counters(
            encoder,
            "palomar_certificates",
            "Changed certificates, by whether they came into use, and on which side.",
            certificates,
        )?;
        let refused = self.pages.refused();
        write::counters(
            encoder,
            "palomar_metrics_refused",
            "Who was turned away from the metrics, by why.",
            refused.map(|(refusal, count)| ([("reason", refusal.name())], count)),
        )
    }
}

#[cfg(test)]
mod tests;
