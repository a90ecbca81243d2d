//! Dropped flows, by reason.

use flow_api::flow::Verdict;
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};
use crate::metrics::flows::names;

#[derive(Debug)]
pub(crate) struct Drop {
    pub(super) drops: Family<Counter>,
}

impl Drop {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["reason", "protocol"];
        Self {
            drops: making.counters("hubble_drop", "Number of drops", &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        if flow.verdict() != Verdict::Dropped as i32 {
            return;
        }
        contexts.put(flow, values);
        values.push(&flow.drop_reason_name());
        values.push(names::protocol(flow));
        one(&mut self.drops, values);
    }
}
