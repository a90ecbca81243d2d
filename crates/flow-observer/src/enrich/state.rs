//! Everything that was said and not taken back, and what it comes to: in go facts, out come changes
//! of the snapshot.
//!
//! What is touched by a change is noted, and looked at once when all changes are in.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::{
    Settings, Snapshot,
    claims::{ByKey, Claim, Claimants, Said, Workload},
    describe::{self, Described},
    facts::{Key, Port, Provider},
    identity,
    label_sets::{LabelSets, Renumbered},
    local_numbers::LocalNumbers,
    prefixes::{Prefix, Prefixes},
    settings::DualStack,
    snapshot::Address,
};
use crate::record::{Endpoint, Name, Names, Service};

/// Everything that was said.
#[derive(Debug, Default)]
pub(super) struct State {
    by_provider: BTreeMap<Provider, HashSet<ByKey>>,
    owners: Claimants<IpAddr>,
    names: Claimants<IpAddr>,
    frontends: Claimants<Port>,
    backends: Claimants<Port>,
    /// Frontends and backends by address.
    ports: HashMap<IpAddr, [usize; 2]>,
    prefixes: Claimants<Prefix>,
    own_nodes: Claimants<()>,
    /// Pods that have addresses of both families.
    dual_pods: usize,
    own_addresses: HashSet<IpAddr>,
    label_sets: LabelSets,
    /// Names of clusters and namespaces, each once.
    texts: HashSet<Arc<str>>,
    local_numbers: LocalNumbers,
    reserved: Reserved,
}

/// Who has the identities that are the same everywhere.
#[derive(Debug)]
struct Reserved {
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

/// What has to be looked at anew.
#[derive(Debug, Default)]
pub(super) struct Touched {
    addresses: Vec<IpAddr>,
    frontends: Vec<Port>,
    backends: Vec<Port>,
    prefixes: bool,
    pub(super) own_node: bool,
    own_addresses: Option<Arc<[IpAddr]>>,
    renumbered: Renumbered,
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
            && self.own_addresses.is_none()
            && !(self.prefixes || self.own_node)
    }
}

impl State {
    #[cfg(test)]
    pub(super) fn numbered_by(number: fn(&[String], u8) -> u32) -> Self {
        Self {
            label_sets: LabelSets::numbered_by(number),
            ..Self::default()
        }
    }

    /// Sets that have come to the number of another so far.
    pub(super) fn collisions(&self) -> u64 {
        self.label_sets.collisions()
    }

    /// A provider says something, in place of what it said under the key before.
    pub(super) fn put(
        &mut self,
        provider: Provider,
        key: Key,
        described: Described,
        touched: &mut Touched,
    ) {
        let before = self.claim(provider, &key);
        let said = match described {
            Described::Endpoint(workload) => {
                let before = before.as_deref().and_then(|claim| match &claim.said {
                    Said::Endpoint(before) => Some(before),
                    _ => None,
                });
                if before.is_some_and(|before| is_same(before, &workload)) {
                    return;
                }
                Said::Endpoint(self.settle_in(provider, &key, workload, before, touched))
            }
            Described::Other(said) => said,
        };
        if let Some(before) = &before {
            if is_same_said(&before.said, &said) {
                return;
            }
            self.release(before, touched);
            self.detach(before, touched);
        }
        let claim = Arc::new(Claim {
            provider,
            key,
            said,
        });
        self.attach(&claim, touched);
    }

