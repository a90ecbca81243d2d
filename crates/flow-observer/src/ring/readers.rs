//! Who reads a ring: how many there are, how far the slowest is behind, and what they missed.
//!
//! A reader enters with its position, tells where it is now and then, and is forgotten when its
//! [`Mark`] is dropped. Nobody waits for it: the ring does not look at these.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What somebody reads a ring for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ReaderKind {
    /// An exporter.
    Export,
    /// A client that follows.
    Follow,
    /// Metrics of flows.
    Metrics,
    /// A client that asks for what there is.
    Query,
}

impl ReaderKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Export, Self::Follow, Self::Metrics, Self::Query];

    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Follow => "follow",
            Self::Metrics => "metrics",
            Self::Query => "query",
        }
    }
}

/// The readers of a ring: as many as there are open calls and exporters, which are bounded.
#[derive(Debug, Default)]
pub struct Readers {
    open: Mutex<Open>,
    missed: [AtomicU64; ReaderKind::ALL.len()],
}

#[derive(Debug, Default)]
struct Open {
    positions: BTreeMap<u64, (ReaderKind, Arc<AtomicU64>)>,
    next: u64,
}

/// The readers of a kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reading {
    /// How many there are.
    pub readers: u64,
    /// How many events the slowest has not read.
    pub behind: u64,
    /// Events that left the ring before a reader of this kind came to them, since the start.
    pub missed: u64,
}

impl Readers {
    /// Notes a reader that begins.
    pub(crate) fn enter(self: &Arc<Self>, kind: ReaderKind, position: u64) -> Mark {
        let position = Arc::new(AtomicU64::new(position));
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.positions.insert(number, (kind, Arc::clone(&position)));
        Mark {
            number,
            kind,
            position,
            readers: Arc::clone(self),
        }
    }

    /// The readers of a kind, where the ring goes up to `end`.
    #[must_use]
    pub fn of(&self, kind: ReaderKind, end: u64) -> Reading {
        let open = self.lock();
        let positions = open.positions.values().filter(|(it, _)| *it == kind);
        let positions = positions.map(|(_, position)| position.load(Ordering::Relaxed));
        let (readers, slowest) = positions.fold((0, end), |(readers, slowest), position| {
            (readers + 1, slowest.min(position))
        });
        Reading {
            readers,
            behind: end - slowest,
            missed: self.missed(kind).map_or(0, |it| it.load(Ordering::Relaxed)),
        }
    }

    fn missed(&self, kind: ReaderKind) -> Option<&AtomicU64> {
        self.missed.get(kind as usize)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's place among [`Readers`].
#[derive(Debug)]
pub(crate) struct Mark {
    number: u64,
    kind: ReaderKind,
    position: Arc<AtomicU64>,
    readers: Arc<Readers>,
}

impl Mark {
    /// The reader is here now.
    pub(crate) fn set(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// So many events left the ring before it came to them.
    pub(crate) fn miss(&self, count: u64) {
        if let Some(missed) = self.readers.missed(self.kind) {
            missed.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.readers.lock().positions.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_reader_of_a_kind_says_how_far_it_is_behind() {
        let readers = Arc::new(Readers::default());
        let (slow, fast) = (
            readers.enter(ReaderKind::Follow, 3),
            readers.enter(ReaderKind::Follow, 8),
        );
        let of = |kind| readers.of(kind, 10);
        let expected = |readers, behind, missed| Reading {
            readers,
            behind,
            missed,
        };
        assert_eq!(of(ReaderKind::Follow), expected(2, 7, 0));
        assert_eq!(of(ReaderKind::Export), expected(0, 0, 0));
        slow.miss(4);
        slow.set(9);
        assert_eq!(of(ReaderKind::Follow), expected(2, 2, 4));
        drop(fast);
        assert_eq!(of(ReaderKind::Follow), expected(1, 1, 4));
        drop(slow);
        assert_eq!(of(ReaderKind::Follow), expected(0, 0, 4));
    }
}
