//! The names themselves: by who asked and which address.
//!
//! A look-up reads a slot of a hash table, and where there is something, one line of memory and the
//! count of the names that it hands out. What is needed only to learn and to forget lies elsewhere.
//!
//! A name holds for as long as its server said, but at least an hour and at most a day: programs go
//! on using an address that they know, whatever its server said. After that, an address keeps its
//! names as long as flows use it: three hours, as long as the probes remember a silent connection,
//! after the last one.

use std::{net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::{
    ages::{Ages, Kind, List},
    numbered::{Keyed, MAX_THINGS, Numbered, Pair},
    peers::Peers,
    texts::Texts,
};
use crate::record::{Endpoint, Name, NameOrigin, Names};

/// Addresses with names in all, about 250 bytes each with a name of its own: a quarter of a gigabyte
/// at the most.
const MAX_ADDRESSES: usize = 1 << 20;
const _: () = assert!(MAX_ADDRESSES <= MAX_THINGS);
/// Addresses that one asker may know: more than a crawler needs within minutes, and few enough that
/// it takes hundreds of askers to push out the names of others.
const MAX_ADDRESSES_PER_ASKER: usize = 4_096;
/// Names of one address, as one asker knows it. Addresses of large providers have thousands; those
/// that were told last are the ones that matter.
const MAX_NAMES_PER_ADDRESS: usize = 8;
/// Addresses that are in use are passed over when one is to be forgotten, but not more than so many.
const MAX_PASSED_OVER: usize = 16;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// A name holds for at least so long.
const HOLD_MIN_NS: i64 = HOUR_NS;
/// And for at most so long, whatever its server says. It is dropped then, if another name of the
/// address is told.
const HOLD_MAX_NS: i64 = 24 * HOUR_NS;
/// An address keeps its names for so long after its last flow.
const GRACE_NS: i64 = 3 * HOUR_NS;
/// What was told again within this time is not written again: a packet is seen at several places.
const SAME_NS: i64 = SECOND_NS;
/// Uses are noted no more often than this.
const USE_EVERY_NS: i64 = 60 * SECOND_NS;

/// Something that was told.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) asker: IpAddr,
    pub(super) address: IpAddr,
    pub(super) name: &'a str,
    pub(super) origin: NameOrigin,
    pub(super) at_ns: i64,
    pub(super) ttl_seconds: u32,
}

/// Why an address was forgotten before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Bound {
    Asker,
    All,
}

impl Bound {
    /// A short name for counters.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Asker => "too_many_of_one",
            Self::All => "too_many",
        }
    }
}

/// What an asker knows of an address; in one line of the processor's caches.
#[derive(Debug)]
#[repr(align(64))]
pub(in crate::enrich) struct Known {
    pair: Pair,
    /// Those that were told, the latest first; then those that always hold, once they were asked
    /// for.
    names: Arc<Names>,
    /// The peer that it is by name, once it was asked for.
    peer: Option<Arc<Endpoint>>,
    /// It was asked for, whether there is one or not.
    has_peer: bool,
    until_ns: i64,
    /// A flow used it since it became the newest.
    is_used: bool,
    has_fixed: bool,
}

const _: () = assert!(size_of::<Option<Known>>() == 64);

impl Keyed for Known {
    #[inline]
    fn key(&self) -> Pair {
        self.pair
    }
}

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Table {
    known: Numbered<Known>,
    /// By the number of what is known.
    ages: Ages,
    askers: HashMap<u128, List>,
    all: List,
    texts: Texts,
    peers: Peers,
}

impl Known {
    /// The name by which a peer has an identity. A `Host` header alone gives none: programs write
    /// into it what they like.
    fn peer_name(&self) -> Option<&Arc<str>> {
        let mut names = self.names.all.iter();
        names
            .find(|name| {
                matches!(
                    name.origin,
                    NameOrigin::Dns | NameOrigin::Tls | NameOrigin::Quic
                )
            })
            .map(|name| &name.text)
    }

