//! How a provider of one piece is doing: written by who does its work, read by who asks for the
//! status.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use super::provider::{ProviderState, ProviderStatus, Reports};

/// What a provider knows: kinds of objects, and how many of each.
pub(super) type Counts<const N: usize> = [(&'static str, usize); N];

/// A provider's standing.
#[derive(Debug)]
pub(crate) struct Standing {
    name: &'static str,
    source: String,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: ProviderState,
    since: SystemTime,
    last_event: Option<SystemTime>,
    /// When its knowledge was good.
    good_at: Instant,
    reason: String,
    parts: Vec<(&'static str, u64)>,
}

impl Standing {
    /// A provider that has told nothing yet.
    pub(super) fn new(name: &'static str, source: String) -> Self {
        Self {
            name,
            source,
            now: Mutex::new(Now {
                state: ProviderState::Starting,
                since: SystemTime::now(),
                last_event: None,
                good_at: Instant::now(),
                reason: String::new(),
                parts: Vec::new(),
            }),
        }
    }

    /// It knows this much. What it begins with is no change.
    pub(super) fn knows<const N: usize>(&self, counts: Counts<N>) {
        let mut now = self.lock();
        if now.state != ProviderState::Starting {
            now.last_event = Some(SystemTime::now());
        }
        let parts = counts.into_iter();
        now.parts = parts.map(|(name, count)| (name, count as u64)).collect();
    }

    /// It looked, and knows everything.
    pub(super) fn is_good(&self) {
        self.lock().set(ProviderState::Connected, String::new());
    }

    /// It looked, and could not see everything.
    pub(super) fn is_partial(&self, reason: String) {
        self.lock().set(ProviderState::Partial, reason);
    }

    /// It could not look, and goes on with what it knows.
    pub(super) fn is_lost(&self, reason: String) {
        self.lock().set(ProviderState::Lost, reason);
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn set(&mut self, state: ProviderState, reason: String) {
        // Until this look, what was known was as good as now.
        if self.state != ProviderState::Lost || state != ProviderState::Lost {
            self.good_at = Instant::now();
        }
        if self.state != state {
            self.state = state;
            self.since = SystemTime::now();
        }
        self.reason = reason;
    }
}

impl Reports for Standing {
    fn report(&self) -> ProviderStatus {
        let now = self.lock();
        let age_seconds = match now.state {
            ProviderState::Lost | ProviderState::Starting => now.good_at.elapsed().as_secs(),
            _ => 0,
        };
        let status = |name, objects| ProviderStatus {
            name,
            source: String::new(),
            state: now.state,
            since: now.since,
            last_event: now.last_event,
            age_seconds,
            objects,
            reason: String::new(),
            parts: Vec::new(),
        };
        ProviderStatus {
            source: self.source.clone(),
            reason: now.reason.clone(),
            parts: now
                .parts
                .iter()
                .map(|&(name, objects)| status(name, objects))
                .collect(),
            ..status(self.name, now.parts.iter().map(|(_, count)| count).sum())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_keeps_what_it_knew_and_says_why_until_it_is_good_again() {
        let standing = Standing::new("inventory", "hosts.yaml".to_owned());
        assert_eq!(standing.report().state, ProviderState::Starting);
        standing.knows([("nodes", 2), ("names", 3)]);
        standing.is_good();
        let good = standing.report();
        assert_eq!((good.state, good.objects), (ProviderState::Connected, 5));
        assert_eq!(good.last_event, None, "nothing changed yet");

        standing.is_lost("hosts.yaml:2: no".to_owned());
        let lost = standing.report();
        assert_eq!((lost.state, lost.objects), (ProviderState::Lost, 5));
        assert_eq!(lost.reason, "hosts.yaml:2: no");
        assert!(lost.since >= good.since);

        standing.knows([("nodes", 1), ("names", 3)]);
        standing.is_good();
        let again = standing.report();
        assert_eq!((again.state, again.objects), (ProviderState::Connected, 4));
        assert_eq!((&*again.reason, again.age_seconds), ("", 0));
        assert!(again.last_event.is_some());
        assert_eq!((again.parts[0].name, again.parts[0].objects), ("nodes", 1));
    }
}
