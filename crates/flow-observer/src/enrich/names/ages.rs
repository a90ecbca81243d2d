//! Which of many things is the oldest: lists through one array.
//!
//! Each item is in two lists at once, that of its owner and that of all. Moving and taking out cost
//! the same however long they are.

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

/// The items of all lists.
#[derive(Debug)]
pub(super) struct Ages<T> {
    items: Vec<Item<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Item<T> {
    value: T,
    links: [Link; 2],
}

#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

impl<T> Default for Ages<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T: Copy> Ages<T> {
    /// An item that is in no list yet. Never more than `u32` can number: callers bound their lists.
    pub(super) fn add(&mut self, value: T) -> u32 {
        let item = Item {
            value,
            links: [Link {
                older: NONE,
                newer: NONE,
            }; 2],
        };
        if let Some(index) = self.free.pop()
            && let Some(place) = self.items.get_mut(index as usize)
        {
            *place = item;
            return index;
        }
        self.items.push(item);
        (self.items.len() - 1) as u32
    }

    /// Gives the place of an item, which is in no list any more, to a later one.
    pub(super) fn free(&mut self, index: u32) {
        self.free.push(index);
    }

    pub(super) fn value(&self, index: u32) -> Option<T> {
        Some(self.items.get(index as usize)?.value)
    }

    /// Makes an item the newest of a list that it is not in.
    pub(super) fn push(&mut self, kind: Kind, list: &mut List, index: u32) {
        let older = list.last;
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
        let item = self.items.get_mut(index as usize)?;
        item.links.get_mut(kind as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn listed(ages: &mut Ages<u8>, list: &List) -> Vec<u8> {
        let mut values = Vec::new();
        let mut next = list.first;
        while let Some(value) = ages.value(next) {
            values.push(value);
            next = ages.link(Kind::All, next).unwrap().newer;
        }
        values
    }

    proptest! {
        #[test]
        fn a_list_is_as_a_queue(steps in prop::collection::vec((0u8..3, any::<prop::sample::Index>()), 0..60)) {
            let (mut ages, mut list) = (Ages::default(), List::default());
            let mut model: VecDeque<(u32, u8)> = VecDeque::new();
            for (number, (step, which)) in (0u8..).zip(steps) {
                if step == 0 || model.is_empty() {
                    let index = ages.add(number);
                    ages.push(Kind::All, &mut list, index);
                    model.push_back((index, number));
                } else {
                    let (index, value) = model.remove(which.index(model.len())).unwrap();
                    if step == 1 {
                        ages.remove(Kind::All, &mut list, index);
                        ages.free(index);
                    } else {
                        ages.renew(Kind::All, &mut list, index);
                        model.push_back((index, value));
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.first(), model.front().map(|(index, _)| *index));
                let values: Vec<u8> = model.iter().map(|(_, value)| *value).collect();
                prop_assert_eq!(listed(&mut ages, &list), values);
            }
        }
    }
}
