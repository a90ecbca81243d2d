//! The metrics of flows, under Hubble's names: which flow counts for which, and with which labels.

mod dns;
mod drop;
mod flow;
mod http;
mod icmp;
mod kafka;
mod policy;
mod ports;
mod sctp;
mod tcp;
mod world;

use std::sync::Arc;

use foldhash::HashSet;
use prometheus_client::metrics::counter::Counter;

use super::{
    config::Metric,
    context::Contexts,
    measured::Measured,
    series::{Description, Family, Page, Values},
};

/// The metrics of one plug-in.
#[derive(Debug)]
pub(crate) enum Handler {
    Dns(dns::Dns),
    Drop(drop::Drop),
    Flow(flow::FlowCount),
    Http(http::Http),
    Icmp(icmp::Icmp),
    Kafka(kafka::Kafka),
    Policy(policy::Policy),
    Ports(ports::Ports),
    Sctp(sctp::Sctp),
    Tcp(tcp::Tcp),
    World(world::World),
}

/// All plug-ins, by their names in a configuration.
pub(crate) const PLUGINS: [&str; 12] = [
    "dns",
    "drop",
    "flow",
    "flows-to-world",
    "http",
    "httpV2",
    "icmp",
    "kafka",
    "policy",
    "port-distribution",
    "sctp",
    "tcp",
];

/// What a handler is made with.
pub(crate) struct Making<'a> {
    metric: &'a Metric,
    /// Most series of each metric.
    budget: usize,
}

impl Making<'_> {
    /// A family whose labels are those of the contexts and its own, in this order or the other.
    fn family<M: Clone>(
        &self,
        name: &'static str,
        help: &'static str,
        own: &[&'static str],
        make: fn() -> M,
    ) -> Family<M> {
        let labels = self.metric.contexts.names().chain(own.iter().copied());
        let description = Description {
            name,
            help,
            labels: labels.collect(),
        };
        Family::new(description, self.budget, make)
    }

    fn counters(
        &self,
        name: &'static str,
        help: &'static str,
        own: &[&'static str],
    ) -> Family<Counter> {
        self.family(name, help, own, Counter::default)
    }

    fn has(&self, option: &str) -> bool {
        self.metric.option(option).is_some()
    }
}

impl Handler {
    /// As configured. `None` for a name that is none of [`PLUGINS`].
    pub(crate) fn new(metric: &Metric, budget: usize) -> Option<Self> {
        let making = &Making { metric, budget };
        Some(match metric.name.as_str() {
            "dns" => Self::Dns(dns::Dns::new(making)),
            "drop" => Self::Drop(drop::Drop::new(making)),
            "flow" => Self::Flow(flow::FlowCount::new(making)),
            "flows-to-world" => Self::World(world::World::new(making)),
            "http" => Self::Http(http::Http::new(making, false)),
            "httpV2" => Self::Http(http::Http::new(making, true)),
            "icmp" => Self::Icmp(icmp::Icmp::new(making)),
            "kafka" => Self::Kafka(kafka::Kafka::new(making)),
            "policy" => Self::Policy(policy::Policy::new(making)),
            "port-distribution" => Self::Ports(ports::Ports::new(making)),
            "sctp" => Self::Sctp(sctp::Sctp::new(making)),
            "tcp" => Self::Tcp(tcp::Tcp::new(making)),
            _ => return None,
        })
    }

    /// Counts a flow, if it is one of those that this counts.
    pub(crate) fn count<F: Measured>(
        &mut self,
        flow: &F,
        contexts: &Contexts,
        values: &mut Values,
    ) {
        values.clear();
        match self {
            Self::Dns(it) => it.count(flow, contexts, values),
            Self::Drop(it) => it.count(flow, contexts, values),
            Self::Flow(it) => it.count(flow, contexts, values),
            Self::Http(it) => it.count(flow, contexts, values),
            Self::Icmp(it) => it.count(flow, contexts, values),
            Self::Kafka(it) => it.count(flow, contexts, values),
            Self::Policy(it) => it.count(flow, contexts, values),
            Self::Ports(it) => it.count(flow, contexts, values),
            Self::Sctp(it) => it.count(flow, contexts, values),
            Self::Tcp(it) => it.count(flow, contexts, values),
            Self::World(it) => it.count(flow, contexts, values),
        }
    }

    /// Removes the series of pods that are gone, by the labels that name pods.
    pub(crate) fn remove_pods(&mut self, labels: &[&str], names: &HashSet<String>) {
        match self {
            Self::Dns(it) => it.remove_pods(labels, names),
            Self::Drop(it) => it.drops.remove_pods(labels, names),
            Self::Flow(it) => it.flows.remove_pods(labels, names),
            Self::Http(it) => it.remove_pods(labels, names),
            Self::Icmp(it) => it.messages.remove_pods(labels, names),
            Self::Kafka(it) => it.remove_pods(labels, names),
            Self::Policy(it) => it.verdicts.remove_pods(labels, names),
            Self::Ports(it) => it.ports.remove_pods(labels, names),
            Self::Sctp(it) => it.chunks.remove_pods(labels, names),
            Self::Tcp(it) => it.flags.remove_pods(labels, names),
            Self::World(it) => it.flows.remove_pods(labels, names),
        }
    }

    /// What scrapes read.
    pub(crate) fn pages(&self) -> Vec<Arc<dyn Page>> {
        match self {
            Self::Dns(it) => it.pages(),
            Self::Drop(it) => vec![it.drops.shared()],
            Self::Flow(it) => vec![it.flows.shared()],
            Self::Http(it) => it.pages(),
            Self::Icmp(it) => vec![it.messages.shared()],
            Self::Kafka(it) => it.pages(),
            Self::Policy(it) => vec![it.verdicts.shared()],
            Self::Ports(it) => vec![it.ports.shared()],
            Self::Sctp(it) => vec![it.chunks.shared()],
            Self::Tcp(it) => vec![it.flags.shared()],
            Self::World(it) => vec![it.flows.shared()],
        }
    }
}

/// Counts one more.
fn one(family: &mut Family<Counter>, values: &Values) {
    family.update(values, |it| {
        it.inc();
    });
}
