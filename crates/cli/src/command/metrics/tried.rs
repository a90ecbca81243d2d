//! What a configuration was tried on, and what came of it.

use flow_api::observer::{GetFlowsResponse, get_flows_response::ResponseTypes};
use flow_observer::metrics::flows::{Metric, Plan, PlannedMetric};
use prost_types::Timestamp;

/// A configuration and the flows that it was tried on.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) plan: Plan,
    pub(super) budget: usize,
    /// Times of the flows, from the first to the last.
    pub(super) span: Option<(Timestamp, Timestamp)>,
    /// Events that were lost before they came here.
    pub(super) lost: u64,
}

/// All metrics together.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub(super) series: usize,
    pub(super) time_series: usize,
    pub(super) new_lately: usize,
}

impl Tried {
    /// Nothing was tried yet.
    ///
    /// # Errors
    /// A filter that makes no sense.
    pub(super) fn new(metrics: &[Metric], budget: usize) -> anyhow::Result<Self> {
        Ok(Self {
            plan: Plan::new(metrics, budget)?,
            budget,
            span: None,
            lost: 0,
        })
    }

    pub(super) fn take(&mut self, response: &GetFlowsResponse) {
        match &response.response_types {
            Some(ResponseTypes::Flow(flow)) => {
                self.plan.count(flow);
                if let Some(time) = flow.time {
                    let order = |it: &Timestamp| (it.seconds, it.nanos);
                    let (first, last) = self.span.unwrap_or((time, time));
                    let first = if order(&time) < order(&first) {
                        time
                    } else {
                        first
                    };
                    let last = if order(&time) > order(&last) {
                        time
                    } else {
                        last
                    };
                    self.span = Some((first, last));
                }
            }
            Some(ResponseTypes::LostEvents(lost)) => self.lost += lost.num_events_lost,
            _ => {}
        }
    }

    /// From the first flow to the last.
    pub(super) fn span_ns(&self) -> i64 {
        let Some((first, last)) = self.span else {
            return 0;
        };
        let seconds = last.seconds.saturating_sub(first.seconds);
        let nanos = i64::from(last.nanos) - i64::from(first.nanos);
        seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
    }
}

impl Total {
    pub(super) fn of(metrics: &[PlannedMetric]) -> Self {
        let mut total = Self::default();
        for metric in metrics {
            total.series += metric.series;
            total.time_series += metric.time_series;
            total.new_lately += metric.new_lately;
        }
        total
    }
}
