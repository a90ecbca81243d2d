//! Counting and scraping without an agent around them, for benchmarks.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use flow_api::flow::Flow;
use prometheus_client::{encoding::text, registry::Registry};

use super::{
    OfFlows,
    flows::{FlowMetrics, Metric},
};
use crate::{
    encode::{NodeFacts, flow_message},
    ring::{Event, FlowRing, Read},
    view::RecordView,
};

/// Metrics, and who counts for them.
#[derive(Debug)]
pub struct Counting {
    metrics: FlowMetrics,
    node: NodeFacts,
}

/// What Prometheus asks.
#[derive(Debug)]
pub struct Page(Registry);

impl Counting {
    /// Nothing is counted yet.
    ///
    /// # Errors
    /// A filter that makes no sense.
    pub fn new(
        metrics: &[Metric],
        budget: usize,
        node_name: &str,
    ) -> Result<Self, flow_filter::FilterError> {
        let mut counted = FlowMetrics::new(budget);
        counted.configure(metrics)?;
        Ok(Self {
            metrics: counted,
            node: NodeFacts {
                name: node_name.to_owned(),
                directory: None,
            },
        })
    }

    /// Counts all that a ring has. Tells how many events these were, and the longest time that any batch of
    /// them took.
    pub fn count(&mut self, ring: &FlowRing) -> (u64, Duration) {
        let mut position = ring.oldest();
        let (mut events, mut longest) = (0, Duration::ZERO);
        let mut begun = Instant::now();
        loop {
            match ring.read(position) {
                Read::End => return (events, longest),
                Read::Missed { resume, .. } => position = resume,
                Read::Batch(batch) => {
                    for slot in batch.from(position) {
                        self.take(&slot.event);
                        events += 1;
                    }
                    position = batch.end();
                }
            }
            let now = Instant::now();
            longest = longest.max(now - begun);
            begun = now;
        }
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Flow(flow) => self.metrics.count(&RecordView::new(flow, &self.node)),
            Event::Message(flow) => self.metrics.count(&*flow.message),
            _ => {}
        }
    }

    /// How many series each metric has, and how often it had none.
    #[must_use]
    pub fn series(&self) -> Vec<(String, usize, u64)> {
        let pages = self.metrics.pages().all();
        let told = pages
            .iter()
            .map(|it| (it.full_name(), it.series(), it.beyond_budget()));
        told.collect()
    }

    /// What a scrape reads.
    #[must_use]
    pub fn page(&self) -> Page {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(OfFlows {
            pages: self.metrics.pages(),
            overtaken: Arc::new(AtomicU64::new(0)),
        }));
        Page(registry)
    }
}

impl Page {
    /// Its text.
    ///
    /// # Errors
    /// A metric that cannot be written.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0).map(|()| page)
    }
}

/// The flows of a ring as messages.
#[must_use]
pub fn messages(ring: &FlowRing, node_name: &str) -> Vec<Flow> {
    let node = NodeFacts {
        name: node_name.to_owned(),
        directory: None,
    };
    let mut messages = Vec::new();
    let mut position = ring.oldest();
    while let Read::Batch(batch) = ring.read(position) {
        messages.extend(
            batch
                .from(position)
                .iter()
                .filter_map(|slot| match &slot.event {
                    Event::Flow(flow) => Some(flow_message(flow, &node)),
                    Event::Message(flow) => Some((*flow.message).clone()),
                    _ => None,
                }),
        );
        position = batch.end();
    }
    messages
}
