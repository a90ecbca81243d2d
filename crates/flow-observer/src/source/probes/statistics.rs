//! What the probes counted, for status and metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use probe_events::Counter;

use crate::counters::{Stage, StageCount};

/// Counts of the probes since they were started, half a second old at most. The reader writes
/// them, anyone reads.
#[derive(Debug, Default)]
pub struct ProbeStatistics {
    snapshot: Mutex<Snapshot>,
}

/// The counts at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Each counter's name and count, over all CPUs.
    pub counters: BTreeMap<&'static str, u64>,
    /// Records that were lost, by CPU.
    pub lost_by_cpu: Vec<u64>,
    /// Drops beyond the configured rate, by the kernel's name of their reason.
    pub rate_limited: BTreeMap<Arc<str>, u64>,
    /// Connections in the flow table.
    pub flow_table_entries: u64,
    /// Connections that this host translates.
    pub translations: TranslationCounts,
}

/// Connections that this host translates: how many are known, and what went wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TranslationCounts {
    /// How many are known.
    pub connections: u64,
    /// How many had to make room for others.
    pub evicted: u64,
    /// How often the kernel's news of them were more than there was room for.
    pub overruns: u64,
    /// Messages about them that could not be read.
    pub unreadable: u64,
}

impl Snapshot {
    /// The count of `counter`.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u64 {
        Counter::ALL
            .iter()
            .find(|(it, _)| *it == counter)
            .and_then(|(_, name)| self.counters.get(name))
            .copied()
            .unwrap_or(0)
    }
}

impl Snapshot {
    /// The same as the agent's status and metrics have it.
    pub(super) fn stage_counts(&self) -> Vec<StageCount> {
        let count = |what, kind: &str, count, is_loss| StageCount {
            stage: Stage::Kernel,
            what,
            kind: kind.to_owned(),
            count,
            is_loss,
        };
        let mut counts: Vec<StageCount> = Counter::ALL
            .iter()
            // Those are reported as they happen, and told apart by reason below.
            .filter(|(counter, _)| {
                !matches!(
                    counter,
                    Counter::LostTrace | Counter::LostDrop | Counter::RateLimited
                )
            })
            .map(|&(counter, what)| count(what, "", self.count(counter), is_loss(counter)))
            .collect();
        let by_reason = self.rate_limited.iter();
        counts.extend(by_reason.map(|(reason, &n)| count("rate_limited", reason, n, true)));
        counts.push(count(
            "flow_table_entries",
            "",
            self.flow_table_entries,
            false,
        ));
        let translations = &self.translations;
        let rest = [
            ("translated_connections", translations.connections, false),
            ("translated_evicted", translations.evicted, true),
            ("conntrack_overruns", translations.overruns, true),
            ("conntrack_unreadable", translations.unreadable, true),
        ];
        // Hosts that translate nothing need not read of it.
        let rest = rest.into_iter().filter(|(_, number, _)| *number > 0);
        counts.extend(rest.map(|(what, number, is_loss)| count(what, "", number, is_loss)));
        counts
    }
}

/// Somebody would have wanted to see these.
fn is_loss(counter: Counter) -> bool {
    matches!(counter, Counter::Unreadable | Counter::RateLimited)
}

impl ProbeStatistics {
    /// The counts as they were last read.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.with(|snapshot| snapshot.clone())
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Snapshot) -> T) -> T {
        change(&mut self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