    /// Asks for the memory of what a look-up hands out: its counters are written there. How many
    /// hold it.
    #[inline]
    pub(in crate::enrich) fn touch(&self) -> usize {
        Arc::strong_count(&self.names) + self.peer.as_ref().map_or(0, Arc::strong_count)
    }

    /// Puts the names that always hold behind those that were told. There are seldom any, and they
    /// hardly ever change.
    fn put_fixed(&mut self, fixed: &[Name]) {
        let told = told(&self.names);
        let is_same = self.names.all.get(told..).is_some_and(|it| it == fixed);
        if !is_same {
            let told = self.names.all.iter().take(told);
            let all = told.chain(fixed).cloned().collect();
            self.names = Arc::new(Names { all });
        }
        self.has_fixed = !fixed.is_empty();
    }
}

/// How many of the names were told; the others, behind them, always hold.
fn told(names: &Names) -> usize {
    let is_told = |name: &&Name| name.origin != NameOrigin::Inventory;
    names.all.iter().take_while(is_told).count()
}

impl Table {
    /// Learns a name. Returns which bound another address was forgotten for, if any.
    pub(super) fn tell(&mut self, told: &Told<'_>) -> Option<Bound> {
        let hold_ns = i64::from(told.ttl_seconds) * SECOND_NS;
        let until_ns = told
            .at_ns
            .saturating_add(hold_ns.clamp(HOLD_MIN_NS, HOLD_MAX_NS));
        let pair = (bits(told.asker), bits(told.address));
        if let Some(number) = self.known.find(pair) {
            self.tell_again(number, told, until_ns);
            return None;
        }
        self.forget_old(told.at_ns);
        let forgotten = self.make_room(pair.0);
        let name = Name {
            text: self.texts.share(told.name),
            origin: told.origin,
            told_ns: told.at_ns,
        };
        let number = self.known.add(Known {
            pair,
            names: Arc::new(Names { all: vec![name] }),
            peer: None,
            has_peer: false,
            until_ns,
            is_used: false,
            has_fixed: false,
        });
        let asker = self.askers.entry(pair.0).or_default();
        self.ages.push(Kind::Owner, asker, number);
        self.ages.push(Kind::All, &mut self.all, number);
        forgotten
    }

    fn tell_again(&mut self, number: u32, told: &Told<'_>, until_ns: i64) {
        let Some(known) = self.known.get_mut(number) else {
            return;
        };
        known.until_ns = known.until_ns.max(until_ns);
        // What a header repeats is as well known as before.
        let same = known.names.all.iter().find(|it| *it.text == *told.name);
        let origin = match (same, told.origin) {
            (Some(same), NameOrigin::Http) if same.origin != NameOrigin::Inventory => same.origin,
            (_, told) => told,
        };
        let first = known.names.all.first();
        if first.is_some_and(|first| {
            *first.text == *told.name
                && first.origin == origin
                && told.at_ns.saturating_sub(first.told_ns) < SAME_NS
        }) {
            return;
        }
        let oldest_ns = told.at_ns.saturating_sub(HOLD_MAX_NS);
        let others = known.names.all.iter().filter(|name| {
            *name.text != *told.name
                && name.told_ns >= oldest_ns
                && name.origin != NameOrigin::Inventory
        });
        let others = others.take(MAX_NAMES_PER_ADDRESS - 1).cloned();
        let name = Name {
            text: self.texts.share(told.name),
            origin,
            told_ns: told.at_ns,
        };
        known.names = Arc::new(Names {
            all: std::iter::once(name).chain(others).collect(),
        });
        known.has_fixed = false;
        known.peer = None;
        known.has_peer = false;
        known.is_used = false;
        let asker = known.pair.0;
        self.renew(asker, number);
    }

