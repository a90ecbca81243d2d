//! An immutable map of which changed versions are cheap.
//!
//! Entries are spread over shards; a changed map shares with the one before it all shards in which
//! nothing changed. A shard is a table in one piece, never changed and half empty, so that a look-up
//! takes two reads that depend on each other, and what is not there is missed soon.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::facts::Port;

/// What can be looked up.
pub(super) trait Word: Copy + Ord {
    /// All of it, in numbers.
    fn words(self) -> [u64; 2];
}

impl Word for Ipv4Addr {
    fn words(self) -> [u64; 2] {
        [self.to_bits().into(), 0]
    }
}

impl Word for Ipv6Addr {
    fn words(self) -> [u64; 2] {
        let bits = self.to_bits();
        [(bits >> 64) as u64, bits as u64]
    }
}

impl Word for Port {
    fn words(self) -> [u64; 2] {
        let [high, low] = match self.ip {
            std::net::IpAddr::V4(ip) => ip.words(),
            std::net::IpAddr::V6(ip) => ip.words(),
        };
        let port = u64::from(self.protocol) << 16 | u64::from(self.port);
        // Not in the low bits, in which addresses differ.
        [high, low.wrapping_add(port << 40)]
    }
}

/// The map. Cloning it is cheap.
#[derive(Clone, Debug)]
pub(super) struct Shards<K, V> {
    /// As many as a power of two.
    shards: Arc<[Shard<K, V>]>,
    len: usize,
    /// Different in each agent: some of what is looked up is chosen by users of the cluster, who
    /// should not be able to put it all into one place.
    seeds: [u64; 2],
}

type Shard<K, V> = Arc<[Option<(K, V)>]>;

impl<K: Word, V: Clone> Shards<K, V> {
    /// Nothing, to be spread over so many shards, a power of two.
    pub(super) fn new(shards: usize) -> Self {
        let nothing: Shard<K, V> = Arc::new([]);
        Self {
            shards: vec![nothing; shards.next_power_of_two()].into(),
            len: 0,
            seeds: rand::random(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        self.get_hashed(key, self.hash(key))
    }

    /// The same with the hash of the key, which does not go by any other map's.
    #[inline]
    pub(super) fn get_hashed(&self, key: K, hash: u64) -> Option<&V> {
        let shard = &*self.shards[self.shard(hash)];
        let mut slot = first_slot(hash, shard.len());
        // There is always an empty slot, unless there is none at all.
        while let Some((there, value)) = shard.get(slot)? {
            if *there == key {
                return Some(value);
            }
            slot += 1;
            if slot == shard.len() {
                slot = 0;
            }
        }
        None
    }

    /// Reads where the search for a hash begins. Whoever is to search for many lets the memory of
    /// all come at once. Whether something is there.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> bool {
        let shard = &*self.shards[self.shard(hash)];
        let slot = first_slot(hash, shard.len());
        matches!(shard.get(slot), Some(Some(_)))
    }

    /// The map with these entries set or, for `None`, removed. No key may come twice.
    pub(super) fn with(&self, changes: impl IntoIterator<Item = (K, Option<V>)>) -> Self {
        let mut changes: Vec<_> = changes
            .into_iter()
            .map(|(key, value)| (self.shard(self.hash(key)), key, value))
            .collect();
        changes.sort_unstable_by_key(|&(shard, key, _)| (shard, key));
        let mut shards = self.shards.to_vec();
        let mut len = self.len;
        for changes in changes.chunk_by(|one, other| one.0 == other.0) {
            let shard = &mut shards[changes[0].0];
            len -= entries(shard);
            *shard = self.changed(shard, changes);
            len += entries(shard);
        }
        Self {
            shards: shards.into(),
            len,
            seeds: self.seeds,
        }
    }

    /// A shard with changes, which are sorted by key.
    fn changed(&self, shard: &Shard<K, V>, changes: &[(usize, K, Option<V>)]) -> Shard<K, V> {
        let is_changed = |key: &K| changes.binary_search_by(|it| it.1.cmp(key)).is_ok();
        let kept = shard.iter().flatten().filter(|(key, _)| !is_changed(key));
        let set = changes
            .iter()
            .filter_map(|(_, key, value)| Some((*key, value.clone()?)));
        let entries: Vec<(K, V)> = kept.cloned().chain(set).collect();
        let mut slots: Vec<Option<(K, V)>> = Vec::new();
        slots.resize_with(2 * entries.len(), || None);
        for entry in entries {
            let mut slot = first_slot(self.hash(entry.0), slots.len());
            while slots[slot].is_some() {
                slot = (slot + 1) % slots.len();
            }
            slots[slot] = Some(entry);
        }
        slots.into()
    }

    /// The shard of a hash: by its high bits, since the slot goes by the low ones.
    fn shard(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.shards.len() - 1)
    }

