//! ICMP messages.

use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};

#[derive(Debug)]
pub(crate) struct Icmp {
    pub(super) messages: Family<Counter>,
}

impl Icmp {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["family", "type"];
        Self {
            messages: making.counters("hubble_icmp", "Number of ICMP messages", &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(message) = flow.icmp() else { return };
        contexts.put(flow, values);
        // Hubble says so of both families, and dashboards sum up what has this value.
        values.push("IPv4");
        values.push(&message);
        one(&mut self.messages, values);
    }
}
