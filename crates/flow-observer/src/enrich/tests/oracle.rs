//! The same facts put together in the plainest way: everything anew, each time.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::LazyLock,
};

use super::super::{
    DualStack, LabelFilter, Snapshot,
    facts::{EndpointFact, Fact, Key, Provider, ServiceFact},
    identity,
};
use crate::record::{Endpoint, Service};

/// How sets of labels come to numbers.
pub(super) type Numbering = fn(&[String], u8) -> u32;

/// What was said and not taken back.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    pub(super) facts: BTreeMap<(Provider, Key), Fact>,
    pub(super) own_addresses: Vec<IpAddr>,
}

/// What flows are told of an address.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Told {
    /// Without its number on the node.
    endpoint: Endpoint,
    has_number: bool,
    names: Vec<String>,
    frontends: bool,
    backends: bool,
    is_node: bool,
}

impl Told {
    pub(super) fn by(snapshot: &Snapshot, ip: IpAddr) -> Self {
        let known = snapshot.look_up(ip);
        Self {
            endpoint: Endpoint {
                id: 0,
                ..Endpoint::clone(known.endpoint)
            },
            has_number: known.endpoint.id != 0,
            names: known.names.map_or_else(Vec::new, |names| {
                names.all.iter().map(|it| it.text.to_string()).collect()
            }),
            frontends: known.has_frontends,
            backends: known.has_backends,
            is_node: known.is_node,
        }
    }
}

impl Oracle {
    pub(super) fn told(&self, ip: IpAddr, numbering: Numbering) -> Told {
        // The last one is believed.
        let mut owner = None;
        let (mut is_own, mut is_api_server) = (self.own_addresses.contains(&ip), false);
        let (mut names, mut prefix) = (Vec::<&[String]>::new(), None);
        let (mut frontends, mut backends, mut is_node) = (false, false, is_own);
        for ((_, _), fact) in &self.facts {
            match fact {
                Fact::Endpoint(fact) if fact.ips.contains(&ip) => owner = Some(Some(fact)),
                Fact::Node(fact) if fact.ips.contains(&ip) => {
                    owner = Some(None);
                    is_node = true;
                    is_own |= fact.name == "n1";
                    is_api_server |= fact.is_api_server;
                }
                Fact::Service(fact) => {
                    frontends |= fact.frontends.iter().any(|it| it.ip == ip);
                    backends |= fact.backends.iter().any(|it| it.ip == ip);
                }
                Fact::Prefix(fact) => {
                    let is_within = match (fact.address, ip) {
                        (IpAddr::V4(first), IpAddr::V4(ip)) => {
                            (first.to_bits() ^ ip.to_bits()).leading_zeros() >= fact.len.into()
                        }
                        (IpAddr::V6(first), IpAddr::V6(ip)) => {
                            (first.to_bits() ^ ip.to_bits()).leading_zeros() >= fact.len.into()
                        }
                        _ => false,
                    };
                    if is_within && prefix.is_none_or(|(len, _)| fact.len >= len) {
                        prefix = Some((fact.len, fact));
                    }
                }
                Fact::Names(fact) if fact.ips.contains(&ip) => names.insert(0, &fact.names),
                _ => {}
            }
        }
        let endpoint = match owner {
            _ if is_own => reserved(identity::HOST),
            Some(Some(fact)) => self.workload(fact, numbering),
            Some(None) if is_api_server => reserved(identity::KUBE_APISERVER),
            Some(None) => reserved(identity::REMOTE_NODE),
            None => match prefix {
                Some((len, fact)) => {
                    let world = if self.is_dual_stack() && ip.is_ipv4() {
                        "reserved:world-ipv4"
                    } else if self.is_dual_stack() {
                        "reserved:world-ipv6"
                    } else {
                        "reserved:world"
                    };
                    let mut labels = fact.labels.clone();
                    labels.extend([format!("cidr:{}/{len}", fact.address), world.to_owned()]);
                    labels.sort();
                    Endpoint {
                        identity: identity::local_scope(&labels),
                        labels: labels.into(),
                        ..Endpoint::default()
                    }
                }
                None => reserved(identity::world(self.is_dual_stack(), ip)),
            },
        };
        let mut once = BTreeSet::new();
        let names = names.into_iter().flatten().map(|it| it.to_lowercase());
        Told {
            has_number: !is_own
                && owner
                    .flatten()
                    .is_some_and(|it| is_local(it) && it.id != Some(0)),
            names: names.filter(|it| once.insert(it.clone())).collect(),
            endpoint,
            frontends,
            backends,
            is_node,
        }
    }

