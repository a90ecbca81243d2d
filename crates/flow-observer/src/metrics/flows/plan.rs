//! How many series a configuration makes, tried on flows before it is used.
//!
//! In go flows of one node or of many, out comes what their agents would have. Each agent counts the
//! flows of its own node, so that a plan has the metrics of each node, twice: as its agent has them, with
//! the budget, and as they would be without.

mod growth;
mod labels;

use std::{collections::BTreeMap, sync::Arc};

use flow_api::flow::Flow;
use prometheus_client::metrics::MetricType;

use self::growth::Growth;
use super::{BUCKETS, FlowMetrics, Metric, handler};

pub use self::labels::PlannedLabel;

/// Series of a metric on one node that are told apart: so many take a hundred megabytes or two.
const MOST_SERIES: usize = 1_000_000;
/// Nodes that are told apart; the flows of others count as those of one more. No cluster of
/// Kubernetes has more.
const MOST_NODES: usize = 5_000;

/// A configuration that is tried.
#[derive(Debug)]
pub struct Plan {
    metrics: Vec<Metric>,
    budget: usize,
    nodes: BTreeMap<String, Node>,
    flows: u64,
    growth: Growth,
}

/// What one agent would have.
#[derive(Debug)]
struct Node {
    agent: FlowMetrics,
    unbounded: FlowMetrics,
}

/// What became of one of the metrics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedMetric {
    /// Its name, as dashboards ask for it.
    pub name: String,
    /// How many series it would have on all nodes together, without a budget.
    pub series: usize,
    /// There are more, which are not told apart here.
    pub is_cut: bool,
    /// The node with the most of them, and how many.
    pub largest_node: Option<(String, usize)>,
    /// How many nodes have more of them than the budget allows.
    pub nodes_beyond_budget: usize,
    /// How often something would have no series of its own, for the budget, and count as other.
    pub beyond_budget: u64,
    /// How many time series Prometheus would have of it: within the budget, and for a histogram one
    /// for each bucket, the sum and the count.
    pub time_series: usize,
    /// Series that came with the last tenth of the flows.
    pub new_lately: usize,
    /// Its labels; those without which there are the fewest series first.
    pub labels: Vec<PlannedLabel>,
}

impl Node {
    fn new(metrics: &[Metric], budget: usize) -> Result<Self, flow_filter::FilterError> {
        let mut agent = FlowMetrics::new(budget);
        let mut unbounded = FlowMetrics::new(MOST_SERIES);
        agent.configure(metrics)?;
        unbounded.configure(metrics)?;
        Ok(Self { agent, unbounded })
    }
}

impl Plan {
    /// Of these metrics, with at most so many series each on each node.
    ///
    /// # Errors
    /// A filter that makes no sense.
    pub fn new(metrics: &[Metric], budget: usize) -> Result<Self, flow_filter::FilterError> {
        // What can be wrong is wrong now.
        Node::new(metrics, budget)?;
        Ok(Self {
            metrics: metrics.to_vec(),
            budget,
            nodes: BTreeMap::new(),
            flows: 0,
            growth: Growth::default(),
        })
    }

    /// Counts a flow, as the agent of its node would.
    pub fn count(&mut self, flow: &Flow) {
        if let Some(node) = self.node(&flow.node_name) {
            node.agent.count(flow);
            node.unbounded.count(flow);
        }
        self.flows += 1;
        if self.growth.is_due(self.flows) {
            self.growth.note(self.flows, self.series());
        }
    }

    /// The metrics of a node.
    fn node(&mut self, name: &str) -> Option<&mut Node> {
        let name = match self.nodes.contains_key(name) || self.nodes.len() < MOST_NODES {
            true => name,
            false => "",
        };
        if !self.nodes.contains_key(name) {
            let node = Node::new(&self.metrics, self.budget).ok()?;
            self.nodes.insert(name.to_owned(), node);
        }
        self.nodes.get_mut(name)
    }

    /// Flows that were counted.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// Nodes that they were of.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// How many series each metric has by now.
    fn series(&self) -> Vec<usize> {
        let mut sums = Vec::new();
        for node in self.nodes.values() {
            for (index, page) in node.unbounded.pages().all().iter().enumerate() {
                match sums.get_mut(index) {
                    Some(sum) => *sum += page.series(),
                    None => sums.push(page.series()),
                }
            }
        }
        sums
    }

    /// What it comes to so far, in the order of the configuration. Plug-ins that count nothing ever are
    /// left out.
    #[must_use]
    pub fn metrics(&self) -> Vec<PlannedMetric> {
        let Ok(empty) = Node::new(&self.metrics, self.budget) else {
            return Vec::new();
        };
        let mut planned = Vec::new();
        for counted in &empty.agent.counted {
            let pages = counted.handler.iter().flat_map(handler::Handler::pages);
            for page in pages {
                planned.push(self.metric(planned.len(), &counted.metric, page.full_name()));
            }
        }
        planned
    }

    /// The metric at a place among all of them.
    fn metric(&self, index: usize, metric: &Metric, name: String) -> PlannedMetric {
        let mut planned = PlannedMetric {
            name,
            series: 0,
            is_cut: false,
            largest_node: None,
            nodes_beyond_budget: 0,
            beyond_budget: 0,
            time_series: 0,
            new_lately: 0,
            labels: Vec::new(),
        };
        let mut keys = Vec::new();
        let mut names = Arc::default();
        for (node, metrics) in &self.nodes {
            let pages = (metrics.agent.pages().all(), metrics.unbounded.pages().all());
            let (Some(agent), Some(unbounded)) = (pages.0.get(index), pages.1.get(index)) else {
                continue;
            };
            let series = unbounded.series();
            planned.series += series;
            planned.is_cut |= unbounded.beyond_budget() > 0;
            planned.beyond_budget += agent.beyond_budget();
            planned.nodes_beyond_budget += usize::from(agent.beyond_budget() > 0);
            planned.time_series += agent.series() * time_series(agent.kind());
            if planned
                .largest_node
                .as_ref()
                .is_none_or(|(_, most)| series > *most)
            {
                planned.largest_node = Some((node.clone(), series));
            }
            keys.push(unbounded.keys());
            names = Arc::clone(&unbounded.description().labels);
        }
        let before = self.growth.before_last_tenth(self.flows);
        let before = before.and_then(|it| it.get(index)).copied();
        planned.new_lately = planned.series.saturating_sub(before.unwrap_or(0));
        planned.labels = labels::planned(metric, &names, &keys);
        planned
    }
}

/// How many time series Prometheus makes of one.
fn time_series(kind: MetricType) -> usize {
    match kind {
        // The buckets and the one for all, the sum and the count.
        MetricType::Histogram => BUCKETS.len() + 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
