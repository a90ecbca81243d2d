//! The series of a metric, for who counts and who reads at once: read a part at a time.

use std::sync::Arc;

/// The series of a metric, at places that they keep.
#[derive(Debug)]
pub(super) struct List<M> {
    slots: Vec<Option<Slot<M>>>,
    free: Vec<usize>,
    /// How many came ever.
    came: u64,
}

#[derive(Debug)]
struct Slot<M> {
    key: Arc<[u8]>,
    metric: M,
    /// How many came before.
    came: u64,
}

impl<M> Default for List<M> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            came: 0,
        }
    }
}

impl<M> List<M> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds one. Tells its place.
    pub(super) fn insert(&mut self, key: Arc<[u8]>, metric: M) -> usize {
        let slot = Some(Slot {
            key,
            metric,
            came: self.came,
        });
        self.came += 1;
        match self.free.pop() {
            Some(place) => {
                self.slots[place] = slot;
                place
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        }
    }

    /// All, with the values of their labels.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, &M)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (&slot.key, &slot.metric))
    }

    /// The values of the labels of one.
    pub(super) fn key(&self, place: usize) -> Option<&[u8]> {
        let slot = self.slots.get(place)?.as_ref()?;
        Some(&slot.key)
    }

    /// Makes place.
    pub(super) fn remove(&mut self, place: usize) {
        self.slots[place] = None;
        self.free.push(place);
    }
}

/// Series that are copied while the thread that counts may have to wait: some ten microseconds.
const AT_ONCE: usize = 256;

/// A way through a list, a part at a time.
pub(super) struct Part<M> {
    pub(super) copied: Vec<(Arc<[u8]>, M)>,
    next: usize,
    /// What comes later is left out: it may be what was there at another place.
    came: u64,
}

impl<M: Clone> Part<M> {
    /// Nothing is copied yet.
    pub(super) fn begin(list: &List<M>) -> Self {
        Self {
            copied: Vec::with_capacity(AT_ONCE.min(list.slots.len())),
            next: 0,
            came: list.came,
        }
    }

    /// Copies the next part; tells whether there was one.
    pub(super) fn copy(&mut self, list: &List<M>) -> bool {
        self.copied.clear();
        let Some(rest) = list.slots.get(self.next..).filter(|it| !it.is_empty()) else {
            return false;
        };
        let part = &rest[..rest.len().min(AT_ONCE)];
        self.next += part.len();
        let there = part.iter().flatten().filter(|it| it.came < self.came);
        self.copied
            .extend(there.map(|it| (Arc::clone(&it.key), it.metric.clone())));
        true
    }
}
