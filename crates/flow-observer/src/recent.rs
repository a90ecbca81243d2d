//! A map that forgets what was not used for long.

use std::{hash::Hash, mem};

use foldhash::HashMap;

/// A map in two generations. New entries and those that are used live in the young one; when that
/// is full, the old one is forgotten and the young one becomes old. So it holds at most twice its
/// `generation` of entries, and never forgets one that was used since the last change.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn with_generation(generation: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            generation,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// The entry, which thereby counts as used.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Puts an entry in the place of what the key had; tells how many others were forgotten for it.
    pub(crate) fn insert(&mut self, key: K, value: V) -> usize {
        let mut forgotten = 0;
        self.old.remove(&key);
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            mem::swap(&mut self.young, &mut self.old);
            forgotten = self.young.len();
            self.young.clear();
        }
        self.young.insert(key, value);
        forgotten
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::with_generation(4);
        recent.insert("used", 1);
        recent.insert("unused", 1);
        let others: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        for other in &others {
            recent.insert(other, 0);
            assert!(recent.get_mut(&"used").is_some(), "after {other}");
        }
        assert_eq!(recent.get_mut(&"unused"), None);
    }

    #[test]
    fn it_never_holds_more_than_two_generations() {
        let mut recent = Recent::with_generation(4);
        for key in 0..100 {
            recent.insert(key, ());
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
    }

    #[test]
    fn a_removed_entry_is_gone_from_both_generations() {
        let mut recent = Recent::with_generation(1);
        recent.insert(1, 'a');
        recent.insert(2, 'b');
        assert_eq!(recent.remove(&1), Some('a'));
        assert_eq!(recent.remove(&1), None);
        assert_eq!(recent.remove(&2), Some('b'));
        assert!(recent.is_empty());
    }
}
