//! Pods, the labels of their namespaces, and what Cilium says about them: in go objects, out come
//! facts about endpoints.

mod entry;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    identities::{CLUSTER_LABEL, Identities, LabelSet},
    objects,
    resource::Resource,
    table::{ObjectKey, Put, Table},
};
use crate::enrich::facts::{Change, EndpointFact, Fact, Provider};

use entry::{Cilium, Entry, Pools};

/// Labels that everything in a namespace has; as those of the cluster, the directory adds them itself.
const NAMESPACE_LABEL: &str = "k8s:io.kubernetes.pod.namespace=";
const NAMESPACE_LABELS: &str = "k8s:io.cilium.k8s.namespace.labels.";
const SERVICE_ACCOUNT_LABEL: &str = "k8s:io.cilium.k8s.policy.serviceaccount=";

/// What is known about pods.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: Table<Entry>,
    namespaces: Table<LabelSet>,
    endpoints: Table<Cilium>,
    identities: Identities,
    /// Who says to have an address: nearly always one.
    claims: HashMap<IpAddr, Claims, foldhash::fast::RandomState>,
    pools: Pools,
    /// Whose facts are to be told anew.
    dirty: BTreeSet<ObjectKey>,
}

#[derive(Debug)]
enum Claims {
    One(ObjectKey),
    Many(Vec<ObjectKey>),
}

impl Pods {
    pub(super) fn put_pod(&mut self, key: &ObjectKey, pod: &objects::Pod) {
        // The same key for all who refer to it.
        let key = &self.pods.key(key).unwrap_or(key).clone();
        match Entry::new(pod, &mut self.pools) {
            Some(entry) => {
                let ips = Arc::clone(&entry.ips);
                if let Put::Changed(old) = self.pods.put(key, entry) {
                    if let Some(old) = old {
                        self.release(key, &old.ips);
                    }
                    self.claim(key, &ips);
                    self.dirty.insert(Arc::clone(key));
                }
            }
            // What has run to its end is nobody on the network any more.
            None => self.remove_pod(key),
        }
    }

    fn remove_pod(&mut self, key: &str) {
        let Some(key) = self.pods.key(key).cloned() else {
            return;
        };
        if let Some(old) = self.pods.remove(&key) {
            self.release(&key, &old.ips);
            self.dirty.insert(key);
        }
    }

    pub(super) fn put_namespace(&mut self, key: &ObjectKey, namespace: &objects::Namespace) {
        let labels = namespace.metadata.labels.iter();
        let labels = labels.map(|(key, value)| format!("{NAMESPACE_LABELS}{key}={value}").into());
        let labels = self.pools.labels.share(labels.collect::<Vec<_>>());
        if let Put::Changed(_) = self.namespaces.put(key, labels) {
            self.dirty.extend(self.pods.of_namespace(key).cloned());
        }
    }

    pub(super) fn put_endpoint(&mut self, key: &ObjectKey, endpoint: &objects::CiliumEndpoint) {
        let endpoint = Cilium::new(endpoint, &mut self.pools);
        if let Put::Changed(_) = self.endpoints.put(key, endpoint) {
            self.dirty.insert(Arc::clone(key));
        }
    }

    pub(super) fn put_identity(&mut self, key: &ObjectKey, identity: &objects::CiliumIdentity) {
        // Their labels do not change, and they come before the endpoints that have them.
        self.identities.put(key, identity);
    }

    /// The cluster that Cilium's identities are of, if that is another.
    pub(super) fn other_cluster(&self, own: &str) -> Option<&str> {
        self.identities.other_cluster(own)
    }

    pub(super) fn remove(&mut self, resource: Resource, key: &str) {
        match resource {
            Resource::Pods => self.remove_pod(key),
            Resource::Namespaces => {
                let gone = self.namespaces.remove(key).into_iter();
                let pods = gone.flat_map(|_| self.pods.of_namespace(key).cloned());
                self.dirty.extend(pods);
            }
            Resource::CiliumEndpoints => {
                let gone = self.endpoints.remove(key);
                self.dirty.extend(gone.map(|_| ObjectKey::from(key)));
            }
            Resource::CiliumIdentities => self.identities.remove(key),
            _ => {}
        }
    }

    pub(super) fn begin(&mut self, resource: Resource) {
        match resource {
            Resource::Pods => self.pods.begin(),
            Resource::Namespaces => self.namespaces.begin(),
            Resource::CiliumEndpoints => self.endpoints.begin(),
            Resource::CiliumIdentities => self.identities.begin(),
            _ => {}
        }
    }

    pub(super) fn end(&mut self, resource: Resource) {
        match resource {
            Resource::Pods => {
                for (key, old) in self.pods.end() {
                    self.release(&key, &old.ips);
                    self.dirty.insert(key);
                }
            }
            Resource::Namespaces => {
                for (key, _) in self.namespaces.end() {
                    self.dirty.extend(self.pods.of_namespace(&key).cloned());
                }
            }
            Resource::CiliumEndpoints => {
                let gone = self.endpoints.end();
                self.dirty.extend(gone.into_iter().map(|(key, _)| key));
            }
            Resource::CiliumIdentities => self.identities.end(),
            _ => {}
        }
    }

