//! What facts come to, put together: in go facts, out come changes of the snapshot.
//!
//! What is touched by a change is noted, and looked at once when all changes are in.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use foldhash::HashSet;

use super::{
    Settings, Snapshot,
    claims::{Claim, Said, Workload, local_name},
    describe::{self, Described},
    facts::{Key, Provider},
    index::{Index, Touched},
    label_sets::LabelSets,
    local_numbers::LocalNumbers,
    resolve::{Reserved, services},
    settings::DualStack,
};
use crate::record::Endpoint;

/// Everything that was said.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) index: Index,
    own_addresses: HashSet<IpAddr>,
    label_sets: LabelSets,
    /// Names of clusters and namespaces, each once.
    texts: HashSet<Arc<str>>,
    local_numbers: LocalNumbers,
    reserved: Reserved,
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
        let before = self.index.claim(provider, &key);
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
            self.index.detach(before, touched);
        }
        if let Said::Identity(it) = &said {
            self.label_sets
                .tell(&it.labels, it.number, &mut touched.renumbered);
        }
        let claim = Arc::new(Claim {
            provider,
            key,
            said,
        });
        self.index.attach(&claim, touched);
    }

    /// A provider takes back what it said.
    pub(super) fn remove(&mut self, provider: Provider, key: &str, touched: &mut Touched) {
        if let Some(before) = self.index.claim(provider, key) {
            self.release(&before, touched);
            self.index.detach(&before, touched);
        }
    }

    /// What a provider said that is not among these.
    pub(super) fn keys_beyond(
        &self,
        provider: Provider,
        kept: &BTreeMap<Key, Described>,
    ) -> Vec<Key> {
        self.index.keys_beyond(provider, kept)
    }

    /// This host's own addresses, as they are now.
    pub(super) fn set_own_addresses(&mut self, addresses: &[IpAddr], touched: &mut Touched) {
        touched.own_addresses = Some(addresses.into());
        let addresses: HashSet<IpAddr> = addresses.iter().copied().collect();
        let changed = addresses.symmetric_difference(&self.own_addresses);
        touched.addresses.extend(changed);
        self.own_addresses = addresses;
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
                ..Endpoint::default()
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

    /// Gives back what a claim about a workload or an identity needs.
    fn release(&mut self, claim: &Claim, touched: &mut Touched) {
        let workload = match &claim.said {
            Said::Endpoint(workload) => workload,
            Said::Identity(it) => {
                let renumbered = &mut touched.renumbered;
                return self.label_sets.untell(&it.labels, it.number, renumbered);
            }
            _ => return,
        };
        let endpoint = &workload.endpoint;
        self.label_sets.release(
            &endpoint.labels,
            workload.told_identity.is_none(),
            &mut touched.renumbered,
        );
        if workload.is_local && workload.told_id.is_none() {
            let name = claim.local_name(endpoint);
            self.local_numbers.release([&name.0, &name.1]);
        }
    }

    /// Describes anew those whose identity has changed because of others.
    pub(super) fn renumber(&mut self, touched: &mut Touched) {
        self.label_sets.settle(&mut touched.renumbered);
        if touched.renumbered.is_empty() {
            return;
        }
        let sets: HashSet<_> = touched.renumbered.drain(..).collect();
        let claims = self.index.claims();
        let stale: Vec<_> = claims
            .filter_map(|claim| match &claim.said {
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
            self.index.detach(&claim, touched);
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
            self.index.attach(&renumbered, touched);
        }
    }

    /// The snapshot after everything that was touched.
    pub(super) fn snapshot(
        &self,
        before: &Snapshot,
        settings: &Settings,
        touched: &Touched,
    ) -> Snapshot {
        let addresses = once_each(&touched.addresses).map(|ip| {
            let is_own = self.own_addresses.contains(&ip);
            (ip, self.index.address(ip, is_own, &self.reserved))
        });
        let frontends =
            once_each(&touched.frontends).map(|it| (it, services(&self.index.frontends, it)));
        let backends =
            once_each(&touched.backends).map(|it| (it, services(&self.index.backends, it)));
        let mut snapshot = before
            .with_addresses(addresses)
            .with_ports(frontends, backends);
        if touched.node_ports {
            snapshot.node_ports = Arc::new(self.index.node_ports());
        }
        let is_dual_stack = match settings.dual_stack {
            DualStack::Auto => self.index.dual_pods > 0,
            DualStack::On => true,
            DualStack::Off => false,
        };
        let has_turned = snapshot.set_dual_stack(is_dual_stack);
        if has_turned || touched.prefixes {
            snapshot.prefixes = Arc::new(self.index.prefixes(is_dual_stack));
        }
        if touched.own_node {
            snapshot.own_labels = self.index.own_labels();
        }
        if let Some(addresses) = &touched.own_addresses {
            snapshot.own_addresses = Arc::clone(addresses);
        }
        snapshot
    }
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
        (Said::Identity(one), Said::Identity(other)) => one == other,
        _ => false,
    }
}

pub(super) fn once_each<T: Clone + Ord>(all: &[T]) -> impl Iterator<Item = T> {
    let mut all = all.to_vec();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}
