//! How many series a configuration makes, tried on flows before it is used.

use flow_api::flow::Flow;

use super::{FlowMetrics, Metric};

/// A configuration that is tried.
#[derive(Debug)]
pub struct Plan(FlowMetrics);

/// What became of one of its metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedMetric {
    /// Its name, as dashboards ask for it.
    pub name: String,
    /// How many series it has.
    pub series: usize,
    /// Its labels, and how many different values each has; those with the most first.
    pub labels: Vec<(&'static str, usize)>,
    /// How often something had no series of its own, for the budget.
    pub beyond_budget: u64,
}

impl Plan {
    /// Of these metrics, with at most so many series each.
    ///
    /// # Errors
    /// A filter that makes no sense.
    pub fn new(metrics: &[Metric], budget: usize) -> Result<Self, flow_filter::FilterError> {
        let mut planned = FlowMetrics::new(budget);
        planned.configure(metrics)?;
        Ok(Self(planned))
    }

    /// Counts a flow.
    pub fn count(&mut self, flow: &Flow) {
        self.0.count(flow);
    }

    /// What it comes to so far, in the order of the configuration.
    #[must_use]
    pub fn metrics(&self) -> Vec<PlannedMetric> {
        let pages = self.0.pages();
        let planned = pages.all().into_iter().map(|page| {
            let description = page.description();
            let mut labels: Vec<_> = description
                .labels
                .iter()
                .copied()
                .zip(page.distinct())
                .collect();
            labels.sort_by_key(|&(_, values)| std::cmp::Reverse(values));
            PlannedMetric {
                name: page.full_name(),
                series: page.series(),
                labels,
                beyond_budget: page.beyond_budget(),
            }
        });
        planned.collect()
    }
}
