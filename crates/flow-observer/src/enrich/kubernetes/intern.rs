//! Values that many objects share, kept once.

use std::{borrow::Borrow, hash::Hash, sync::Arc};

use foldhash::{HashSet, HashSetExt as _};

/// Hands out one `Arc` for equal values: the pods of one deployment have the same labels.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    /// How many to hold before looking for those that nobody uses any more.
    sweep_at: usize,
}

/// Below this, looking for what is unused is not worth while.
const MIN_SWEEP: usize = 256;

impl<T: ?Sized + Eq + Hash> Default for Shared<T> {
    fn default() -> Self {
        Self {
            values: HashSet::new(),
            sweep_at: MIN_SWEEP,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    pub(super) fn share<V>(&mut self, value: V) -> Arc<T>
    where
        V: Borrow<T> + Into<Arc<T>>,
    {
        if let Some(known) = self.values.get(value.borrow()) {
            return Arc::clone(known);
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            // Twice what is in use: a sweep costs as much as the values that came since the last.
            self.sweep_at = (self.values.len() * 2).max(MIN_SWEEP);
        }
        let value: Arc<T> = value.into();
        self.values.insert(Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut shared = Shared::<str>::default();
        let first = shared.share("node-1");
        assert!(Arc::ptr_eq(&first, &shared.share("node-1")));
    }

    #[test]
    fn what_nobody_uses_is_swept_away() {
        let mut shared = Shared::<str>::default();
        let kept = shared.share("kept");
        for number in 0..10 * MIN_SWEEP {
            drop(shared.share(number.to_string()));
        }
        assert!(shared.values.len() <= MIN_SWEEP);
        assert!(Arc::ptr_eq(&kept, &shared.share("kept")));
    }
}
