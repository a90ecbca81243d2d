//! Values of labels: what tells a series from others.

use std::{
    fmt,
    hash::BuildHasher as _,
    sync::{Arc, LazyLock},
};

use foldhash::quality::RandomState;

/// Ends a value. No text has this byte.
pub(super) const END: u8 = 0xff;

/// Values of labels, in the order of their metric: those of its contexts, then its own. Used again for
/// each flow.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Its own; all, where contexts are [not shared](Self::begin).
    own: Vec<u8>,
    /// Whether those of the contexts are before them.
    has_contexts: bool,
    /// Which contexts these are.
    group: usize,
    /// What contexts say of the flow at hand: several metrics have the same.
    told: Vec<Told>,
}

/// What contexts say of a flow, as far as somebody asked.
#[derive(Clone, Debug, Default)]
struct Told {
    values: Vec<u8>,
    fingerprint: u128,
    is_known: bool,
}

impl Values {
    /// Another flow begins. There are so many different contexts.
    pub(crate) fn begin(&mut self, groups: usize) {
        self.told.resize_with(groups, Told::default);
        self.told.iter_mut().for_each(|told| told.is_known = false);
    }

    /// A metric begins, whose contexts are those with this number.
    pub(crate) fn choose(&mut self, group: usize) {
        self.group = group;
    }

    /// Begins with what contexts say, which `put` finds out if no metric did before.
    pub(crate) fn begin_with(&mut self, put: impl FnOnce(&mut Self)) {
        debug_assert!(self.own.is_empty(), "contexts come first");
        match self.told.get(self.group) {
            Some(told) if told.is_known => {}
            Some(_) => {
                put(self);
                let told = &mut self.told[self.group];
                std::mem::swap(&mut told.values, &mut self.own);
                self.own.clear();
                told.fingerprint = fingerprint(0, &told.values);
                told.is_known = true;
            }
            None => return put(self),
        }
        self.has_contexts = true;
    }

    /// None yet.
    pub(crate) fn clear(&mut self) {
        self.own.clear();
        self.has_contexts = false;
    }

    /// Those of the contexts, if they are apart.
    fn told(&self) -> Option<&Told> {
        self.told.get(self.group).filter(|_| self.has_contexts)
    }

    /// Tells them from all others.
    pub(super) fn fingerprint(&self) -> u128 {
        fingerprint(self.told().map_or(0, |told| told.fingerprint), &self.own)
    }

    /// All of them.
    pub(super) fn key(&self) -> Arc<[u8]> {
        let contexts = self.told().map_or(&[][..], |told| &told.values);
        [contexts, &self.own].concat().into()
    }

    /// Where the next value of its own begins.
    pub(crate) fn len(&self) -> usize {
        self.own.len()
    }

    /// Forgets all behind this place.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.own.truncate(len);
    }

    /// Part of a value.
    pub(crate) fn add(&mut self, part: &str) {
        self.own.extend_from_slice(part.as_bytes());
    }

    /// Ends a value.
    pub(crate) fn end(&mut self) {
        self.own.push(END);
    }

    /// A whole value.
    pub(crate) fn push(&mut self, value: &str) {
        self.add(value);
        self.end();
    }

    /// A whole value that is a number.
    pub(crate) fn number(&mut self, mut number: u16) {
        let mut digits = [0; 5];
        let mut begin = digits.len();
        loop {
            begin -= 1;
            digits[begin] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.own.extend_from_slice(&digits[begin..]);
        self.end();
    }

    /// Part of a value that is no text yet.
    pub(crate) fn write(&mut self, part: impl fmt::Display) {
        use std::io::Write as _;
        // Writing to a vector cannot fail.
        drop(write!(self.own, "{part}"));
    }

    /// A whole value that is no text yet.
    pub(crate) fn print(&mut self, value: impl fmt::Display) {
        self.write(value);
        self.end();
    }

    /// Part of a value: those of a list, with commas between them.
    pub(crate) fn join<'a>(&mut self, parts: impl IntoIterator<Item = &'a str>) {
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                self.add(",");
            }
            self.add(part);
        }
    }
}

/// Two keys of a process, so that nobody outside can make two series one.
static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);

/// What tells these bytes, behind those of another fingerprint, from all others: by chance, two of a
/// million series are the same once in 10^26 times. Series are found by it alone, which spares looking at
/// their values, somewhere else in memory.
fn fingerprint(before: u128, bytes: &[u8]) -> u128 {
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one((before, bytes)));
    u128::from(high) << 64 | u128::from(low)
}
