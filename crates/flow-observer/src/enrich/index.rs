//! Everything that was said and not taken back, found by what it is about.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::{
    claims::{ByKey, ByName, Claim, Claimants, LocalName, Said, Workload},
    describe::Described,
    facts::{Key, NodePort, Port, Provider},
    label_sets::Renumbered,
    nodes::NodeName,
    prefixes::Prefix,
};

/// All claims.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_provider: BTreeMap<Provider, HashSet<ByKey>>,
    pub(super) owners: Claimants<IpAddr>,
    pub(super) names: Claimants<IpAddr>,
    pub(super) frontends: Claimants<Port>,
    pub(super) backends: Claimants<Port>,
    pub(super) node_ports: Claimants<NodePort>,
    /// Frontends and backends by address.
    pub(super) ports: HashMap<IpAddr, [usize; 2]>,
    pub(super) prefixes: Claimants<Prefix>,
    pub(super) own_nodes: Claimants<()>,
    pub(super) agents: ByName<NodeName>,
    /// Workloads of this node.
    pub(super) locals: ByName<LocalName>,
    /// Pods that have addresses of both families.
    pub(super) dual_pods: usize,
}

/// What has to be looked at anew.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) frontends: Vec<Port>,
    pub(super) backends: Vec<Port>,
    pub(super) node_ports: bool,
    pub(super) prefixes: bool,
    pub(super) own_node: bool,
    pub(super) agents: bool,
    pub(super) locals: Vec<LocalName>,
    pub(super) own_addresses: Option<Arc<[IpAddr]>>,
    pub(super) renumbered: Renumbered,
    /// What is so no longer. Kept until nobody waits any more: much may be freed with it.
    gone: Vec<Arc<Claim>>,
}

impl Touched {
    pub(super) fn is_nothing(&self) -> bool {
        // Everything else is noted together with a claim that comes or goes.
        self.gone.is_empty()
            && self.addresses.is_empty()
            && self.frontends.is_empty()
            && self.backends.is_empty()
            && self.locals.is_empty()
            && self.own_addresses.is_none()
            && !(self.node_ports || self.prefixes || self.own_node || self.agents)
    }
}

impl Index {
    pub(super) fn claim(&self, provider: Provider, key: &str) -> Option<Arc<Claim>> {
        let claim = self.by_provider.get(&provider)?.get(key)?;
        Some(Arc::clone(&claim.0))
    }

    pub(super) fn claims(&self) -> impl Iterator<Item = &Arc<Claim>> {
        self.by_provider
            .values()
            .flatten()
            .map(|ByKey(claim)| claim)
    }

    /// What a provider said that is not among these.
    pub(super) fn keys_beyond(
        &self,
        provider: Provider,
        kept: &BTreeMap<Key, Described>,
    ) -> Vec<Key> {
        let claims = self.by_provider.get(&provider).into_iter().flatten();
        let keys = claims.map(|claim| &claim.0.key);
        keys.filter(|key| !kept.contains_key(*key))
            .cloned()
            .collect()
    }

    pub(super) fn attach(&mut self, claim: &Arc<Claim>, touched: &mut Touched) {
        match &claim.said {
            Said::Endpoint(workload) => {
                for &ip in &workload.ips {
                    self.owners.add(ip, claim);
                    touched.addresses.push(ip);
                }
                self.dual_pods += usize::from(is_dual_pod(claim.provider, workload));
                if workload.is_local {
                    let name = claim.local_name(&workload.endpoint);
                    self.locals.add(name.clone(), claim);
                    touched.locals.push(name);
                }
            }
            Said::Node(node) => {
                if let Some((name, _)) = &node.agent {
                    self.agents.add(name.clone(), claim);
                    touched.agents = true;
                }
                for &ip in &node.ips {
                    self.owners.add(ip, claim);
                    touched.addresses.push(ip);
                }
                if node.is_own {
                    self.own_nodes.add((), claim);
                    touched.own_node = true;
                }
            }
            Said::Service(service) => {
                for &port in &service.frontends {
                    self.frontends.add(port, claim);
                    self.ports.entry(port.ip).or_default()[0] += 1;
                    touched.frontends.push(port);
                    touched.addresses.push(port.ip);
                }
                for &port in &service.backends {
                    self.backends.add(port, claim);
                    self.ports.entry(port.ip).or_default()[1] += 1;
                    touched.backends.push(port);
                    touched.addresses.push(port.ip);
                }
                for &port in &service.node_ports {
                    self.node_ports.add(port, claim);
                    touched.node_ports = true;
                }
            }
            Said::Prefix(range) => {
                self.prefixes.add(range.prefix, claim);
                touched.prefixes = true;
            }
            Said::Names(names) => {
                for &ip in &names.ips {
                    self.names.add(ip, claim);
                    touched.addresses.push(ip);
                }
            }
            // Known by its labels, not here.
            Said::Identity(_) => {}
        }
        let of_provider = self.by_provider.entry(claim.provider).or_default();
        of_provider.insert(ByKey(Arc::clone(claim)));
    }

    pub(super) fn detach(&mut self, claim: &Arc<Claim>, touched: &mut Touched) {
        match &claim.said {
            Said::Endpoint(workload) => {
                for &ip in &workload.ips {
                    self.owners.remove(ip, claim);
                    touched.addresses.push(ip);
                }
                self.dual_pods -= usize::from(is_dual_pod(claim.provider, workload));
                if workload.is_local {
                    let name = claim.local_name(&workload.endpoint);
                    self.locals.remove(&name, claim);
                    touched.locals.push(name);
                }
            }
            Said::Node(node) => {
                if let Some((name, _)) = &node.agent {
                    self.agents.remove(name, claim);
                    touched.agents = true;
                }
                for &ip in &node.ips {
                    self.owners.remove(ip, claim);
                    touched.addresses.push(ip);
                }
                if node.is_own {
                    self.own_nodes.remove((), claim);
                    touched.own_node = true;
                }
            }
            Said::Service(service) => {
                for &port in &service.frontends {
                    self.frontends.remove(port, claim);
                    self.forget_port(port.ip, 0);
                    touched.frontends.push(port);
                    touched.addresses.push(port.ip);
                }
                for &port in &service.backends {
                    self.backends.remove(port, claim);
                    self.forget_port(port.ip, 1);
                    touched.backends.push(port);
                    touched.addresses.push(port.ip);
                }
                for &port in &service.node_ports {
                    self.node_ports.remove(port, claim);
                    touched.node_ports = true;
                }
            }
            Said::Prefix(range) => {
                self.prefixes.remove(range.prefix, claim);
                touched.prefixes = true;
            }
            Said::Names(names) => {
                for &ip in &names.ips {
                    self.names.remove(ip, claim);
                    touched.addresses.push(ip);
                }
            }
            Said::Identity(_) => {}
        }
        if let Some(of_provider) = self.by_provider.get_mut(&claim.provider) {
            of_provider.remove(&*claim.key);
        }
        touched.gone.push(Arc::clone(claim));
    }

    fn forget_port(&mut self, ip: IpAddr, side: usize) {
        if let Some(ports) = self.ports.get_mut(&ip) {
            ports[side] -= 1;
            if *ports == [0, 0] {
                self.ports.remove(&ip);
            }
        }
    }
}

/// Whether a workload shows that pods have addresses of both families.
fn is_dual_pod(provider: Provider, workload: &Workload) -> bool {
    provider == Provider::Pods
        && workload.ips.iter().any(IpAddr::is_ipv4)
        && workload.ips.iter().any(IpAddr::is_ipv6)
}
