//! Things with numbers, found by their keys.
//!
//! A hash table, in two parts: a slot has four bytes, the number of a thing and some bits of its hash,
//! and the things lie elsewhere, without gaps. So a million of them need 8 MiB to be found, of which a
//! part is in the processor's caches, and finding one takes one look at the thing itself. What is not
//! there is hardly ever looked for there.

use std::hash::BuildHasher as _;

/// Who asked, and the address: as IPv6 has them.
pub(super) type Pair = (u128, u128);

/// What is found by a key.
pub(super) trait Keyed {
    /// The key, which never changes.
    fn key(&self) -> Pair;
}

/// No thing.
const EMPTY: u32 = 0;
/// The bits of a slot for a number, which is one more than that of the thing.
const NUMBER: u32 = (1 << 21) - 1;
/// The bits of a slot for some of the hash: high ones, since the place goes by the low ones.
const TAG: u32 = !NUMBER;
/// Things that a table can have.
pub(super) const MAX_THINGS: usize = NUMBER as usize;

/// The things.
#[derive(Debug)]
pub(super) struct Numbered<T> {
    /// Half of them empty at least; as many as a power of two, or none.
    slots: Vec<u32>,
    things: Vec<Option<T>>,
    free: Vec<u32>,
    hasher: foldhash::fast::RandomState,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            things: Vec::new(),
            free: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl<T: Keyed> Numbered<T> {
    pub(super) fn len(&self) -> usize {
        self.things.len() - self.free.len()
    }

    /// The number of the thing with a key.
    #[inline]
    pub(super) fn find(&self, key: Pair) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.search(hash, |number| {
            self.get(number).is_some_and(|thing| thing.key() == key)
        })
        .map(|(_, number)| number)
    }

    /// Where a key is looked for.
    #[inline]
    pub(super) fn hash_of(&self, key: Pair) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Reads where the search for a hash begins. Whether something is there.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> bool {
        self.slots
            .get(self.home(hash))
            .is_some_and(|&slot| slot != EMPTY)
    }

    /// The thing whose key seems to have this hash, by what the slots tell: mostly it has.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<&T> {
        let (_, number) = self.search(hash, |_| true)?;
        self.get(number)
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.things.get(number as usize)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.things.get_mut(number as usize)?.as_mut()
    }

    /// Takes in a thing, whose key nothing else has. Callers see to it that there are never more than
    /// [`MAX_THINGS`].
    pub(super) fn add(&mut self, thing: T) -> u32 {
        if 2 * (self.len() + 1) > self.slots.len() {
            self.grow();
        }
        let hash = self.hasher.hash_one(thing.key());
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                self.things.push(None);
                (self.things.len() - 1) as u32
            }
        };
        if let Some(place) = self.things.get_mut(number as usize) {
            *place = Some(thing);
        }
        self.put(hash, number);
        number
    }

    /// Takes out a thing; its number goes to a later one.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let hash = self.hash(number)?;
        let (place, _) = self.search(hash, |other| other == number)?;
        self.empty(place);
        self.free.push(number);
        self.things.get_mut(number as usize)?.take()
    }

    fn hash(&self, number: u32) -> Option<u64> {
        Some(self.hasher.hash_one(self.get(number)?.key()))
    }

    /// The place in the slots and the number of the thing with a hash that `is_it`.
    #[inline]
    fn search(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<(usize, u32)> {
        let mut place = self.home(hash);
        // There is always an empty slot, unless there is none at all.
        loop {
            let slot = *self.slots.get(place)?;
            if slot == EMPTY {
                return None;
            }
            if slot & TAG == tag(hash) && is_it(number(slot)) {
                return Some((place, number(slot)));
            }
            place = self.after(place);
        }
    }

    /// Where to look for a hash first.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & self.slots.len().wrapping_sub(1)
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    /// Writes a number into the first empty slot for its hash.
    fn put(&mut self, hash: u64, number: u32) {
        let mut place = self.home(hash);
        while self.slots.get(place).is_some_and(|&slot| slot != EMPTY) {
            place = self.after(place);
        }
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = tag(hash) | (number + 1);
        }
    }

    /// Empties a slot, and moves what follows it to where it is looked for.
    fn empty(&mut self, place: usize) {
        let mut gap = place;
        let mut next = self.after(place);
        while let Some(&slot) = self.slots.get(next)
            && slot != EMPTY
        {
            let home = self.hash(number(slot)).map_or(next, |it| self.home(it));
            let mask = self.slots.len() - 1;
            // Not if that lies behind the gap, where a search for it begins.
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(gap) & mask {
                self.slots.swap(gap, next);
                gap = next;
            }
            next = self.after(next);
        }
        // What was taken out has moved along with the gap.
        if let Some(slot) = self.slots.get_mut(gap) {
            *slot = EMPTY;
        }
    }

    /// Twice as many slots.
    fn grow(&mut self) {
        let slots = (2 * self.slots.len()).max(16);
        let filled = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        for slot in filled.into_iter().filter(|&slot| slot != EMPTY) {
            if let Some(hash) = self.hash(number(slot)) {
                self.put(hash, number(slot));
            }
        }
    }

    /// All things, in no order that means anything.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.things.iter().flatten()
    }
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 & TAG
}

/// The number in a slot that is not empty.
#[inline]
fn number(slot: u32) -> u32 {
    (slot & NUMBER) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed for Pair {
        fn key(&self) -> Pair {
            *self
        }
    }

    #[test]
    fn the_fullest_table_has_numbers_that_fit_into_a_slot() {
        let last = MAX_THINGS as u32 - 1;
        assert_eq!(number(tag(u64::MAX) | (last + 1)), last);
        assert_ne!(tag(0) | 1, EMPTY);
    }

    proptest! {
        #[test]
        fn what_was_added_and_not_removed_is_found(
            steps in prop::collection::vec((0u8..3, 0u128..100), 0..400),
        ) {
            let mut numbered = Numbered::default();
            let mut model: BTreeMap<Pair, u32> = BTreeMap::new();
            for (step, key) in steps {
                let key = (key % 7, key);
                match model.get(&key) {
                    Some(&number) if step == 0 => {
                        prop_assert_eq!(numbered.remove(number), Some(key));
                        model.remove(&key);
                    }
                    None if step > 0 => {
                        let number = numbered.add(key);
                        prop_assert!(model.values().all(|&other| other != number));
                        model.insert(key, number);
                    }
                    _ => {}
                }
                prop_assert_eq!(numbered.len(), model.len());
                prop_assert_eq!(numbered.all().count(), model.len());
                for key in 0..100 {
                    let key = (key % 7, key);
                    prop_assert_eq!(numbered.find(key), model.get(&key).copied());
                    let hash = numbered.hash_of(key);
                    prop_assert!(numbered.guess(hash).is_some() || !model.contains_key(&key));
                }
            }
        }
    }
}
