//! What was counted on the way from the source to the ring.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// Counts of one agent since its start.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    seen_flows: AtomicU64,
    lost: AtomicU64,
    other_node: AtomicU64,
    not_a_drop: AtomicU64,
    /// Records that could not be decoded, by reason. Rare, so a lock will do.
    undecodable: Mutex<BTreeMap<&'static str, u64>>,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            seen_flows: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            other_node: AtomicU64::new(0),
            not_a_drop: AtomicU64::new(0),
            undecodable: Mutex::default(),
        }
    }
}

impl Counters {
    /// When counting began.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Flows published.
    #[must_use]
    pub fn seen_flows(&self) -> u64 {
        self.seen_flows.load(Ordering::Relaxed)
    }

    /// Records lost in the kernel.
    #[must_use]
    pub fn lost_records(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Drops in the namespaces of other nodes, or in ones that were gone before anybody looked.
    #[must_use]
    pub fn drops_elsewhere(&self) -> u64 {
        self.other_node.load(Ordering::Relaxed)
    }

    /// Freed packets that had been received after all.
    #[must_use]
    pub fn received_copies(&self) -> u64 {
        self.not_a_drop.load(Ordering::Relaxed)
    }

    /// Records that could not be decoded, by reason.
    #[must_use]
    pub fn undecodable_records(&self) -> BTreeMap<&'static str, u64> {
        self.undecodable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn published(&self, flows: u64) {
        self.seen_flows.fetch_add(flows, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn other_node(&self) {
        self.other_node.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn not_a_drop(&self) {
        self.not_a_drop.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn undecodable(&self, reason: &'static str) {
        let mut counts = self
            .undecodable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reason).or_default() += 1;
    }
}
