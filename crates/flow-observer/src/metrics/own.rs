//! The agent's own numbers.
//!
//! Nothing is counted here: a scrape reads what the stages have counted.

use std::sync::Arc;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::{
    counters::Counters,
    enrich::{ProviderState, ProviderStatus, Reports},
    ring::FlowRing,
    source::Hook,
};

/// What a scrape reads.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) counters: Arc<Counters>,
    pub(crate) ring: Arc<FlowRing>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) providers: Vec<Arc<dyn Reports>>,
}

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
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
            let mut family = encoder.encode_descriptor(
                name,
                help,
                None,
                prometheus_client::metrics::MetricType::Counter,
            )?;
            for count in counts.iter().filter(|count| count.is_loss == is_loss) {
                let labels = [
                    ("stage", count.stage.name()),
                    ("what", count.what),
                    ("kind", count.kind.as_str()),
                ];
                ConstCounter::new(count.count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut hooks = encoder.encode_descriptor(
            "palomar_hook_on",
            "Whether an optional part of the source is on.",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for hook in &self.hooks {
            ConstGauge::new(i64::from(hook.off.is_none()))
                .encode(hooks.encode_family(&[("hook", hook.name)])?)?;
        }
        encode_providers(&self.providers, &mut encoder)?;
        for (name, help, value) in [
            ("palomar_ring_flows", "Events in the ring.", self.ring.len()),
            (
                "palomar_ring_capacity",
                "Events that the ring can hold.",
                self.ring.capacity(),
            ),
            (
                "palomar_ring_bytes",
                "Memory of the ring: events and what they are encoded to.",
                self.ring.fill().bytes,
            ),
            (
                "palomar_connections",
                "Open connections of clients.",
                self.counters.server().connections(),
            ),
            (
                "palomar_calls",
                "Open calls of clients.",
                self.counters.server().calls(),
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let encoder = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(encoder)?;
        }
        Ok(())
    }
}

fn encode_providers(
    providers: &[Arc<dyn Reports>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), std::fmt::Error> {
    type Value = fn(&ProviderStatus) -> u64;
    let gauges: [(_, _, Value); 3] = [
        (
            "palomar_provider_connected",
            "Whether a provider of names, or a part of it, hears of changes.",
            |it| u64::from(it.state == ProviderState::Connected),
        ),
        (
            "palomar_provider_age_seconds",
            "How old its knowledge is.",
            |it| it.age_seconds,
        ),
        ("palomar_provider_objects", "Objects that it knows.", |it| {
            it.objects
        }),
    ];
    let reports: Vec<_> = providers.iter().map(|it| it.report()).collect();
    for (name, help, value) in gauges {
        let mut family = encoder.encode_descriptor(
            name,
            help,
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for report in &reports {
            let parts = report.parts.iter();
            let used = parts.filter(|part| part.state != ProviderState::Absent);
            for part in used {
                let labels = [("provider", report.name), ("part", part.name)];
                let gauge = ConstGauge::new(i64::try_from(value(part)).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::{encoding::text, registry::Registry};

    use super::*;

    #[test]
    fn a_scrape_tells_losses_apart_from_what_is_only_counted() {
        let counters = Arc::new(Counters::default());
        counters.lost(1, 3);
        counters.published(7, 0);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Numbers {
            counters,
            ring: Arc::new(FlowRing::new(15)),
            hooks: vec![Hook {
                name: "sockets",
                off: Some("no cgroup v2".to_owned()),
            }],
            providers: Vec::new(),
        }));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        for line in [
            r#"palomar_lost_events_total{stage="kernel",what="lost",kind="cpu1"} 3"#,
            r#"palomar_events_total{stage="ring",what="flows",kind=""} 7"#,
            r#"palomar_hook_on{hook="sockets"} 0"#,
            "palomar_ring_capacity 15",
            "# EOF",
        ] {
            assert!(
                page.lines().any(|it| it == line),
                "{line} is not in\n{page}"
            );
        }
    }
}
