//! What policies decided.

use flow_api::flow::{TrafficDirection, Verdict};
use flow_filter::{EndpointView as _, Side};
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};
use crate::{
    enrich::HOST,
    metrics::flows::{measured::event_type, names},
};

#[derive(Debug)]
pub(crate) struct Policy {
    pub(super) verdicts: Family<Counter>,
}

impl Policy {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["direction", "match", "action"];
        let help = "Total number of Cilium network policy verdicts";
        Self {
            verdicts: making.counters("hubble_policy_verdicts", help, &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let matched = match flow.event() {
            Some(event_type::POLICY_VERDICT) => {
                let source = flow.endpoint(Side::Source);
                if source.is_some_and(|it| it.identity() == HOST) {
                    return;
                }
                flow_api::words::policy_match(flow.match_type()).to_ascii_lowercase()
            }
            Some(event_type::L7) => {
                let protocol = names::application(flow).unwrap_or_default();
                format!("l7/{}", protocol.to_ascii_lowercase())
            }
            _ => return,
        };
        contexts.put(flow, values);
        match TrafficDirection::try_from(flow.traffic_direction()) {
            Ok(direction) => values.push(&direction.as_str_name().to_ascii_lowercase()),
            Err(number) => values.print(number.0),
        }
        values.push(&matched);
        match Verdict::try_from(flow.verdict()) {
            Ok(verdict) => values.push(&verdict.as_str_name().to_ascii_lowercase()),
            Err(number) => values.print(number.0),
        }
        one(&mut self.verdicts, values);
    }
}