    pub(super) fn len(&self, resource: Resource) -> usize {
        match resource {
            Resource::Pods => self.pods.len(),
            Resource::Namespaces => self.namespaces.len(),
            Resource::CiliumEndpoints => self.endpoints.len(),
            Resource::CiliumIdentities => self.identities.len(),
            _ => 0,
        }
    }

    /// What is to be told since the last call.
    pub(super) fn take_changes(&mut self) -> [(Provider, Vec<Change>); 3] {
        let mut pods = Vec::with_capacity(self.dirty.len());
        let mut endpoints = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let fact_key = Box::from(&*key);
            pods.push(match self.pods.get(&key) {
                Some(pod) => Change::Put(fact_key, Fact::Endpoint(self.pod_fact(&key, pod))),
                None => Change::Remove(fact_key),
            });
            if self.endpoints.len() == 0 && self.identities.len() == 0 {
                continue;
            }
            // An endpoint whose pod nobody told about speaks for itself.
            let alone = self.endpoints.get(&key);
            let alone = alone.filter(|_| self.pods.get(&key).is_none());
            endpoints.push(match alone {
                Some(it) => Change::Put(
                    Box::from(&*key),
                    Fact::Endpoint(self.endpoint_fact(&key, it)),
                ),
                None => Change::Remove(Box::from(&*key)),
            });
        }
        [
            self.identities.take_changes(),
            (Provider::Pods, pods),
            (Provider::CiliumEndpoints, endpoints),
        ]
    }

    fn pod_fact(&self, key: &ObjectKey, pod: &Entry) -> EndpointFact {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let mine = |ip: &&IpAddr| self.owner(**ip) == Some(key);
        let mut fact = EndpointFact {
            ips: pod.ips.iter().filter(mine).copied().collect(),
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            node: Some(pod.node.to_string()),
            workload: pod.workload.as_deref().cloned(),
            ..EndpointFact::default()
        };
        match self.endpoints.get(key) {
            Some(endpoint) => self.add_cilium(&mut fact, endpoint),
            None => {
                let of_namespace = self.namespaces.get(namespace);
                let labels = pod
                    .labels
                    .iter()
                    .chain(of_namespace.iter().flat_map(|it| it.iter()));
                fact.labels = labels.map(|it| it.to_string()).collect();
                if !pod.service_account.is_empty() {
                    let label = format!("{SERVICE_ACCOUNT_LABEL}{}", pod.service_account);
                    fact.labels.push(label);
                }
            }
        }
        fact
    }

    fn endpoint_fact(&self, key: &str, endpoint: &Cilium) -> EndpointFact {
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        let mut fact = EndpointFact {
            ips: endpoint.ips.to_vec(),
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            // Only its address is known; it is not for this agent to number.
            node: Some(endpoint.node.to_string()),
            ..EndpointFact::default()
        };
        self.add_cilium(&mut fact, endpoint);
        fact
    }

    /// Cilium's numbers, and the labels that its identity is made of.
    fn add_cilium(&self, fact: &mut EndpointFact, endpoint: &Cilium) {
        fact.id = endpoint.id;
        fact.identity = endpoint.identity;
        let labels = if endpoint.labels.is_empty() {
            endpoint.identity.and_then(|it| self.identities.labels(it))
        } else {
            Some(&endpoint.labels)
        };
        for label in labels.into_iter().flat_map(|it| it.iter()) {
            if !label.starts_with(CLUSTER_LABEL) && !label.starts_with(NAMESPACE_LABEL) {
                fact.labels.push(label.to_string());
            }
        }
    }

    /// Of all who claim an address, the one that has it.
    fn owner(&self, ip: IpAddr) -> Option<&ObjectKey> {
        match self.claims.get(&ip)? {
            Claims::One(key) => Some(key),
            Claims::Many(keys) => {
                let precedence = |key: &str| self.pods.get(key).map(|pod| pod.precedence);
                keys.iter().max_by_key(|&key| (precedence(key), key))
            }
        }
    }

    fn claim(&mut self, key: &ObjectKey, ips: &[IpAddr]) {
        for &ip in ips {
            match self.claims.get_mut(&ip) {
                None => drop(self.claims.insert(ip, Claims::One(Arc::clone(key)))),
                Some(claims) => {
                    let mut keys = match std::mem::replace(claims, Claims::Many(Vec::new())) {
                        Claims::One(first) => vec![first],
                        Claims::Many(keys) => keys,
                    };
                    self.dirty.extend(keys.iter().cloned());
                    keys.push(Arc::clone(key));
                    *claims = Claims::Many(keys);
                }
            }
        }
    }

    fn release(&mut self, key: &ObjectKey, ips: &[IpAddr]) {
        for ip in ips {
            match self.claims.get_mut(ip) {
                Some(Claims::One(owner)) if owner == key => drop(self.claims.remove(ip)),
                Some(Claims::Many(keys)) => {
                    keys.retain(|it| it != key);
                    // It may have been the one that had it.
                    self.dirty.extend(keys.iter().cloned());
                    if let [only] = keys.as_slice() {
                        let only = Arc::clone(only);
                        self.claims.insert(*ip, Claims::One(only));
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
