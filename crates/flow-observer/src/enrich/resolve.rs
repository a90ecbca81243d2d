//! What is believed of all that was said: who has an address, what it is called, which services a
//! port belongs to.

use std::{hash::Hash, net::IpAddr, sync::Arc};

use super::{
    claims::{Claim, Claimants, Said},
    identity,
    index::Index,
    prefixes::{Prefix, Prefixes},
    snapshot::{Address, NodePorts},
};
use crate::record::{Endpoint, Names, Service};

/// Who has the identities that are the same everywhere.
#[derive(Debug)]
pub(super) struct Reserved {
    host: Arc<Endpoint>,
    remote_node: Arc<Endpoint>,
    kube_apiserver: Arc<Endpoint>,
}

impl Default for Reserved {
    fn default() -> Self {
        Self {
            host: identity::reserved(identity::HOST),
            remote_node: identity::reserved(identity::REMOTE_NODE),
            kube_apiserver: identity::reserved(identity::KUBE_APISERVER),
        }
    }
}

impl Index {
    /// All that is known of an address, which `is_own` for one of this host's devices.
    pub(super) fn address(&self, ip: IpAddr, is_own: bool, reserved: &Reserved) -> Option<Address> {
        let [frontends, backends] = self.ports.get(&ip).copied().unwrap_or_default();
        let is_node = |claim: &Arc<Claim>| matches!(claim.said, Said::Node(_));
        let address = Address {
            endpoint: self.owner(ip, is_own, reserved).cloned(),
            names: self.names(ip),
            is_node: is_own || self.owners.of(ip).any(is_node),
            has_frontends: frontends > 0,
            has_backends: backends > 0,
        };
        let is_known = address.endpoint.is_some()
            || address.names.is_some()
            || address.has_frontends
            || address.has_backends;
        is_known.then_some(address)
    }

    /// Who has an address. That it is this host's is believed before everything else.
    fn owner<'a>(
        &'a self,
        ip: IpAddr,
        is_own: bool,
        reserved: &'a Reserved,
    ) -> Option<&'a Arc<Endpoint>> {
        let mut nodes = self.owners.of(ip).filter_map(|claim| match &claim.said {
            Said::Node(node) => Some(node),
            _ => None,
        });
        if is_own || nodes.any(|node| node.is_own) {
            return Some(&reserved.host);
        }
        match &self.owners.of(ip).next()?.said {
            Said::Endpoint(workload) => Some(&workload.endpoint),
            // Whoever knows that the API server is there, knows more than the others.
            _ if self.owners.of(ip).any(|claim| is_api_server(claim)) => {
                Some(&reserved.kube_apiserver)
            }
            _ => Some(&reserved.remote_node),
        }
    }

    /// What an address is always called: everything that anybody calls it.
    fn names(&self, ip: IpAddr) -> Option<Arc<Names>> {
        let mut said = self.names.of(ip).filter_map(|claim| match &claim.said {
            Said::Names(said) => Some(&said.names),
            _ => None,
        });
        let first = said.next()?;
        let mut names = Arc::clone(first);
        for name in said.flat_map(|more| &more.all) {
            if !names.all.iter().any(|it| it.text == name.text) {
                Arc::make_mut(&mut names).all.push(name.clone());
            }
        }
        Some(names)
    }

    pub(super) fn prefixes(&self, is_dual_stack: bool) -> Prefixes {
        let owner = |prefix: Prefix, claim: &Claim| {
            let Said::Prefix(range) = &claim.said else {
                return None;
            };
            let world = identity::world(is_dual_stack, prefix.first);
            Some((prefix, Arc::new(prefix.describe(&range.labels, world))))
        };
        let all = self.prefixes.all();
        Prefixes::new(all.filter_map(|(prefix, claim)| owner(prefix, claim)))
    }

    pub(super) fn node_ports(&self) -> NodePorts {
        let all = self.node_ports.all();
        let ports = all.filter_map(|(port, _)| Some((port, services(&self.node_ports, port)?)));
        ports.collect()
    }

    pub(super) fn own_labels(&self) -> Arc<[String]> {
        let nodes = self.own_nodes.of(());
        let labels = nodes.filter_map(|claim| match &claim.said {
            Said::Node(node) if !node.labels.is_empty() => Some(&node.labels),
            _ => None,
        });
        labels.into_iter().next().cloned().unwrap_or_default()
    }
}

/// The services that a port belongs to, each once.
pub(super) fn services<T: Copy + Eq + Hash>(
    claimants: &Claimants<T>,
    port: T,
) -> Option<Arc<[Arc<Service>]>> {
    let mut said = claimants.of(port).filter_map(|claim| match &claim.said {
        Said::Service(said) => Some(&said.service),
        _ => None,
    });
    let first = said.next()?;
    let mut all = first.to_vec();
    for service in said.flat_map(|it| it.iter()) {
        if !all.contains(service) {
            all.push(Arc::clone(service));
        }
    }
    Some(match all.len() {
        1 => Arc::clone(first),
        _ => all.into(),
    })
}

fn is_api_server(claim: &Claim) -> bool {
    matches!(&claim.said, Said::Node(node) if node.is_api_server)
}
