//! The entries of a field that are compared for equality, any of which may match.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// So few entries are faster looked through than searched.
const FEW: usize = 8;

/// A set of values. However many a client sends, looking for one takes a few comparisons.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct OneOf<T>(Box<[T]>);

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Ord> OneOf<T> {
    pub(crate) fn contains<Q: Ord + ?Sized>(&self, value: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.contains_by(
            |entry| entry.borrow().cmp(value),
            |entry| entry.borrow() == value,
        )
    }

    /// Whether it contains the value that entries are compared with. Both questions are about the
    /// same value; equality is the cheaper one.
    pub(crate) fn contains_by(
        &self,
        compare: impl FnMut(&T) -> Ordering,
        equals: impl FnMut(&T) -> bool,
    ) -> bool {
        if self.0.len() <= FEW {
            self.0.iter().any(equals)
        } else {
            self.0.binary_search_by(compare).is_ok()
        }
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T: Ord> From<Vec<T>> for OneOf<T> {
    fn from(mut entries: Vec<T>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        Self(entries.into())
    }
}

impl<T: Ord> FromIterator<T> for OneOf<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self::from(Vec::from_iter(entries))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_entries_take_few_comparisons() {
        let entries: OneOf<u32> = (0..10_000).map(|number| number * 2).collect();
        for value in [0, 1, 9_999, 10_000, 19_998, 30_000] {
            let comparisons = Cell::new(0);
            let count = |ordering| {
                comparisons.set(comparisons.get() + 1);
                ordering
            };
            let contains = entries.contains_by(
                |entry| count(entry.cmp(&value)),
                |entry| count(entry.cmp(&value)).is_eq(),
            );
            assert_eq!(contains, value % 2 == 0 && value < 20_000, "{value}");
            assert!(comparisons.get() <= 15, "{value}: {}", comparisons.get());
        }
    }

    proptest! {
        #[test]
        fn it_contains_what_was_put_in(entries in vec(0_u8..40, 0..40), value in 0_u8..40) {
            let set = OneOf::from(entries.clone());
            prop_assert_eq!(set.contains(&value), entries.contains(&value));
        }
    }
}
