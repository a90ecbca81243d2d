//! From a fact to what it comes to, as far as the fact alone tells. Done before anybody waits.

use std::{net::IpAddr, sync::Arc};

use super::{
    Settings,
    claims::{FixedNames, Identity, Node, Range, Said, ServicePorts},
    facts::{EndpointFact, Fact, IdentityFact, NamesFact, NodeFact, Port, PrefixFact, ServiceFact},
    identity,
    labels::Relevance,
    nodes::NodeName,
    prefixes::Prefix,
};
use crate::{
    assemble::now_ns,
    record::{self, Endpoint, Name, NameOrigin, Names, Service},
};

/// What a fact comes to. A workload still has no identity and no number.
pub(super) enum Described {
    Endpoint(Workload),
    Other(Said),
}

/// A workload before it has an identity and a number.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Workload {
    pub(super) ips: Box<[IpAddr]>,
    pub(super) cluster: Arc<str>,
    pub(super) namespace: String,
    pub(super) pod: String,
    /// Those that count, sorted.
    pub(super) labels: Vec<String>,
    pub(super) is_local: bool,
    pub(super) workloads: Vec<record::Workload>,
    pub(super) told_id: Option<u16>,
    pub(super) told_identity: Option<u32>,
}

impl Workload {
    /// Whether this is how the endpoint is described already.
    pub(super) fn is(&self, endpoint: &Endpoint) -> bool {
        self.cluster == endpoint.cluster_name
            && *self.namespace == *endpoint.namespace
            && *self.pod == *endpoint.pod_name
            && *self.labels == *endpoint.labels
            && self.workloads == endpoint.workloads
    }
}

/// Understands facts.
pub(super) struct Describer<'a> {
    node_name: &'a str,
    settings: &'a Settings,
    relevance: Relevance<'a>,
    now_ns: i64,
}

impl<'a> Describer<'a> {
    pub(super) fn new(node_name: &'a str, settings: &'a Settings) -> Self {
        Self {
            node_name,
            settings,
            relevance: settings.labels.relevance(),
            now_ns: now_ns(),
        }
    }

    pub(super) fn describe(&mut self, fact: Fact) -> Described {
        Described::Other(match fact {
            Fact::Endpoint(fact) => return Described::Endpoint(self.workload(fact)),
            Fact::Node(fact) => Said::Node(self.node(fact)),
            Fact::Service(fact) => Said::Service(service(fact)),
            Fact::Prefix(fact) => Said::Prefix(range(fact)),
            Fact::Names(fact) => Said::Names(self.names(fact)),
            Fact::Identity(fact) => Said::Identity(identity_of(fact)),
        })
    }

    fn workload(&mut self, fact: EndpointFact) -> Workload {
        let cluster = match &*fact.cluster {
            "" => Arc::clone(&self.settings.cluster_name),
            told => told.into(),
        };
        let is_own_cluster = cluster == self.settings.cluster_name;
        let is_here = fact.node.as_deref().is_none_or(|it| it == self.node_name);
        let is_local = is_own_cluster && is_here;
        let workload = Workload {
            ips: sorted(fact.ips),
            cluster,
            namespace: fact.namespace,
            pod: fact.pod,
            labels: Vec::new(),
            is_local,
            // As in Hubble, only the node that runs a workload knows what owns it.
            workloads: fact.workload.into_iter().filter(|_| is_local).collect(),
            told_id: fact.id,
            told_identity: fact.identity,
        };
        // As in Cilium, an endpoint of which nobody knows the labels yet.
        let is_init =
            fact.labels.is_empty() && workload.namespace.is_empty() && fact.identity.is_none();
        let told = fact
            .labels
            .iter()
            .find_map(|it| identity::of_reserved_label(it));
        if let Some(reserved) = told.or(is_init.then_some(identity::INIT)) {
            return Workload {
                // As in Hubble, only workloads with labels of their own are in a cluster.
                cluster: "".into(),
                labels: identity::reserved(reserved).labels.to_vec(),
                told_identity: fact.identity.or(Some(reserved)),
                ..workload
            };
        }
        Workload {
            labels: self.labels(fact.labels, &workload.cluster, &workload.namespace),
            ..workload
        }
    }

    /// The labels that count, with those that every workload has.
    fn labels(&mut self, mut labels: Vec<String>, cluster: &str, namespace: &str) -> Vec<String> {
        labels.push(format!("k8s:io.cilium.k8s.policy.cluster={cluster}"));
        if !namespace.is_empty() {
            labels.push(format!("k8s:io.kubernetes.pod.namespace={namespace}"));
        }
        labels.retain(|label| self.relevance.is_relevant(label));
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    fn node(&self, fact: NodeFact) -> Node {
        let is_own_cluster =
            fact.cluster.is_empty() || *fact.cluster == *self.settings.cluster_name;
        let is_own = is_own_cluster && fact.name == self.node_name;
        let agent = fact.agent.map(|agent| {
            let cluster = match is_own_cluster {
                true => self.settings.cluster_name.to_string(),
                false => fact.cluster,
            };
            let name = fact.name;
            (NodeName { cluster, name }, agent)
        });
        Node {
            ips: sorted(fact.ips),
            is_own,
            is_api_server: fact.is_api_server,
            labels: if is_own {
                Arc::from(sorted(fact.labels))
            } else {
                Arc::default()
            },
            agent,
        }
    }

    fn names(&self, fact: NamesFact) -> FixedNames {
        let name = |text: String| Name {
            text: text.trim_end_matches('.').to_ascii_lowercase().into(),
            origin: NameOrigin::Inventory,
            told_ns: self.now_ns,
        };
        let all: Vec<Name> = fact.names.into_iter().map(name).collect();
        FixedNames {
            ips: if all.is_empty() {
                Box::default()
            } else {
                sorted(fact.ips)
            },
            names: Arc::new(Names { all }),
        }
    }
}

fn service(fact: ServiceFact) -> ServicePorts {
    let service = Arc::new(Service {
        namespace: fact.namespace.into(),
        name: fact.name.into(),
    });
    ServicePorts {
        service: Arc::new([service]),
        frontends: sorted::<Port>(fact.frontends),
        backends: sorted(fact.backends),
        node_ports: sorted(fact.node_ports),
    }
}

fn range(fact: PrefixFact) -> Range {
    Range {
        prefix: Prefix::of(&fact),
        labels: sorted(fact.labels),
    }
}

fn identity_of(fact: IdentityFact) -> Identity {
    Identity {
        number: fact.number,
        labels: sorted(fact.labels).into(),
    }
}

/// Each once.
fn sorted<T: Ord>(mut all: Vec<T>) -> Box<[T]> {
    all.sort_unstable();
    all.dedup();
    all.into()
}
