//! What providers say, as it is kept: each fact with who says it, and all that is said of one
//! address.

use std::{
    borrow::Borrow,
    collections::BTreeMap,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    facts::{AgentFact, Key, NodePort, Port, Provider},
    label_sets::Labels,
    nodes::NodeName,
    prefixes::Prefix,
};
use crate::record::{Endpoint, Names, Service};

/// A fact, and who says it.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) provider: Provider,
    pub(super) key: Key,
    pub(super) said: Said,
}

impl Claim {
    /// Of what two say, the greater is believed.
    pub(super) fn rank(&self) -> (Provider, &str) {
        (self.provider, &self.key)
    }

    /// By what a workload of this node goes, for the numbers of endpoints too: two providers that
    /// know the same pod agree. What has no name goes by its key.
    pub(super) fn local_name(&self, endpoint: &Endpoint) -> LocalName {
        local_name(
            self.provider,
            &self.key,
            &endpoint.namespace,
            &endpoint.pod_name,
        )
    }
}

/// Namespace and pod, or provider and key.
pub(super) type LocalName = (String, String);

/// As [`Claim::local_name`].
pub(super) fn local_name(provider: Provider, key: &str, namespace: &str, pod: &str) -> LocalName {
    if pod.is_empty() {
        (format!("{provider:?}"), key.to_owned())
    } else {
        (namespace.to_owned(), pod.to_owned())
    }
}

/// What a fact comes to. Lists are sorted.
#[derive(Debug)]
pub(super) enum Said {
    Endpoint(Workload),
    Node(Node),
    Service(ServicePorts),
    Prefix(Range),
    Names(FixedNames),
    Identity(Identity),
}

/// A workload, with its identity and number.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) ips: Box<[IpAddr]>,
    pub(super) endpoint: Arc<Endpoint>,
    /// It runs on this node.
    pub(super) is_local: bool,
    /// Its number on its node came with the fact.
    pub(super) told_id: Option<u16>,
    /// Its identity came with the fact.
    pub(super) told_identity: Option<u32>,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Node {
    pub(super) ips: Box<[IpAddr]>,
    /// It is the agent's own.
    pub(super) is_own: bool,
    pub(super) is_api_server: bool,
    /// Only of the own one.
    pub(super) labels: Arc<[String]>,
    /// Where its agent is, if it has one.
    pub(super) agent: Option<(NodeName, AgentFact)>,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct ServicePorts {
    /// One service. In a list, since some ports belong to several.
    pub(super) service: Arc<[Arc<Service>]>,
    pub(super) frontends: Box<[Port]>,
    pub(super) backends: Box<[Port]>,
    pub(super) node_ports: Box<[NodePort]>,
}

#[derive(Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) prefix: Prefix,
    pub(super) labels: Box<[String]>,
}

#[derive(Debug)]
pub(super) struct FixedNames {
    pub(super) ips: Box<[IpAddr]>,
    pub(super) names: Arc<Names>,
}

/// The number of a set of labels.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) number: u32,
    pub(super) labels: Labels,
}

impl PartialEq for FixedNames {
    /// Whether the names are the same, whenever they were told.
    fn eq(&self, other: &Self) -> bool {
        let texts = |it: &Self| -> Vec<Arc<str>> {
            it.names.all.iter().map(|it| Arc::clone(&it.text)).collect()
        };
        self.ips == other.ips && texts(self) == texts(other)
    }
}

/// A claim, found by its key.
#[derive(Debug)]
pub(super) struct ByKey(pub(super) Arc<Claim>);

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

/// Everybody who claims a thing, as an address or a port; who is believed comes first. Nearly always
/// there is only one.
#[derive(Debug)]
pub(super) struct Claimants<T> {
    believed: HashMap<T, Arc<Claim>>,
    others: HashMap<T, Vec<Arc<Claim>>>,
}

impl<T> Default for Claimants<T> {
    fn default() -> Self {
        Self {
            believed: HashMap::default(),
            others: HashMap::default(),
        }
    }
}

impl<T: Copy + Eq + Hash> Claimants<T> {
    /// Who claims it, in the order in which they are believed.
    pub(super) fn of(&self, thing: T) -> impl Iterator<Item = &Arc<Claim>> {
        let others = self.others.get(&thing).into_iter().flatten();
        self.believed.get(&thing).into_iter().chain(others)
    }

