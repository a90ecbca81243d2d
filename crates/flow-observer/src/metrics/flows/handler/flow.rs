//! All flows, by what they are.

use flow_api::flow::Verdict;
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};
use crate::metrics::flows::{measured::event_type, names};

#[derive(Debug)]
pub(crate) struct FlowCount {
    pub(super) flows: Family<Counter>,
}

impl FlowCount {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["protocol", "type", "subtype", "verdict"];
        let help = "Total number of flows processed";
        Self {
            flows: making.counters("hubble_flows_processed", help, &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        contexts.put(flow, values);
        values.push(names::protocol(flow));
        put_type(flow, values);
        match Verdict::try_from(flow.verdict()) {
            Ok(verdict) => values.push(verdict.as_str_name()),
            Err(number) => values.print(number.0),
        }
        one(&mut self.flows, values);
    }
}

/// Type and sub-type.
fn put_type(flow: &impl Measured, values: &mut Values) {
    let Some(event) = flow.event_type() else {
        values.push("Unknown");
        return values.print(0);
    };
    match event.message {
        event_type::L7 => {
            values.push("L7");
            values.push(names::application(flow).unwrap_or_default());
        }
        event_type::DROP => {
            values.push("Drop");
            values.push("");
        }
        event_type::CAPTURE => {
            values.push("Capture");
            values.push("");
        }
        event_type::TRACE => {
            values.push("Trace");
            // The number is a byte of the event, and one without a name has no text.
            let [place, ..] = event.sub_type.to_le_bytes();
            values.push(flow_api::words::observation_point(place).unwrap_or_default());
        }
        event_type::POLICY_VERDICT => {
            values.push("PolicyVerdict");
            values.push("");
        }
        other => {
            values.push("Unknown");
            values.print(other);
        }
    }
}