    /// The names of an address as an asker knows them, and behind them the `fixed` ones, which
    /// always hold; and the peer that it is by name, if it is `world` otherwise. Notes that the
    /// address is in use.
    #[inline]
    pub(super) fn find(
        &mut self,
        asker: IpAddr,
        address: IpAddr,
        now_ns: i64,
        fixed: Option<&Arc<Names>>,
        world: Option<&Endpoint>,
    ) -> Option<(Arc<Names>, Option<Arc<Endpoint>>)> {
        let number = self.known.find((bits(asker), bits(address)))?;
        let known = match self.known.get_mut(number) {
            Some(known) if now_ns <= known.until_ns => known,
            _ => {
                self.forget(number);
                return None;
            }
        };
        // Written only where it makes a difference: others than the one that reads it pay for it.
        let keep_until_ns = now_ns.saturating_add(GRACE_NS);
        if keep_until_ns.saturating_sub(known.until_ns) > USE_EVERY_NS {
            known.until_ns = keep_until_ns;
        }
        if !known.is_used {
            known.is_used = true;
        }
        if known.has_fixed || fixed.is_some() {
            known.put_fixed(fixed.map_or(&[], |names| &names.all));
        }
        if let Some(world) = world
            && !known.has_peer
        {
            let name = known.peer_name();
            known.peer = name.and_then(|name| self.peers.peer(name, world));
            known.has_peer = true;
        }
        let peer = world.and_then(|_| known.peer.clone());
        Some((Arc::clone(&known.names), peer))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Where the names of an address are looked for, as an asker knows it.
    #[inline]
    pub(super) fn hash(&self, asker: IpAddr, address: IpAddr) -> u64 {
        self.known.hash_of((bits(asker), bits(address)))
    }

    /// Asks for the memory in which the look-up of a hash begins. Whether there is something.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> bool {
        self.known.touch(hash)
    }

    /// What is probably meant by a hash.
    #[inline]
    pub(super) fn guess(&self, hash: u64) -> Option<&Known> {
        self.known.guess(hash)
    }

    /// Forgets some of what is over, so that memory that was needed once is not held for ever.
    fn forget_old(&mut self, now_ns: i64) {
        // Two go for each that comes.
        for _ in 0..2 {
            let Some(number) = self.all.first() else {
                return;
            };
            match self.known.get_mut(number) {
                Some(known) if now_ns > known.until_ns => self.forget(number),
                Some(known) if known.is_used => {
                    known.is_used = false;
                    let asker = known.pair.0;
                    self.renew(asker, number);
                }
                _ => return,
            }
        }
    }

    /// Makes room for one more address of an asker.
    fn make_room(&mut self, asker: u128) -> Option<Bound> {
        let has_room =
            |list: Option<&List>| list.is_none_or(|list| list.len() < MAX_ADDRESSES_PER_ASKER);
        if !has_room(self.askers.get(&asker)) {
            self.forget_oldest(|table| table.askers.get(&asker).copied());
            return Some(Bound::Asker);
        }
        if self.all.len() >= MAX_ADDRESSES {
            self.forget_oldest(|table| Some(table.all));
            return Some(Bound::All);
        }
        None
    }

    /// Forgets the oldest address of a list that no flow used lately.
    fn forget_oldest(&mut self, list: impl Fn(&Self) -> Option<List>) {
        for passed_over in 0.. {
            let Some(number) = list(self).and_then(|list| list.first()) else {
                return;
            };
            match self.known.get_mut(number) {
                Some(known) if known.is_used && passed_over < MAX_PASSED_OVER => {
                    known.is_used = false;
                    let asker = known.pair.0;
                    self.renew(asker, number);
                }
                _ => return self.forget(number),
            }
        }
    }

    /// Makes an address the newest of all.
    fn renew(&mut self, asker: u128, number: u32) {
        if let Some(list) = self.askers.get_mut(&asker) {
            self.ages.renew(Kind::Owner, list, number);
        }
        self.ages.renew(Kind::All, &mut self.all, number);
    }

    fn forget(&mut self, number: u32) {
        let Some(known) = self.known.remove(number) else {
            return;
        };
        let asker = known.pair.0;
        if let Some(list) = self.askers.get_mut(&asker) {
            self.ages.remove(Kind::Owner, list, number);
            if list.len() == 0 {
                self.askers.remove(&asker);
            }
        }
        self.ages.remove(Kind::All, &mut self.all, number);
    }
}

/// An address as IPv6 has it.
#[inline]
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests;
