//! Cilium's identities: in go its objects, each a number with the labels that it stands for, out come
//! facts about sets of labels; and of which cluster the labels are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    objects,
    table::{ObjectKey, Put, Table},
};
use crate::enrich::{
    facts::{Change, Fact, IdentityFact, Provider},
    identity,
};

/// Labels as they are told.
pub(super) type LabelSet = Arc<[Box<str>]>;

/// What `k8s:io.cilium.k8s.policy.cluster` is in all labels that Cilium gives.
pub(super) const CLUSTER_LABEL: &str = "k8s:io.cilium.k8s.policy.cluster=";

/// By number.
#[derive(Debug, Default)]
pub(super) struct Identities {
    table: Table<LabelSet>,
    /// How many are of a cluster.
    clusters: BTreeMap<Box<str>, usize>,
    dirty: BTreeSet<ObjectKey>,
}

impl Identities {
    pub(super) fn put(&mut self, key: &ObjectKey, identity: &objects::CiliumIdentity) {
        let labels = identity.security_labels.iter();
        let labels: LabelSet = labels
            .map(|(key, value)| format!("{key}={value}").into())
            .collect();
        if let Put::Changed(old) = self.table.put(key, Arc::clone(&labels)) {
            if let Some(cluster) = cluster(&labels) {
                *self.clusters.entry(cluster.into()).or_default() += 1;
            }
            if let Some(old) = old {
                self.forget_cluster(&old);
            }
            self.dirty.insert(Arc::clone(key));
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(old) = self.table.remove(key) {
            self.forget_cluster(&old);
            self.dirty.insert(key.into());
        }
    }

    pub(super) fn begin(&mut self) {
        self.table.begin();
    }

    pub(super) fn end(&mut self) {
        for (key, old) in self.table.end() {
            self.forget_cluster(&old);
            self.dirty.insert(key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The labels that a number stands for.
    pub(super) fn labels(&self, number: u32) -> Option<&LabelSet> {
        self.table.get(&number.to_string())
    }

    /// The cluster that they are of, if that is another. A cluster that was called otherwise before
    /// has some of both for a while.
    pub(super) fn other_cluster(&self, own: &str) -> Option<&str> {
        let count = |name: &str| self.clusters.get(name).copied().unwrap_or_default();
        let (most, _) = self.clusters.iter().max_by_key(|(_, count)| **count)?;
        (count(most) > count(own)).then_some(most)
    }

    /// What is to be told since the last call.
    pub(super) fn take_changes(&mut self) -> (Provider, Vec<Change>) {
        let changes = std::mem::take(&mut self.dirty).into_iter().map(|key| {
            let fact = self.table.get(&key).and_then(|labels| fact(&key, labels));
            match fact {
                Some(fact) => Change::Put(Box::from(&*key), Fact::Identity(fact)),
                None => Change::Remove(Box::from(&*key)),
            }
        });
        (Provider::CiliumIdentities, changes.collect())
    }

    fn forget_cluster(&mut self, labels: &LabelSet) {
        if let Some(name) = cluster(labels)
            && let Some(count) = self.clusters.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                self.clusters.remove(name);
            }
        }
    }
}

fn cluster(labels: &LabelSet) -> Option<&str> {
    labels
        .iter()
        .find_map(|label| label.strip_prefix(CLUSTER_LABEL))
}

/// Nothing for a name that is no number of a workload.
fn fact(name: &str, labels: &LabelSet) -> Option<IdentityFact> {
    let number = name.parse().ok()?;
    (identity::FIRST..identity::END)
        .contains(&number)
        .then(|| IdentityFact {
            number,
            labels: labels.iter().map(|it| it.to_string()).collect(),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(identities: &mut Identities, name: &str, cluster: &str) {
        let identity = serde_json::from_value(json!({
            "metadata": {"name": name},
            "security-labels": {
                "k8s:app": "web", "k8s:io.cilium.k8s.policy.cluster": cluster, "k8s:x": "",
            },
        }));
        identities.put(&name.into(), &identity.unwrap());
    }

    #[test]
    fn an_identity_is_a_number_of_a_workload_for_its_labels() {
        let mut identities = Identities::default();
        for name in ["4306", "1", "16777217", "web"] {
            put(&mut identities, name, "default");
        }
        let (_, changes) = identities.take_changes();
        let mut told = changes.into_iter().filter_map(|change| match change {
            Change::Put(_, Fact::Identity(fact)) => Some(fact),
            _ => None,
        });
        let labels = [
            "k8s:app=web",
            "k8s:io.cilium.k8s.policy.cluster=default",
            "k8s:x=",
        ];
        let expected = IdentityFact {
            number: 4306,
            labels: labels.map(str::to_owned).to_vec(),
        };
        assert_eq!(told.next(), Some(expected));
        assert_eq!(told.next(), None);
    }

    #[test]
    fn the_cluster_is_another_when_most_of_them_say_so() {
        let mut identities = Identities::default();
        assert_eq!(identities.other_cluster("default"), None);
        put(&mut identities, "300", "default");
        assert_eq!(identities.other_cluster("default"), None);
        put(&mut identities, "301", "prod");
        put(&mut identities, "302", "prod");
        assert_eq!(identities.other_cluster("default"), Some("prod"));
        assert_eq!(identities.other_cluster("prod"), None);
        identities.remove("301");
        assert_eq!(identities.other_cluster("default"), None);
        identities.begin();
        identities.end();
        assert!(identities.clusters.is_empty());
    }
}
