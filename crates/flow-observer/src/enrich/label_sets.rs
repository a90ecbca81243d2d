//! Sets of labels, each kept once, and the identity of each.
//!
//! An identity is computed from the labels ([`identity::of_labels`]). Where two sets come to one
//! number, one of them gets its next one, computed with another salt: the set that came there with
//! fewer salts stays, of two with equally many the one whose labels sort first. That is the rule of
//! proposals and refusals (Gale and Shapley), of which the outcome depends on the sets alone and not
//! on the order in which they come. So nodes that know the same sets give the same numbers.
//!
//! Where somebody else gives identities, as Cilium does, sets have the numbers that they were told to
//! have, and nobody else gets those.
//!
//! A set that comes later may so take a number from another, and gives it back when it goes. Flows
//! that were seen before keep the number that they have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::HashMap;

use super::identity;

/// Numbers that are tried for a set. Being refused even twice takes more sets than any cluster has.
/// After that, a set shares its first number with whoever has it.
const MAX_SALT: u8 = 16;

/// Labels, sorted.
pub(super) type Labels = Arc<[String]>;

/// The sets that are in use.
#[derive(Debug)]
pub(super) struct LabelSets {
    sets: HashMap<Labels, Set>,
    /// Who has a number, and with which salt.
    holders: HashMap<u32, (u8, Labels)>,
    /// Those that do not have their first number.
    refused: BTreeSet<Labels>,
    /// The numbers of sets, in use or not, that were told, and how often; the lowest one counts.
    told: HashMap<Labels, BTreeMap<u32, usize>>,
    /// How often a number was told.
    taken: HashMap<u32, usize>,
    /// Those that were refused may have a better number.
    is_unsettled: bool,
    /// Sets that have come to the number of another so far.
    collisions: u64,
    number: fn(&[String], u8) -> u32,
}

/// What is known of a set.
#[derive(Debug, Default)]
struct Set {
    /// Endpoints that have it.
    users: usize,
    /// Those of them whose identity nobody told.
    numbered: usize,
    /// Its identity, as long as one of them needs it.
    number: u32,
}

/// Sets that have another number now.
pub(super) type Renumbered = Vec<Labels>;

impl Default for LabelSets {
    fn default() -> Self {
        Self::numbered_by(identity::of_labels)
    }
}

impl LabelSets {
    /// With another way to come to numbers.
    pub(super) fn numbered_by(number: fn(&[String], u8) -> u32) -> Self {
        Self {
            sets: HashMap::default(),
            holders: HashMap::default(),
            refused: BTreeSet::new(),
            told: HashMap::default(),
            taken: HashMap::default(),
            is_unsettled: false,
            collisions: 0,
            number,
        }
    }

    /// Sets that have come to the number of another so far.
    pub(super) fn collisions(&self) -> u64 {
        self.collisions
    }

    /// The set that these labels, which are sorted, belong to; one more endpoint has it.
    pub(super) fn share(&mut self, labels: Vec<String>) -> Labels {
        let known = self.sets.get_key_value(labels.as_slice());
        let labels = known.map_or_else(|| labels.into(), |(known, _)| Arc::clone(known));
        self.sets.entry(Arc::clone(&labels)).or_default().users += 1;
        labels
    }

    /// The identity of a set that is in use; one more endpoint needs it.
    pub(super) fn number(&mut self, labels: &Labels, renumbered: &mut Renumbered) -> u32 {
        let set = self.sets.entry(Arc::clone(labels)).or_default();
        set.numbered += 1;
        if set.numbered == 1 {
            self.place(Arc::clone(labels), renumbered);
            // Nobody has it with another number.
            renumbered.retain(|it| it != labels);
        }
        self.number_of(labels)
    }

    /// The identity of a set that has one.
    pub(super) fn number_of(&self, labels: &Labels) -> u32 {
        self.sets.get(labels).map_or(0, |set| set.number)
    }

    /// One endpoint less has the set, which did or did not need its number.
    pub(super) fn release(
        &mut self,
        labels: &Labels,
        was_numbered: bool,
        renumbered: &mut Renumbered,
    ) {
        let Some(set) = self.sets.get_mut(labels) else {
            return;
        };
        set.users -= 1;
        set.numbered -= usize::from(was_numbered);
        let (is_unused, is_unnumbered) = (set.users == 0, set.numbered == 0);
        let number = set.number;
        if is_unused {
            self.sets.remove(labels);
        }
        if was_numbered && is_unnumbered {
            self.take_back(labels, number, renumbered);
        }
    }

