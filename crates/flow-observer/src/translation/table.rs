//! The translated connections that are known, found by the ends of a packet on either side of the
//! translation.

use std::sync::Arc;

use foldhash::HashMap;

use super::{Connection, Ends, Translation};

/// A bounded table of connections. When it is full, one that was not asked for lately makes room.
#[derive(Debug)]
pub(crate) struct Translations {
    capacity: usize,
    /// Two keys for each connection, or three where both its addresses are translated.
    index: HashMap<Connection, u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Where to look next for one to evict, round and round.
    hand: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Slot {
    /// `None` while it is free.
    translation: Option<Arc<Translation>>,
    /// Asked for since the hand was here.
    is_used: bool,
    /// When it was last confirmed, in the caller's counting.
    round: u32,
}

impl Translations {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            index: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            evicted: 0,
        }
    }

    /// How many connections there are.
    #[cfg(any(feature = "probes", test))]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many had to make room.
    #[cfg(any(feature = "probes", test))]
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The connection of a packet with these ends, on either side of the translation or between.
    pub(crate) fn find(&mut self, protocol: u8, ends: &Ends) -> Option<&Arc<Translation>> {
        if self.index.is_empty() {
            return None;
        }
        let at = *self.index.get(&Connection::between(protocol, ends))?;
        let slot = self.slots.get_mut(at as usize)?;
        slot.is_used = true;
        slot.translation.as_ref()
    }

    /// Adds a connection, or notes that it is still there. One that had the same ends is over.
    /// Tells whether it was added.
    pub(crate) fn insert(&mut self, translation: Translation, round: u32) -> bool {
        let keys = translation.keys();
        if let Some(&at) = self.index.get(&keys[0])
            && let Some(slot) = self.slots.get_mut(at as usize)
            && slot.translation.as_deref() == Some(&translation)
        {
            slot.round = round;
            return false;
        }
        for key in &keys {
            if let Some(&at) = self.index.get(key) {
                self.vacate(at);
            }
        }
        let slot = Slot {
            translation: Some(Arc::new(translation)),
            is_used: false,
            round,
        };
        let Some(at) = self.room() else { return false };
        match self.slots.get_mut(at as usize) {
            Some(vacant) => *vacant = slot,
            None => self.slots.push(slot),
        }
        for key in keys {
            self.index.insert(key, at);
        }
        true
    }

    /// Takes out the connection that has these original ends.
    pub(crate) fn remove(&mut self, protocol: u8, original: &Ends) -> Option<Arc<Translation>> {
        let at = *self.index.get(&Connection::between(protocol, original))?;
        self.vacate(at)
    }

    /// Takes out what was not confirmed since before `round`.
    #[cfg(any(feature = "probes", test))]
    pub(crate) fn remove_unless(&mut self, round: u32) {
        for at in 0..self.slots.len() {
            if self.slots[at].round != round {
                self.vacate(at as u32);
            }
        }
    }

    /// A slot to write to: the next one of `slots`, or one that is free.
    fn room(&mut self) -> Option<u32> {
        if let Some(at) = self.free.pop() {
            return Some(at);
        }
        if self.slots.len() < self.capacity {
            return u32::try_from(self.slots.len()).ok();
        }
        // Each is passed once at most before its mark is gone, so this ends in the second round.
        loop {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let slot = self.slots.get_mut(self.hand)?;
            if !slot.is_used {
                break;
            }
            slot.is_used = false;
        }
        self.evicted += 1;
        self.vacate(self.hand as u32);
        self.free.pop()
    }

    fn vacate(&mut self, at: u32) -> Option<Arc<Translation>> {
        let slot = self.slots.get_mut(at as usize)?;
        let translation = slot.translation.take()?;
        for key in translation.keys() {
            self.index.remove(&key);
        }
        self.free.push(at);
        Some(translation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translation::{End, TCP};

    fn ends(source: u16, destination: [u8; 4]) -> Ends {
        Ends {
            source: End {
                ip: [10, 0, 0, 1].into(),
                port: source,
            },
            destination: End {
                ip: destination.into(),
                port: 80,
            },
        }
    }

    /// From a client's port to a service, and so to its backend.
    fn translation(port: u16) -> Translation {
        Translation {
            protocol: TCP,
            original: ends(port, [10, 96, 0, 1]),
            translated: ends(port, [10, 0, 0, 2]),
            socket_cookie: 0,
        }
    }

    fn knows(table: &mut Translations, port: u16) -> bool {
        let wanted = translation(port);
        let mut found = [wanted.original, wanted.translated]
            .map(|ends| [ends, ends.reversed()])
            .concat()
            .into_iter()
            .map(|ends| table.find(TCP, &ends).is_some());
        let first = found.next().unwrap();
        assert!(found.all(|it| it == first), "known on one side only");
        first
    }

    #[test]
    fn a_connection_is_found_on_both_sides_and_in_both_directions_until_it_is_over() {
        let mut table = Translations::with_capacity(4);
        table.insert(translation(1), 0);
        assert!(knows(&mut table, 1) && !knows(&mut table, 2));
        let taken = table.remove(TCP, &translation(1).original).unwrap();
        assert_eq!(*taken, translation(1));
        assert!(!knows(&mut table, 1) && table.len() == 0);
    }

    #[test]
    fn the_same_ends_again_are_another_connection() {
        let mut table = Translations::with_capacity(4);
        table.insert(translation(1), 0);
        let other = Translation {
            translated: ends(1, [10, 0, 0, 3]),
            ..translation(1)
        };
        table.insert(other, 0);
        assert_eq!(table.len(), 1);
        assert!(table.find(TCP, &translation(1).translated).is_none());
        assert_eq!(table.find(TCP, &other.original).map(|it| **it), Some(other));
    }

    #[test]
    fn a_full_table_forgets_what_nobody_asked_for_and_counts_it() {
        let mut table = Translations::with_capacity(4);
        for port in 1..100 {
            table.insert(translation(port), 0);
            assert!(knows(&mut table, 1), "after {port}");
        }
        assert_eq!((table.len(), table.evicted()), (4, 95));
        assert_eq!(table.index.len(), 8);
    }

    #[test]
    fn what_a_new_look_does_not_find_is_over() {
        let mut table = Translations::with_capacity(4);
        table.insert(translation(1), 0);
        table.insert(translation(2), 0);
        table.insert(translation(2), 1);
        table.remove_unless(1);
        assert!(!knows(&mut table, 1) && knows(&mut table, 2));
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_it_is_as_large_as_allowed_and_finds_what_it_has(
            steps in proptest::collection::vec((0u16..12, 0u8..3), 0..200)
        ) {
            let mut table = Translations::with_capacity(5);
            for (port, step) in steps {
                match step {
                    0 => drop(table.remove(TCP, &translation(port).original)),
                    _ => drop(table.insert(translation(port), 0)),
                }
                if step > 0 {
                    assert!(knows(&mut table, port));
                }
                let live: Vec<_> = table.slots.iter().filter_map(|it| it.translation.clone()).collect();
                assert!(live.len() <= 5 && table.len() == live.len() && table.index.len() == 2 * live.len());
                for translation in live {
                    assert_eq!(table.find(TCP, &translation.original), Some(&translation));
                }
            }
        }
    }
}