    /// A provider takes back what it said.
    pub(super) fn remove(&mut self, provider: Provider, key: &str, touched: &mut Touched) {
        if let Some(before) = self.claim(provider, key) {
            self.release(&before, touched);
            self.detach(&before, touched);
        }
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

    /// This host's own addresses, as they are now.
    pub(super) fn set_own_addresses(&mut self, addresses: &[IpAddr], touched: &mut Touched) {
        touched.own_addresses = Some(addresses.into());
        let addresses: HashSet<IpAddr> = addresses.iter().copied().collect();
        let changed = addresses.symmetric_difference(&self.own_addresses);
        touched.addresses.extend(changed);
        self.own_addresses = addresses;
    }

    fn claim(&self, provider: Provider, key: &str) -> Option<Arc<Claim>> {
        let claim = self.by_provider.get(&provider)?.get(key)?;
        Some(Arc::clone(&claim.0))
    }

    /// Gives a workload its identity and its number.
    fn settle_in(
        &mut self,
        provider: Provider,
        key: &str,
        told: describe::Workload,
        before: Option<&Workload>,
        touched: &mut Touched,
    ) -> Workload {
        let is_as_before = before.is_some_and(|before| told.is(&before.endpoint));
        let labels = self.label_sets.share(told.labels);
        let identity = match told.told_identity {
            Some(identity) => identity,
            None => self.label_sets.number(&labels, &mut touched.renumbered),
        };
        let id = match (told.is_local, told.told_id) {
            (false, _) => 0,
            (true, Some(id)) => id,
            (true, None) => {
                let name = local_name(provider, key, &told.namespace, &told.pod);
                self.local_numbers.number([&name.0, &name.1])
            }
        };
        let reusable = before.filter(|before| {
            let it = &before.endpoint;
            is_as_before && it.identity == identity && it.id == u32::from(id)
        });
        let endpoint = match reusable {
            Some(before) => Arc::clone(&before.endpoint),
            None => Arc::new(Endpoint {
                id: id.into(),
                identity,
                cluster_name: self.text(&told.cluster),
                namespace: self.text(&told.namespace),
                pod_name: told.pod.into(),
                labels,
                workloads: told.workloads,
            }),
        };
        Workload {
            ips: told.ips,
            endpoint,
            is_local: told.is_local,
            told_id: told.told_id,
            told_identity: told.told_identity,
        }
    }

    /// A text that many endpoints have.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        // Those that nobody has any more go before there is more room.
        if self.texts.len() == self.texts.capacity() {
            self.texts.retain(|it| Arc::strong_count(it) > 1);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// Gives back what a claim about a workload needs.
    fn release(&mut self, claim: &Claim, touched: &mut Touched) {
        let Said::Endpoint(workload) = &claim.said else {
            return;
        };
        let endpoint = &workload.endpoint;
        self.label_sets.release(
            &endpoint.labels,
            workload.told_identity.is_none(),
            &mut touched.renumbered,
        );
        if workload.is_local && workload.told_id.is_none() {
            let (provider, key) = (claim.provider, &claim.key);
            let name = local_name(provider, key, &endpoint.namespace, &endpoint.pod_name);
            self.local_numbers.release([&name.0, &name.1]);
        }
    }

    fn attach(&mut self, claim: &Arc<Claim>, touched: &mut Touched) {
        match &claim.said {
            Said::Endpoint(workload) => {
                for &ip in &workload.ips {
                    self.owners.add(ip, claim);
                    touched.addresses.push(ip);
                }
                self.dual_pods += usize::from(is_dual_pod(claim.provider, workload));
            }
            Said::Node(node) => {
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
        }
        let of_provider = self.by_provider.entry(claim.provider).or_default();
        of_provider.insert(ByKey(Arc::clone(claim)));
    }

    fn detach(&mut self, claim: &Arc<Claim>, touched: &mut Touched) {
        match &claim.said {
            Said::Endpoint(workload) => {
                for &ip in &workload.ips {
                    self.owners.remove(ip, claim);
                    touched.addresses.push(ip);
                }
                self.dual_pods -= usize::from(is_dual_pod(claim.provider, workload));
            }
            Said::Node(node) => {
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

    /// Describes anew those whose identity has changed because of others.
    pub(super) fn renumber(&mut self, touched: &mut Touched) {
        if touched.renumbered.is_empty() {
            return;
        }
        let sets: HashSet<_> = touched.renumbered.drain(..).collect();
        let claims = self.by_provider.values().flatten();
        let stale: Vec<_> = claims
            .filter_map(|ByKey(claim)| match &claim.said {
                Said::Endpoint(it) if it.told_identity.is_none() => {
                    let endpoint = &it.endpoint;
                    let number = sets
                        .get(&endpoint.labels)
                        .map(|labels| self.label_sets.number_of(labels))
                        .filter(|&number| number != endpoint.identity)?;
                    Some((Arc::clone(claim), number))
                }
                _ => None,
            })
            .collect();
        for (claim, identity) in stale {
            let Said::Endpoint(before) = &claim.said else {
                continue;
            };
            self.detach(&claim, touched);
            let workload = Workload {
                ips: before.ips.clone(),
                endpoint: Arc::new(Endpoint {
                    identity,
                    ..Endpoint::clone(&before.endpoint)
                }),
                ..*before
            };
            let renumbered = Arc::new(Claim {
                provider: claim.provider,
                key: claim.key.clone(),
                said: Said::Endpoint(workload),
            });
            self.attach(&renumbered, touched);
        }
    }

    /// The snapshot after everything that was touched.
    pub(super) fn snapshot(
        &self,
        before: &Snapshot,
        settings: &Settings,
        touched: &Touched,
    ) -> Snapshot {
        let addresses = once_each(&touched.addresses).map(|ip| (ip, self.address(ip)));
        let frontends = once_each(&touched.frontends).map(|it| (it, services(&self.frontends, it)));
        let backends = once_each(&touched.backends).map(|it| (it, services(&self.backends, it)));
        let mut snapshot = before
            .with_addresses(addresses)
            .with_ports(frontends, backends);
        let is_dual_stack = match settings.dual_stack {
            DualStack::Auto => self.dual_pods > 0,
            DualStack::On => true,
            DualStack::Off => false,
        };
        let has_turned = snapshot.set_dual_stack(is_dual_stack);
        if has_turned || touched.prefixes {
            snapshot.prefixes = Arc::new(self.prefixes(is_dual_stack));
        }
        if touched.own_node {
            snapshot.own_labels = self.own_labels();
        }
        if let Some(addresses) = &touched.own_addresses {
            snapshot.own_addresses = Arc::clone(addresses);
        }
        snapshot
    }

    /// All that is known of an address.
    fn address(&self, ip: IpAddr) -> Option<Address> {
        let [frontends, backends] = self.ports.get(&ip).copied().unwrap_or_default();
        let address = Address {
            endpoint: self.owner(ip).cloned(),
            names: self.names(ip),
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
    fn owner(&self, ip: IpAddr) -> Option<&Arc<Endpoint>> {
        let mut nodes = self.owners.of(ip).filter_map(|claim| match &claim.said {
            Said::Node(node) => Some(node),
            _ => None,
        });
        if self.own_addresses.contains(&ip) || nodes.any(|node| node.is_own) {
            return Some(&self.reserved.host);
        }
        match &self.owners.of(ip).next()?.said {
            Said::Endpoint(workload) => Some(&workload.endpoint),
            // Whoever knows that the API server is there, knows more than the others.
            _ if self.owners.of(ip).any(|claim| is_api_server(claim)) => {
                Some(&self.reserved.kube_apiserver)
            }
            _ => Some(&self.reserved.remote_node),
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
        for more in said {
            let is_new = |name: &&Name| !first.all.iter().any(|it| it.text == name.text);
            let new: Vec<Name> = more.all.iter().filter(is_new).cloned().collect();
            Arc::make_mut(&mut names).all.extend(new);
        }
        Some(names)
    }

    fn prefixes(&self, is_dual_stack: bool) -> Prefixes {
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

    fn own_labels(&self) -> Arc<[String]> {
        let nodes = self.own_nodes.of(());
        let labels = nodes.filter_map(|claim| match &claim.said {
            Said::Node(node) if !node.labels.is_empty() => Some(&node.labels),
            _ => None,
        });
        labels.into_iter().next().cloned().unwrap_or_default()
    }
}

/// The services that a port belongs to, each once.
fn services(claimants: &Claimants<Port>, port: Port) -> Option<Arc<[Arc<Service>]>> {
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

/// Whether a workload is still what it was, but for what it takes from others.
fn is_same(before: &Workload, told: &describe::Workload) -> bool {
    before.ips == told.ips
        && before.is_local == told.is_local
        && before.told_id == told.told_id
        && before.told_identity == told.told_identity
        && told.is(&before.endpoint)
}

fn is_same_said(before: &Said, said: &Said) -> bool {
    match (before, said) {
        (Said::Node(one), Said::Node(other)) => one == other,
        (Said::Service(one), Said::Service(other)) => one == other,
        (Said::Prefix(one), Said::Prefix(other)) => one == other,
        (Said::Names(one), Said::Names(other)) => one == other,
        _ => false,
    }
}

/// Whether a workload shows that pods have addresses of both families.
fn is_dual_pod(provider: Provider, workload: &Workload) -> bool {
    provider == Provider::Pods
        && workload.ips.iter().any(IpAddr::is_ipv4)
        && workload.ips.iter().any(IpAddr::is_ipv6)
}

/// By what the number of a local endpoint goes: two providers that know the same pod agree. What has
/// no name goes by its key.
fn local_name(provider: Provider, key: &str, namespace: &str, pod: &str) -> (String, String) {
    if pod.is_empty() {
        (format!("{provider:?}"), key.to_owned())
    } else {
        (namespace.to_owned(), pod.to_owned())
    }
}

fn once_each<T: Copy + Ord>(all: &[T]) -> impl Iterator<Item = T> {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}