    /// Somebody else gives these labels, which are sorted, this number.
    pub(super) fn tell(&mut self, labels: &Labels, number: u32, renumbered: &mut Renumbered) {
        let told = self.told.entry(Arc::clone(labels)).or_default();
        *told.entry(number).or_default() += 1;
        *self.taken.entry(number).or_default() += 1;
        // Who computed it gives it up.
        if let Some((_, holder)) = self.holders.remove(&number) {
            self.place(holder, renumbered);
        }
        self.place_anew(labels, renumbered);
    }

    /// Nobody gives these labels this number any more.
    pub(super) fn untell(&mut self, labels: &Labels, number: u32, renumbered: &mut Renumbered) {
        let Some(told) = self.told.get_mut(labels) else {
            return;
        };
        if let Some(count) = told.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                told.remove(&number);
            }
        }
        if told.is_empty() {
            self.told.remove(labels);
        }
        if let Some(count) = self.taken.get_mut(&number) {
            *count -= 1;
            if *count == 0 {
                self.taken.remove(&number);
            }
        }
        self.place_anew(labels, renumbered);
    }

    /// Finds the number of a set that was told another than before, if anybody needs it. Those that
    /// were refused wait for [`Self::settle`], since thousands may be told at once.
    fn place_anew(&mut self, labels: &Labels, renumbered: &mut Renumbered) {
        self.is_unsettled = true;
        if let Some(set) = self.sets.get(labels).filter(|set| set.numbered > 0) {
            self.give_up(labels, set.number);
            self.place(Arc::clone(labels), renumbered);
        }
    }

    /// Gives those that were refused the numbers that are free by now.
    pub(super) fn settle(&mut self, renumbered: &mut Renumbered) {
        if std::mem::take(&mut self.is_unsettled) {
            self.place_refused(renumbered);
        }
    }

    /// Finds a number for a set, and another one for whoever has to give it up.
    fn place(&mut self, labels: Labels, renumbered: &mut Renumbered) {
        let told = self.told.get(&labels).and_then(BTreeMap::first_key_value);
        if let Some((&number, _)) = told {
            self.set_number(&labels, number, renumbered);
            return;
        }
        let (mut salt, mut labels) = (0, labels);
        loop {
            let number = (self.number)(&labels, salt);
            if self.taken.contains_key(&number) {
                self.collisions += u64::from(salt == 0);
                self.refused.insert(Arc::clone(&labels));
                if salt == MAX_SALT {
                    self.share_first(&labels, renumbered);
                    return;
                }
                salt += 1;
                continue;
            }
            let Some(holder) = self.holders.get_mut(&number) else {
                self.holders.insert(number, (salt, Arc::clone(&labels)));
                self.set_number(&labels, number, renumbered);
                return;
            };
            if salt == 0 {
                self.collisions += 1;
            }
            if (salt, &labels) < (holder.0, &holder.1) {
                let (holder_salt, holder_labels) =
                    std::mem::replace(holder, (salt, Arc::clone(&labels)));
                self.set_number(&labels, number, renumbered);
                (salt, labels) = (holder_salt, holder_labels);
            }
            self.refused.insert(Arc::clone(&labels));
            if salt == MAX_SALT {
                self.share_first(&labels, renumbered);
                return;
            }
            salt += 1;
        }
    }

    fn share_first(&mut self, labels: &Labels, renumbered: &mut Renumbered) {
        let shared = (self.number)(labels, 0);
        self.set_number(labels, shared, renumbered);
    }

    /// A set needs its number no longer. Those that were refused may have been so because of it.
    fn take_back(&mut self, labels: &Labels, number: u32, renumbered: &mut Renumbered) {
        self.give_up(labels, number);
        self.place_refused(renumbered);
    }

    fn give_up(&mut self, labels: &Labels, number: u32) {
        let holder = self.holders.get(&number);
        if holder.is_some_and(|(_, it)| it == labels) {
            self.holders.remove(&number);
        }
        self.refused.remove(labels);
    }

    /// Some number is free again.
    fn place_refused(&mut self, renumbered: &mut Renumbered) {
        if self.refused.is_empty() {
            return;
        }
        // Rare, and there are far fewer sets than endpoints: from the beginning, without the set.
        self.holders.clear();
        self.refused.clear();
        let collisions = self.collisions;
        let numbered = self.sets.iter().filter(|(_, set)| set.numbered > 0);
        let sets: Vec<Labels> = numbered.map(|(labels, _)| Arc::clone(labels)).collect();
        for labels in sets {
            self.place(labels, renumbered);
        }
        self.collisions = collisions;
    }

    fn set_number(&mut self, labels: &Labels, number: u32, renumbered: &mut Renumbered) {
        if let Some(set) = self.sets.get_mut(labels)
            && set.number != number
        {
            set.number = number;
            renumbered.push(Arc::clone(labels));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So few numbers that sets come to each other's all the time.
    fn few(labels: &[String], salt: u8) -> u32 {
        256 + identity::of_labels(labels, salt) % 13
    }

    fn labels(number: u8) -> Vec<String> {
        vec![format!("k8s:app=app-{number}")]
    }

    fn numbers(sets: &LabelSets, of: impl IntoIterator<Item = u8>) -> BTreeMap<u8, u32> {
        of.into_iter()
            .map(|it| (it, sets.number_of(&labels(it).into())))
            .collect()
    }

    #[test]
    fn equal_labels_are_one_set_and_are_forgotten_with_the_last_who_has_them() {
        let (mut sets, mut renumbered) = (LabelSets::default(), Vec::new());
        let first = sets.share(labels(1));
        let second = sets.share(labels(1));
        assert!(Arc::ptr_eq(&first, &second));
        let number = sets.number(&first, &mut renumbered);
        assert_eq!(number, identity::of_labels(&first, 0));
        sets.release(&first, true, &mut renumbered);
        sets.release(&second, false, &mut renumbered);
        assert!(sets.sets.is_empty() && sets.holders.is_empty());
    }

    #[test]
    fn of_two_sets_with_one_number_the_first_in_order_keeps_it() {
        // All sets begin at the same number.
        let mut sets = LabelSets::numbered_by(|labels, salt| match salt {
            0 => 300,
            salt => few(labels, salt),
        });
        let mut renumbered = Vec::new();
        for it in [2, 1] {
            let shared = sets.share(labels(it));
            sets.number(&shared, &mut renumbered);
        }
        let (one, two): (Labels, Labels) = (labels(1).into(), labels(2).into());
        assert_eq!(sets.number_of(&one), 300, "it came later");
        assert_eq!(sets.number_of(&two), few(&two, 1));
        assert_eq!(sets.collisions(), 1);
        assert!(renumbered.contains(&two));
        sets.release(&one, true, &mut renumbered);
        assert_eq!(sets.number_of(&two), 300, "given back");
    }

    #[test]
    fn a_number_that_is_told_is_nobody_elses_until_it_is_taken_back() {
        let mut sets = LabelSets::numbered_by(|_, salt| 300 + u32::from(salt));
        let mut renumbered = Vec::new();
        let computed = sets.share(labels(1));
        assert_eq!(sets.number_of(&computed), 0, "nobody needs it");
        sets.number(&computed, &mut renumbered);
        assert_eq!(sets.number_of(&computed), 300);
        let told: Labels = labels(2).into();
        sets.tell(&told, 302, &mut renumbered);
        sets.tell(&told, 300, &mut renumbered);
        sets.settle(&mut renumbered);
        assert_eq!(sets.number_of(&computed), 301);
        let shared = sets.share(labels(2));
        sets.number(&shared, &mut renumbered);
        assert_eq!(sets.number_of(&shared), 300, "the lower one");
        sets.untell(&told, 300, &mut renumbered);
        sets.settle(&mut renumbered);
        assert_eq!(sets.number_of(&shared), 302);
        assert_eq!(sets.number_of(&computed), 300, "given back");
        sets.untell(&told, 302, &mut renumbered);
        assert!(sets.told.is_empty() && sets.taken.is_empty());
        assert_eq!(sets.number_of(&shared), 301);
    }

    proptest! {
        #[test]
        fn numbers_depend_on_the_sets_alone_and_are_different(
            first in Just((0..9_u8).collect::<Vec<_>>()).prop_shuffle(),
            second in Just((0..20_u8).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut renumbered = Vec::new();
            let mut some = LabelSets::numbered_by(few);
            for &it in &first {
                let shared = some.share(labels(it));
                some.number(&shared, &mut renumbered);
            }
            // More than there are numbers, and most of them gone again.
            let mut others = LabelSets::numbered_by(few);
            for &it in &second {
                let shared = others.share(labels(it));
                others.number(&shared, &mut renumbered);
            }
            for &it in second.iter().filter(|&&it| it >= 9) {
                others.release(&labels(it).into(), true, &mut renumbered);
            }
            let numbered = numbers(&some, 0..9);
            prop_assert_eq!(&numbered, &numbers(&others, 0..9));
            let distinct: BTreeSet<_> = numbered.values().collect();
            prop_assert_eq!(distinct.len(), 9);
        }
    }
}
