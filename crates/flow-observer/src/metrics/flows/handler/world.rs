//! Flows to the world outside of the cluster.

use flow_api::flow::{DropReason, Verdict};
use flow_filter::{EndpointView as _, Side, TcpFlags};
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};
use crate::metrics::flows::names;

#[derive(Debug)]
pub(crate) struct World {
    pub(super) flows: Family<Counter>,
    with_port: bool,
    any_drop: bool,
    syn_only: bool,
}

const LABELS: [&str; 3] = [
    "reserved:world",
    "reserved:world-ipv4",
    "reserved:world-ipv6",
];

const SYN: TcpFlags = TcpFlags::from_bits(1 << 1);

impl World {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let with_port = making.has("port");
        let own = ["protocol", "verdict", "port"];
        let own = if with_port { &own[..] } else { &own[..2] };
        Self {
            flows: making.counters(
                "hubble_flows_to_world",
                "Total number of flows to reserved:world",
                own,
            ),
            with_port,
            any_drop: making.has("any-drop"),
            syn_only: making.has("syn-only"),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        if !self.is_counted(flow) {
            return;
        }
        contexts.put(flow, values);
        values.push(names::protocol(flow));
        match Verdict::try_from(flow.verdict()) {
            Ok(verdict) => values.push(verdict.as_str_name()),
            Err(number) => values.print(number.0),
        }
        if self.with_port {
            match flow.port(Side::Destination) {
                Some(port) => values.print(port),
                None => values.push(""),
            }
        }
        one(&mut self.flows, values);
    }

    fn is_counted(&self, flow: &impl Measured) -> bool {
        if flow.event().is_none() || flow.l4_protocol().is_none() {
            return false;
        }
        let is_dropped = flow.verdict() == Verdict::Dropped as i32;
        let is_wanted = if is_dropped {
            self.any_drop || flow.drop_reason() == DropReason::PolicyDenied as i32
        } else {
            flow.is_reply() != Some(true)
        };
        let is_first =
            || flow.tcp_flags().is_some_and(|it| it.contains(SYN)) && flow.is_reply() != Some(true);
        if !is_wanted || self.syn_only && !is_first() {
            return false;
        }
        // Last, since it is the most to look at.
        let destination = flow.endpoint(Side::Destination);
        destination.is_some_and(|it| it.labels().any(|it| LABELS.contains(&it)))
    }
}
