//! Metrics of flows, under the names that Hubble gives them, so that its dashboards and alerts work.
//!
//! In go events of the ring and a configuration, out come counters and histograms with labels. One
//! thread counts (`reader`); a scrape reads what it has counted.

mod config;
mod context;
mod escaped;
mod file;
mod handler;
mod measured;
mod names;
mod plan;
mod reader;
mod reloads;
mod series;

use std::sync::{Arc, Mutex, PoisonError};

use flow_filter::Filter;
use foldhash::HashSet;

use handler::Handler;
use measured::Measured;
use series::{Page, Values};

pub use config::{ConfigError, Metric, Mistake, parse_line, parse_yaml};
pub(crate) use file::WatchedConfig;
pub use file::{FileError, read as read_file};
pub use plan::{Plan, PlannedLabel, PlannedMetric};
pub(crate) use reader::Reader;
pub(crate) use reloads::Reloads;

/// Series of a metric, unless told otherwise: some ten megabytes in Prometheus.
pub const DEFAULT_SERIES_BUDGET: usize = 10_000;

/// Of durations, in seconds: those that Prometheus's libraries have unless told otherwise.
pub(crate) const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// What scrapes read: all metrics that there are now.
#[derive(Debug, Default)]
pub(crate) struct Pages(Mutex<Vec<Arc<dyn Page>>>);

impl Pages {
    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Page>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, pages: Vec<Arc<dyn Page>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = pages;
    }
}

/// The metrics that are counted.
#[derive(Debug)]
pub(crate) struct FlowMetrics {
    /// In the order of the configuration.
    counted: Vec<Counted>,
    /// How many different contexts they have.
    groups: usize,
    budget: usize,
    values: Values,
    pages: Arc<Pages>,
}

/// A metric at work.
#[derive(Debug)]
struct Counted {
    metric: Metric,
    /// The same for all with the same contexts.
    group: usize,
    filter: Filter,
    /// `None` for a plug-in that there is not.
    handler: Option<Handler>,
}

impl FlowMetrics {
    /// None yet.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            counted: Vec::new(),
            groups: 0,
            budget,
            values: Values::default(),
            pages: Arc::default(),
        }
    }

    /// What scrapes read.
    pub(crate) fn pages(&self) -> Arc<Pages> {
        Arc::clone(&self.pages)
    }

    /// Counts these from now on. Of those that are counted with the same labels already, the counts
    /// go on, with the filters that they have now.
    ///
    /// # Errors
    /// A filter that makes no sense; nothing changes.
    pub(crate) fn configure(&mut self, metrics: &[Metric]) -> Result<(), flow_filter::FilterError> {
        let mut filters = Vec::with_capacity(metrics.len());
        for metric in metrics {
            filters.push(Filter::compile(&metric.include, &metric.exclude)?);
        }
        let mut contexts = Vec::new();
        let mut before = std::mem::take(&mut self.counted);
        for (metric, filter) in metrics.iter().zip(filters) {
            let same = before.iter().position(|it| it.metric.is_like(metric));
            let handler = match same {
                Some(index) => before.swap_remove(index).handler,
                None => Handler::new(metric, self.budget),
            };
            let group = contexts.iter().position(|it| *it == &metric.contexts);
            let group = group.unwrap_or_else(|| {
                contexts.push(&metric.contexts);
                contexts.len() - 1
            });
            self.counted.push(Counted {
                metric: metric.clone(),
                group,
                filter,
                handler,
            });
        }
        self.groups = contexts.len();
        let handlers = self.counted.iter().filter_map(|it| it.handler.as_ref());
        self.pages.set(handlers.flat_map(Handler::pages).collect());
        Ok(())
    }

    /// Counts a flow for all that count it.
    pub(crate) fn count<F: Measured>(&mut self, flow: &F) {
        self.values.begin(self.groups);
        for Counted {
            metric,
            group,
            filter,
            handler,
        } in &mut self.counted
        {
            if let Some(handler) = handler
                && (filter.matches_everything() || filter.matches(flow))
            {
                self.values.choose(*group);
                handler.count(flow, &metric.contexts, &mut self.values);
            }
        }
    }

    /// Removes all series of pods with these names.
    pub(crate) fn remove_pods(&mut self, names: &HashSet<String>) {
        for Counted {
            metric, handler, ..
        } in &mut self.counted
        {
            let Some(handler) = handler else { continue };
            for labels in metric.contexts.of_pods() {
                handler.remove_pods(labels, names);
            }
        }
    }
}

#[cfg(test)]
mod tests;
