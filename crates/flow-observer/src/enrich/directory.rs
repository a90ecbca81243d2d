//! What the providers say, put together.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;

use super::{
    Inventory, Snapshot,
    facts::{Change, Fact, Key, Provider},
};

/// Takes what providers say, and hands out who is who. Shared by all of them; look-ups take a
/// snapshot and never wait.
#[derive(Debug)]
pub struct Directory {
    node_name: String,
    facts: Mutex<Facts>,
    snapshot: ArcSwap<Snapshot>,
}

/// Everything that was said and not taken back. Ordered, so that every agent comes to the same
/// result.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) by_provider: BTreeMap<Provider, BTreeMap<Key, Fact>>,
    pub(super) own_addresses: Vec<IpAddr>,
}

impl Directory {
    /// Starts from an inventory.
    #[must_use]
    pub fn new(node_name: &str, inventory: Inventory) -> Self {
        let directory = Self {
            node_name: node_name.to_owned(),
            facts: Mutex::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::new(node_name, &Facts::default())),
        };
        directory.replace(Provider::Inventory, inventory.into_facts());
        directory
    }

    /// The node whose agent this is.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A provider says what changed.
    pub fn apply(&self, provider: Provider, changes: impl IntoIterator<Item = Change>) {
        self.change(|facts| {
            let known = facts.by_provider.entry(provider).or_default();
            for change in changes {
                match change {
                    Change::Put(key, fact) => drop(known.insert(key, fact)),
                    Change::Remove(key) => drop(known.remove(&key)),
                }
            }
        });
    }

    /// A provider says everything that is so; what it said before and does not say now is so no
    /// longer.
    pub fn replace(&self, provider: Provider, facts: impl IntoIterator<Item = (Key, Fact)>) {
        self.change(|known| {
            known
                .by_provider
                .insert(provider, facts.into_iter().collect());
        });
    }

    /// This host's own addresses, as they are now.
    pub(crate) fn set_own_addresses(&self, addresses: &[IpAddr]) {
        if self.snapshot.load().own_addresses() != addresses {
            self.change(|facts| addresses.clone_into(&mut facts.own_addresses));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        self.snapshot
            .store(Arc::new(Snapshot::new(&self.node_name, &facts)));
    }
}