    /// Everything that is claimed, with who is believed.
    pub(super) fn all(&self) -> impl Iterator<Item = (T, &Arc<Claim>)> {
        self.believed.iter().map(|(thing, claim)| (*thing, claim))
    }

    pub(super) fn add(&mut self, thing: T, claim: &Arc<Claim>) {
        let Some(believed) = self.believed.get_mut(&thing) else {
            self.believed.insert(thing, Arc::clone(claim));
            return;
        };
        let behind = if claim.rank() > believed.rank() {
            std::mem::replace(believed, Arc::clone(claim))
        } else {
            Arc::clone(claim)
        };
        let others = self.others.entry(thing).or_default();
        let position = others.partition_point(|it| it.rank() > behind.rank());
        others.insert(position, behind);
    }

    pub(super) fn remove(&mut self, thing: T, claim: &Arc<Claim>) {
        let Some(believed) = self.believed.get_mut(&thing) else {
            return;
        };
        let others = self.others.get_mut(&thing);
        let is_last = others.as_ref().is_none_or(|others| others.len() == 1);
        match (Arc::ptr_eq(believed, claim), others) {
            (true, None) => drop(self.believed.remove(&thing)),
            (true, Some(others)) => *believed = others.remove(0),
            (false, Some(others)) => others.retain(|it| !Arc::ptr_eq(it, claim)),
            (false, None) => {}
        }
        if is_last {
            self.others.remove(&thing);
        }
    }
}

/// As [`Claimants`], for the few things that have a name and no number.
#[derive(Debug)]
pub(super) struct ByName<N>(BTreeMap<N, Vec<Arc<Claim>>>);

impl<N> Default for ByName<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<N: Ord> ByName<N> {
    /// Everything that is claimed with who claims it, in the order in which they are believed.
    pub(super) fn all(&self) -> impl Iterator<Item = (&N, &[Arc<Claim>])> {
        self.0
            .iter()
            .map(|(name, claims)| (name, claims.as_slice()))
    }

    /// Who is believed.
    pub(super) fn believed(&self, name: &N) -> Option<&Arc<Claim>> {
        self.0.get(name)?.first()
    }

    pub(super) fn add(&mut self, name: N, claim: &Arc<Claim>) {
        let claims = self.0.entry(name).or_default();
        let position = claims.partition_point(|it| it.rank() > claim.rank());
        claims.insert(position, Arc::clone(claim));
    }

    pub(super) fn remove(&mut self, name: &N, claim: &Arc<Claim>) {
        if let Some(claims) = self.0.get_mut(name) {
            claims.retain(|it| !Arc::ptr_eq(it, claim));
            if claims.is_empty() {
                self.0.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(provider: Provider, key: &str) -> Arc<Claim> {
        Arc::new(Claim {
            provider,
            key: key.into(),
            said: Said::Names(FixedNames {
                ips: Box::default(),
                names: Arc::default(),
            }),
        })
    }

    #[test]
    fn when_who_was_believed_goes_the_next_one_is() {
        let claims = [
            claim(Provider::Pods, "b"),
            claim(Provider::Inventory, "a"),
            claim(Provider::Containers, "z"),
            claim(Provider::Pods, "a"),
        ];
        let mut claimants = Claimants::default();
        for claim in &claims {
            claimants.add(7, claim);
        }
        let order = |claimants: &Claimants<u8>| -> Vec<(Provider, String)> {
            let claims = claimants.of(7);
            claims.map(|it| (it.provider, it.key.to_string())).collect()
        };
        let all = [
            (Provider::Inventory, "a".to_owned()),
            (Provider::Pods, "b".to_owned()),
            (Provider::Pods, "a".to_owned()),
            (Provider::Containers, "z".to_owned()),
        ];
        assert_eq!(order(&claimants), all);
        claimants.remove(7, &claims[1]);
        claimants.remove(7, &claims[3]);
        assert_eq!(order(&claimants), [all[1].clone(), all[3].clone()]);
        claimants.remove(7, &claims[0]);
        claimants.remove(7, &claims[2]);
        assert!(claimants.believed.is_empty() && claimants.others.is_empty());
    }
}
