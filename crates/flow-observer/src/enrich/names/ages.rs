//! Which of many things is the oldest: lists through one array.
//!
//! Each item has a number, and is in two lists at once: that of its owner and that of all. Moving and
//! taking out cost the same however long they are. Numbers should be small: the array has a place for
//! each one up to the largest.

/// No item.
const NONE: u32 = u32::MAX;

/// A list, oldest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            len: 0,
        }
    }
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The oldest item.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

/// Which of the two lists an item is in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Owner = 0,
    All = 1,
}

/// The items of all lists, by number.
#[derive(Debug, Default)]
pub(super) struct Ages {
    items: Vec<[Link; 2]>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

/// Of an item that is in no list.
const UNLINKED: [Link; 2] = [Link {
    older: NONE,
    newer: NONE,
}; 2];

impl Ages {
    /// Makes an item the newest of a list that it is not in.
    pub(super) fn push(&mut self, kind: Kind, list: &mut List, index: u32) {
        let older = list.last;
        if self.items.len() <= index as usize {
            self.items.resize(index as usize + 1, UNLINKED);
        }
        if let Some(link) = self.link(kind, index) {
            *link = Link { older, newer: NONE };
        }
        match self.link(kind, older) {
            Some(link) => link.newer = index,
            None => list.first = index,
        }
        list.last = index;
        list.len += 1;
    }

    /// Takes an item out of a list that it is in.
    pub(super) fn remove(&mut self, kind: Kind, list: &mut List, index: u32) {
        let Some(&mut Link { older, newer }) = self.link(kind, index) else {
            return;
        };
        match self.link(kind, older) {
            Some(link) => link.newer = newer,
            None => list.first = newer,
        }
        match self.link(kind, newer) {
            Some(link) => link.older = older,
            None => list.last = older,
        }
        list.len -= 1;
    }

    /// Makes an item of a list its newest.
    pub(super) fn renew(&mut self, kind: Kind, list: &mut List, index: u32) {
        if list.last != index {
            self.remove(kind, list, index);
            self.push(kind, list, index);
        }
    }

    fn link(&mut self, kind: Kind, index: u32) -> Option<&mut Link> {
        self.items.get_mut(index as usize)?.get_mut(kind as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn listed(ages: &mut Ages, list: &List) -> Vec<u32> {
        let mut items = Vec::new();
        let mut next = list.first;
        while next != NONE {
            items.push(next);
            next = ages.link(Kind::All, next).unwrap().newer;
        }
        items
    }

    proptest! {
        #[test]
        fn a_list_is_as_a_queue(steps in prop::collection::vec((0u8..3, any::<prop::sample::Index>()), 0..60)) {
            let (mut ages, mut list) = (Ages::default(), List::default());
            let mut model: VecDeque<u32> = VecDeque::new();
            for (number, (step, which)) in (0u32..).zip(steps) {
                if step == 0 || model.is_empty() {
                    ages.push(Kind::All, &mut list, number);
                    model.push_back(number);
                } else {
                    let item = model.remove(which.index(model.len())).unwrap();
                    if step == 1 {
                        ages.remove(Kind::All, &mut list, item);
                    } else {
                        ages.renew(Kind::All, &mut list, item);
                        model.push_back(item);
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.first(), model.front().copied());
                prop_assert_eq!(listed(&mut ages, &list), Vec::from(model.clone()));
            }
        }
    }
}