    /// Both halves of a product, which depend on all bits of what is multiplied.
    #[inline]
    pub(super) fn hash(&self, key: K) -> u64 {
        let [high, low] = key.words();
        let product = u128::from(high ^ self.seeds[0]) * u128::from(low ^ self.seeds[1]);
        (product >> 64) as u64 ^ product as u64
    }
}

/// How many entries a shard has: half of its slots are empty.
fn entries<K, V>(shard: &Shard<K, V>) -> usize {
    shard.len() / 2
}

/// Where to look first in so many slots.
fn first_slot(hash: u64, slots: usize) -> usize {
    // The low half of the hash, taken as a fraction of one.
    (((hash & 0xffff_ffff) * slots as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_changed_map_is_what_a_plain_one_would_be_and_the_old_one_stays_as_it_was(
            rounds in prop::collection::vec(
                prop::collection::btree_map(0_u32..200, prop::option::of(0_u8..9), 0..60),
                1..8,
            ),
            shards in prop::sample::select(vec![1_usize, 4, 64]),
        ) {
            let mut plain = BTreeMap::new();
            let mut map = Shards::new(shards);
            for changes in rounds {
                let (before, plain_before) = (map.clone(), plain.clone());
                for (&key, &value) in &changes {
                    match value {
                        Some(value) => drop(plain.insert(key, value)),
                        None => drop(plain.remove(&key)),
                    }
                }
                map = map.with(changes.into_iter().map(|(key, value)| (Ipv4Addr::from(key), value)));
                for (map, plain) in [(&before, &plain_before), (&map, &plain)] {
                    let entries = map.shards.iter().flat_map(|shard| shard.iter().flatten());
                    prop_assert_eq!(entries.count(), plain.len());
                    prop_assert_eq!(map.len(), plain.len());
                    for key in 0..200 {
                        prop_assert_eq!(map.get(Ipv4Addr::from(key)), plain.get(&key));
                    }
                }
            }
        }
    }

    #[test]
    fn a_change_leaves_all_other_shards_where_they_are() {
        let ips = (0..10_000_u32).map(Ipv4Addr::from);
        let map = Shards::new(64).with(ips.map(|ip| (ip, Some(()))));
        let changed = map.with([(Ipv4Addr::from(77), None)]);
        let moved = map.shards.iter().zip(&*changed.shards);
        let moved = moved.filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(moved.count(), 1);
        let fullest = map.shards.iter().map(|shard| shard.len()).max();
        assert!(fullest < Some(2 * 3 * 10_000 / 64), "{fullest:?}");
    }

    #[test]
    fn ports_of_one_address_are_told_apart() {
        let port = |port, protocol| Port {
            ip: [10, 0, 0, 1].into(),
            protocol,
            port,
        };
        let map = Shards::new(4).with([(port(80, 6), Some('a')), (port(80, 17), Some('b'))]);
        assert_eq!(map.get(port(80, 6)), Some(&'a'));
        assert_eq!(map.get(port(80, 17)), Some(&'b'));
        assert_eq!(map.get(port(81, 6)), None);
    }
}
