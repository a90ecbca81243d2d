//! The Kubernetes namespaces that flows came from and went to.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use flow_api::flow::Flow;
use foldhash::HashSet;

use crate::{record::Endpoint, ring::Event};

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
        let names = names(events);
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

/// The namespaces at the ends of flows.
fn names(events: &[Event]) -> BTreeSet<&str> {
    // A batch has many flows of few endpoints: telling those apart by where they lie in memory is
    // much cheaper than comparing names.
    let mut endpoints: HashSet<*const Endpoint> = HashSet::default();
    let mut names = BTreeSet::new();
    for event in events {
        match event {
            Event::Flow(flow) => {
                for party in [&flow.source, &flow.destination] {
                    if endpoints.insert(Arc::as_ptr(&party.endpoint)) {
                        names.insert(&*party.endpoint.namespace);
                    }
                }
            }
            Event::Message(flow) => names.extend(namespaces(&flow.message)),
            Event::Recorded(response) => {
                names.extend(response.flow().into_iter().flat_map(namespaces));
            }
            Event::Agent(_) | Event::Debug(_) | Event::Lost(_) => {}
        }
    }
    names.remove("");
    names
}

fn namespaces(flow: &Flow) -> impl Iterator<Item = &str> {
    let ends = [&flow.source, &flow.destination];
    ends.into_iter().flatten().map(|it| it.namespace.as_str())
}
