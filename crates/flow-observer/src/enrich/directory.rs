//! What the providers say, put together.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{
    Inventory, Settings, Snapshot,
    describe::{Described, Describer},
    facts::{Change, Fact, Key, Provider},
    index::Touched,
    news::{Listener, Reporter, Telling},
    nodes::Nodes,
    state::State,
};

/// Takes what providers say, and hands out who is who. Shared by all of them; look-ups take a
/// snapshot and never wait.
///
/// What a change costs goes by what it changes, not by what is known.
#[derive(Debug)]
pub struct Directory {
    node_name: String,
    settings: Settings,
    /// Only who says something waits for others that do.
    state: Mutex<Held>,
    snapshot: ArcSwap<Snapshot>,
    nodes: watch::Sender<Nodes>,
    identity_collisions: AtomicU64,
}

/// One change of the directory is at most so much news: as many as are kept of it at all. Where
/// more changes at once, one by one is no way to follow it.
const MOST_NEWS: usize = 4095;

/// What changes are made to.
#[derive(Default)]
struct Held {
    state: State,
    /// Who wants to know what changes, and what that was told.
    listening: Option<(Listener, Reporter)>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl Directory {
    /// Starts from an inventory.
    #[must_use]
    pub fn new(node_name: &str, inventory: Inventory) -> Self {
        Self::with_settings(node_name, inventory, Settings::default())
    }

    /// Starts from an inventory, and understands facts in its own way.
    #[must_use]
    pub fn with_settings(node_name: &str, inventory: Inventory, settings: Settings) -> Self {
        let directory = Self {
            node_name: node_name.to_owned(),
            settings,
            state: Mutex::default(),
            snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            nodes: watch::Sender::default(),
            identity_collisions: AtomicU64::new(0),
        };
        // Also what does not come from facts, as the world of a cluster with both families.
        directory.change(Telling::Everything, |_, touched| touched.own_node = true);
        directory.replace(Provider::Inventory, inventory.into_facts());
        directory
    }

    /// With another way for sets of labels to come to identities, as long as nothing is known.
    #[cfg(test)]
    pub(super) fn numbered_by(self, number: fn(&[String], u8) -> u32) -> Self {
        Self {
            state: Mutex::new(Held {
                state: State::numbered_by(number),
                listening: None,
            }),
            ..self
        }
    }

    /// The node whose agent this is.
    #[must_use]
    pub fn node_name(&self) -> &str {
        &self.node_name
    }

    /// The cluster of everything that names no other.
    #[cfg(feature = "kubernetes")]
    pub(super) fn cluster_name(&self) -> &str {
        &self.settings.cluster_name
    }

    /// The inventory is another now.
    pub fn set_inventory(&self, inventory: Inventory) {
        self.replace(Provider::Inventory, inventory.into_facts());
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// A provider says what changed.
    pub fn apply(&self, provider: Provider, changes: impl IntoIterator<Item = Change>) {
        self.apply_telling(provider, changes, Telling::Everything);
    }

    /// As [`Directory::apply`]; `telling` says how much of it is news to who listens.
    pub(crate) fn apply_telling(
        &self,
        provider: Provider,
        changes: impl IntoIterator<Item = Change>,
        telling: Telling,
    ) {
        let mut describer = Describer::new(&self.node_name, &self.settings);
        let changes: Vec<(Key, Option<Described>)> = changes
            .into_iter()
            .map(|change| match change {
                Change::Put(key, fact) => (key, Some(describer.describe(fact))),
                Change::Remove(key) => (key, None),
            })
            .collect();
        self.change(telling, |state, touched| {
            for (key, described) in changes {
                match described {
                    Some(described) => state.put(provider, key, described, touched),
                    None => state.remove(provider, &key, touched),
                }
            }
        });
    }

    /// A provider says everything that is so; what it said before and does not say now is so no
    /// longer. What stays the same is left as it is.
    pub fn replace(&self, provider: Provider, facts: impl IntoIterator<Item = (Key, Fact)>) {
        let mut describer = Describer::new(&self.node_name, &self.settings);
        let facts: BTreeMap<Key, Described> = facts
            .into_iter()
            .map(|(key, fact)| (key, describer.describe(fact)))
            .collect();
        self.change(Telling::Everything, |state, touched| {
            for key in state.keys_beyond(provider, &facts) {
                state.remove(provider, &key, touched);
            }
            for (key, described) in facts {
                state.put(provider, key, described, touched);
            }
        });
    }

    /// Sets of labels that came to the identity of another so far.
    #[must_use]
    pub fn identity_collisions(&self) -> u64 {
        self.identity_collisions.load(Ordering::Relaxed)
    }

    /// Tells `listener` the endpoints of this node, and from then on what changes.
    pub(crate) fn listen(&self, listener: Listener) {
        let mut held = self.lock();
        let mut reporter = Reporter::default();
        listener(reporter.begin(&held.state.index), 0);
        held.listening = Some((listener, reporter));
    }

    /// The nodes whose agents relays may ask, now and whenever they change.
    pub(crate) fn nodes(&self) -> watch::Receiver<Nodes> {
        self.nodes.subscribe()
    }

    /// This host's own addresses, as they are now.
    pub(crate) fn set_own_addresses(&self, addresses: &[IpAddr]) {
        let snapshot = self.snapshot.load();
        let known = snapshot.own_addresses();
        if known != addresses {
            self.change(Telling::Everything, |state, touched| {
                state.set_own_addresses(addresses, touched);
            });
        }
    }

    fn change(&self, telling: Telling, change: impl FnOnce(&mut State, &mut Touched)) {
        let mut touched = Touched::default();
        let mut held = self.lock();
        let Held { state, listening } = &mut *held;
        change(state, &mut touched);
        state.renumber(&mut touched);
        if touched.is_nothing() {
            return;
        }
        let snapshot = state.snapshot(&self.snapshot.load(), &self.settings, &touched);
        let snapshot = Arc::new(snapshot);
        let before = self.snapshot.swap(Arc::clone(&snapshot));
        self.identity_collisions
            .store(state.collisions(), Ordering::Relaxed);
        if touched.agents {
            self.nodes.send_replace(state.index.agents());
        }
        if let Some((listener, reporter)) = listening {
            let snapshots = [&*before, &*snapshot];
            let (news, left_out) =
                reporter.report(&state.index, snapshots, &touched, telling, MOST_NEWS);
            if !news.is_empty() {
                listener(news, left_out);
            }
        }
        // What is so no longer is freed when nobody waits.
        drop(held);
        drop((before, touched));
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
