//! The Kubernetes namespaces that flows came from and went to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::ring::Event;

/// A namespace is listed for so long after its last flow, as in Hubble.
const TIME_TO_LIVE: Duration = Duration::from_secs(60 * 60);

/// Namespaces by name, with the time of their last flow.
#[derive(Debug, Default)]
pub struct SeenNamespaces {
    last_seen: Mutex<BTreeMap<String, Instant>>,
}

impl SeenNamespaces {
    /// Notes the namespaces of a batch of flows.
    pub(crate) fn see(&self, events: &[Event]) {
        let names: BTreeSet<&str> = events
            .iter()
            .flat_map(namespaces)
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

/// The namespaces at the ends of a flow; empty where there is none.
fn namespaces(event: &Event) -> [&str; 2] {
    match event {
        Event::Flow(flow) => {
            [&flow.source, &flow.destination].map(|party| party.endpoint.namespace.as_str())
        }
        Event::Message(flow) => [&flow.message.source, &flow.message.destination].map(|endpoint| {
            endpoint
                .as_ref()
                .map_or("", |endpoint| endpoint.namespace.as_str())
        }),
        Event::Agent(_) | Event::Debug(_) | Event::Lost(_) => [""; 2],
    }
}
