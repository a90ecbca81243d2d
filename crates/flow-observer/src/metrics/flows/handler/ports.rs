//! Which ports are talked to.

use flow_api::flow::Verdict;
use flow_filter::{L4Protocol, Side};
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one};
use crate::metrics::flows::names;

#[derive(Debug)]
pub(crate) struct Ports {
    pub(super) ports: Family<Counter>,
}

impl Ports {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["protocol", "port"];
        let help = "Numbers of packets distributed by destination port";
        Self {
            ports: making.counters("hubble_port_distribution", help, &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        if !passed(flow) || flow.is_reply() != Some(false) {
            return;
        }
        let port = match flow.l4_protocol() {
            Some(L4Protocol::Tcp | L4Protocol::Udp | L4Protocol::Sctp) => {
                flow.port(Side::Destination).unwrap_or_default()
            }
            Some(L4Protocol::Icmpv4 | L4Protocol::Icmpv6) => 0,
            Some(L4Protocol::Vrrp | L4Protocol::Igmp) | None => return,
        };
        contexts.put(flow, values);
        values.push(names::protocol(flow));
        values.number(port);
        one(&mut self.ports, values);
    }
}

/// Whether the packet went on.
pub(super) fn passed(flow: &impl Measured) -> bool {
    let verdict = Verdict::try_from(flow.verdict());
    matches!(verdict, Ok(Verdict::Forwarded | Verdict::Redirected))
}