    /// Services in the order in which they are believed.
    pub(super) fn services(&self, has_port: impl Fn(&ServiceFact) -> bool) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        for fact in self.facts.values().rev() {
            if let Fact::Service(fact) = fact {
                let service = Service {
                    namespace: fact.namespace.as_str().into(),
                    name: fact.name.as_str().into(),
                };
                if has_port(fact) && !services.contains(&service) {
                    services.push(service);
                }
            }
        }
        services
    }

    pub(super) fn own_labels(&self) -> Vec<String> {
        let nodes = self.facts.values().rev().filter_map(|fact| match fact {
            Fact::Node(fact) if fact.name == "n1" && !fact.labels.is_empty() => Some(fact),
            _ => None,
        });
        let mut labels = nodes
            .map(|fact| fact.labels.clone())
            .next()
            .unwrap_or_default();
        labels.sort();
        labels
    }

    fn is_dual_stack(&self) -> bool {
        assert_eq!(DualStack::default(), DualStack::Auto);
        self.facts.iter().any(|((provider, _), fact)| {
            matches!(fact, Fact::Endpoint(fact) if *provider == Provider::Pods
                && fact.ips.iter().any(IpAddr::is_ipv4)
                && fact.ips.iter().any(IpAddr::is_ipv6))
        })
    }

    fn workload(&self, fact: &EndpointFact, numbering: Numbering) -> Endpoint {
        let labels = labels(fact);
        if let [label] = &*labels
            && let Some(number) = identity::of_reserved_label(label)
        {
            return Endpoint {
                identity: fact.identity.unwrap_or(number),
                namespace: fact.namespace.as_str().into(),
                pod_name: fact.pod.as_str().into(),
                workloads: fact
                    .workload
                    .iter()
                    .filter(|_| is_local(fact))
                    .cloned()
                    .collect(),
                ..reserved(number)
            };
        }
        Endpoint {
            id: 0,
            identity: fact
                .identity
                .unwrap_or_else(|| self.numbers(numbering)[&labels]),
            cluster_name: "default".into(),
            namespace: fact.namespace.as_str().into(),
            pod_name: fact.pod.as_str().into(),
            labels: labels.into(),
            workloads: fact
                .workload
                .iter()
                .filter(|_| is_local(fact))
                .cloned()
                .collect(),
            ..Endpoint::default()
        }
    }

    /// All sets try their numbers at once; of those that come to the same one, all but the first in
    /// order go on to their next one, until there are no two left.
    fn numbers(&self, numbering: Numbering) -> BTreeMap<Vec<String>, u32> {
        let facts = self.facts.values().filter_map(|fact| match fact {
            Fact::Endpoint(fact) if fact.identity.is_none() => Some(labels(fact)),
            _ => None,
        });
        let mut told = BTreeMap::<Vec<String>, u32>::new();
        let mut taken = BTreeSet::new();
        for fact in self.facts.values() {
            if let Fact::Identity(fact) = fact {
                let mut labels = fact.labels.clone();
                labels.sort();
                let lowest = told.entry(labels).or_insert(fact.number);
                *lowest = fact.number.min(*lowest);
                taken.insert(fact.number);
            }
        }
        let is_numbered = |it: &Vec<String>| {
            identity::of_reserved_label(&it[0]).is_none() && !told.contains_key(it)
        };
        let mut salts: BTreeMap<Vec<String>, u8> =
            facts.filter(is_numbered).map(|it| (it, 0)).collect();
        loop {
            let mut first: BTreeMap<u32, (u8, Vec<String>)> = BTreeMap::new();
            for (labels, &salt) in &salts {
                let here = (salt, labels.clone());
                let number = numbering(labels, salt);
                if taken.contains(&number) {
                    continue;
                }
                let there = first.entry(number).or_insert(here.clone());
                *there = there.clone().min(here);
            }
            let staying: BTreeSet<_> = first.values().map(|(_, labels)| labels.clone()).collect();
            let leaving = salts
                .iter_mut()
                .filter(|(labels, _)| !staying.contains(*labels));
            let mut is_done = true;
            for (_, salt) in leaving {
                *salt += 1;
                is_done = false;
            }
            if is_done {
                return first
                    .into_iter()
                    .map(|(number, it)| (it.1, number))
                    .chain(told)
                    .collect();
            }
        }
    }
}

fn is_local(fact: &EndpointFact) -> bool {
    fact.node.as_deref().is_none_or(|it| it == "n1")
}

fn reserved(number: u32) -> Endpoint {
    Endpoint::clone(&identity::reserved(number))
}

fn labels(fact: &EndpointFact) -> Vec<String> {
    if let Some(label) = fact.labels.iter().find(|it| it.starts_with("reserved:")) {
        return vec![label.clone()];
    }
    if fact.labels.is_empty() && fact.namespace.is_empty() && fact.identity.is_none() {
        return vec!["reserved:init".to_owned()];
    }
    static FILTER: LazyLock<LabelFilter> = LazyLock::new(LabelFilter::default);
    let mut labels = fact.labels.clone();
    labels.push("k8s:io.cilium.k8s.policy.cluster=default".to_owned());
    if !fact.namespace.is_empty() {
        labels.push(format!(
            "k8s:io.kubernetes.pod.namespace={}",
            fact.namespace
        ));
    }
    labels.retain(|it| FILTER.is_relevant(it));
    labels.sort();
    labels
}
