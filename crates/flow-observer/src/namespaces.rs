//! The Kubernetes namespaces that flows came from and went to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::record::FlowRecord;

/// A namespace is listed for so long after its last flow, as in Hubble.
const TIME_TO_LIVE: Duration = Duration::from_secs(60 * 60);

/// Namespaces by name, with the time of their last flow.
#[derive(Debug, Default)]
pub struct SeenNamespaces {
    last_seen: Mutex<BTreeMap<String, Instant>>,
}

impl SeenNamespaces {
    /// Notes the namespaces of a batch of flows.
    pub(crate) fn see<'a>(&self, flows: impl Iterator<Item = &'a FlowRecord>) {
        let names: BTreeSet<&str> = flows
            .flat_map(|flow| {
                [
                    flow.source.namespace.as_str(),
                    flow.destination.namespace.as_str(),
                ]
            })
            .filter(|name| !name.is_empty())
            .collect();
        if names.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut last_seen = self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for name in names {
            match last_seen.get_mut(name) {
                Some(seen) => *seen = now,
                None => drop(last_seen.insert(name.to_owned(), now)),
            }
        }
    }

    /// The namespaces of the last hour, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut last_seen = self
            .last_seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last_seen.retain(|_, seen| seen.elapsed() < TIME_TO_LIVE);
        last_seen.keys().cloned().collect()
    }
}
