//! When losses were counted: in go the counters' totals, out comes what was lost within a range of
//! time.
//!
//! Most losses are noticed as a number that has grown, so they are dated to when it was looked at.

use std::collections::{BTreeMap, VecDeque};

use crate::counters::{Stage, StageCount};

/// Losses in each of so many seconds are told apart: an hour of constant loss. Older ones are
/// dated to the oldest of these.
const MOST_ENTRIES: usize = 3600;

/// The totals are looked at as often; a loss may be older by that than what it is dated to.
pub(crate) const PRECISION_NS: i64 = 1_000_000_000;

/// Where something was lost, and what.
pub(crate) type Kind = (Stage, &'static str);

/// Losses by time.
#[derive(Debug, Default)]
pub(crate) struct LossLog {
    totals: BTreeMap<Kind, u64>,
    /// Oldest first: when a total had grown, and by how much.
    entries: VecDeque<(i64, Kind, u64)>,
}

impl LossLog {
    /// Compares the totals with those before.
    pub(crate) fn note(&mut self, counts: &[StageCount], now_ns: i64) {
        let mut totals: BTreeMap<Kind, u64> = BTreeMap::new();
        for count in counts
            .iter()
            .filter(|count| count.is_loss && count.count > 0)
        {
            *totals.entry((count.stage, count.what)).or_default() += count.count;
        }
        for (kind, total) in totals {
            let before = self.totals.insert(kind, total).unwrap_or(0);
            if total > before {
                self.entries.push_back((now_ns, kind, total - before));
            }
        }
        while self.entries.len() > MOST_ENTRIES && self.forget_oldest() {}
    }

    /// Takes out the oldest entry that has a later one of its kind, which takes its count over. The
    /// only one of a kind stays: kinds are few.
    fn forget_oldest(&mut self) -> bool {
        for at in 0..self.entries.len() {
            let (_, kind, count) = self.entries[at];
            let mut later = self.entries.range_mut(at + 1..);
            if let Some(next) = later.find(|it| it.1 == kind) {
                next.2 += count;
                self.entries.remove(at);
                return true;
            }
        }
        false
    }

    /// What was lost between two times, by kind. A little more rather than less.
    pub(crate) fn between(&self, from_ns: i64, to_ns: i64) -> BTreeMap<Kind, u64> {
        let last_ns = to_ns.saturating_add(PRECISION_NS);
        let mut lost = BTreeMap::new();
        for (time_ns, kind, count) in &self.entries {
            if (from_ns..=last_ns).contains(time_ns) {
                *lost.entry(*kind).or_default() += count;
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn total(stage: Stage, what: &'static str, count: u64) -> StageCount {
        StageCount {
            stage,
            what,
            kind: String::new(),
            count,
            is_loss: true,
        }
    }

    #[test]
    fn a_loss_is_told_for_the_time_in_which_it_happened_and_no_other() {
        let mut log = LossLog::default();
        log.note(&[total(Stage::Kernel, "lost", 3)], 10 * SECOND);
        log.note(&[total(Stage::Kernel, "lost", 3)], 20 * SECOND);
        let grown = [
            total(Stage::Kernel, "lost", 5),
            total(Stage::Decode, "undecodable", 1),
        ];
        log.note(&grown, 30 * SECOND);
        let between = |from, to| Vec::from_iter(log.between(from * SECOND, to * SECOND));
        assert_eq!(between(0, 15), [((Stage::Kernel, "lost"), 3)]);
        assert_eq!(between(15, 25), []);
        assert_eq!(
            between(15, 40),
            [
                ((Stage::Kernel, "lost"), 2),
                ((Stage::Decode, "undecodable"), 1)
            ]
        );
    }

    #[test]
    fn after_hours_of_loss_no_count_is_missing() {
        let mut log = LossLog::default();
        for second in 1..=2 * MOST_ENTRIES as i64 {
            log.note(
                &[total(Stage::Kernel, "lost", second as u64)],
                second * SECOND,
            );
        }
        assert!(log.entries.len() <= MOST_ENTRIES);
        let all: u64 = log.between(0, i64::MAX).values().sum();
        assert_eq!(all, 2 * MOST_ENTRIES as u64);
    }
    #[test]
    fn a_loss_of_a_kind_that_was_seen_once_keeps_its_time_for_hours_of_others() {
        let mut log = LossLog::default();
        let once = total(Stage::Decode, "undecodable", 7);
        log.note(&[once], SECOND);
        for second in 2..=2 * MOST_ENTRIES as i64 {
            let often = total(Stage::Kernel, "lost", second as u64);
            log.note(&[often], second * SECOND);
        }
        assert!(log.entries.len() <= MOST_ENTRIES);
        assert_eq!(
            Vec::from_iter(log.between(0, SECOND)),
            [((Stage::Decode, "undecodable"), 7)]
        );
    }
}
