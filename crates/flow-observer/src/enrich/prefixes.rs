//! Ranges of addresses and who has them: in go prefixes, which may lie in each other, out comes the
//! longest one that an address is in.
//!
//! Prefixes either lie in each other or apart; so they cut the addresses into stretches that each
//! belong to one. A look-up is one binary search, however many lengths there are.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::{facts::PrefixFact, identity};
use crate::record::Endpoint;

/// An address as a number.
trait Bits: Copy + Ord {
    /// The number after it, unless it is the last one.
    fn after(self) -> Option<Self>;
}

impl Bits for u32 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Bits for u128 {
    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Prefix {
    /// The first address.
    pub(super) first: IpAddr,
    /// How many bits are the same.
    pub(super) len: u8,
}

impl Prefix {
    /// The range of a fact, without the bits that do not count; no longer than an address.
    pub(super) fn of(fact: &PrefixFact) -> Self {
        match fact.address {
            IpAddr::V4(ip) => {
                let len = fact.len.min(32);
                let host = u32::MAX.checked_shr(len.into()).unwrap_or(0);
                Self {
                    first: Ipv4Addr::from_bits(ip.to_bits() & !host).into(),
                    len,
                }
            }
            IpAddr::V6(ip) => {
                let len = fact.len.min(128);
                let host = u128::MAX.checked_shr(len.into()).unwrap_or(0);
                Self {
                    first: Ipv6Addr::from_bits(ip.to_bits() & !host).into(),
                    len,
                }
            }
        }
    }

    /// Who is behind its addresses: somebody outside of the cluster, whose identity comes from the
    /// range and what it is called. `world` is the identity of everybody else there.
    pub(super) fn describe(self, labels: &[String], world: u32) -> Endpoint {
        let mut labels = labels.to_vec();
        labels.push(format!("cidr:{}/{}", self.first, self.len));
        labels.extend(identity::reserved(world).labels.iter().cloned());
        labels.sort();
        labels.dedup();
        Endpoint {
            identity: identity::local_scope(&labels),
            labels: labels.into(),
            ..Endpoint::default()
        }
    }
}

/// Prefixes with their owners, of both families.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    v4: Stretches<u32>,
    v6: Stretches<u128>,
}

impl Prefixes {
    /// No prefix may come twice.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (Prefix, Arc<Endpoint>)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (Prefix { first, len }, owner) in prefixes {
            match first {
                IpAddr::V4(ip) => {
                    let first = ip.to_bits();
                    let last = first | u32::MAX.checked_shr(len.into()).unwrap_or(0);
                    v4.push((first, last, owner));
                }
                IpAddr::V6(ip) => {
                    let first = ip.to_bits();
                    let last = first | u128::MAX.checked_shr(len.into()).unwrap_or(0);
                    v6.push((first, last, owner));
                }
            }
        }
        Self {
            v4: Stretches::new(v4),
            v6: Stretches::new(v6),
        }
    }

    /// Who has the longest prefix that the address is in.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Arc<Endpoint>> {
        match address {
            IpAddr::V4(ip) => self.v4.owner(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.owner(ip.to_bits()),
        }
    }
}

/// Where stretches of addresses begin, in order, and whose they are. Those before the first one, and
/// those in between that no prefix has, are nobody's.
#[derive(Debug)]
struct Stretches<T> {
    starts: Box<[T]>,
    owners: Box<[Option<Arc<Endpoint>>]>,
}

impl<T> Default for Stretches<T> {
    fn default() -> Self {
        Self {
            starts: Box::default(),
            owners: Box::default(),
        }
    }
}

impl<T: Bits> Stretches<T> {
    /// From ranges, each with its first and last address.
    fn new(mut ranges: Vec<(T, T, Arc<Endpoint>)>) -> Self {
        // What lies around something else comes before it.
        ranges.sort_by(|one, other| (one.0, other.1).cmp(&(other.0, one.1)));
        let mut stretches = Vec::with_capacity(2 * ranges.len());
        // The ranges that the present address is in; the innermost one is the last.
        let mut around: Vec<(T, Arc<Endpoint>)> = Vec::new();
        for (first, last, owner) in ranges {
            close(&mut around, &mut stretches, Some(first));
            stretches.push((first, Some(Arc::clone(&owner))));
            around.push((last, owner));
        }
        close(&mut around, &mut stretches, None);
        // Where one ends and the next begins at the same address, only the latter is so.
        let mut kept: Vec<(T, Option<Arc<Endpoint>>)> = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            match kept.last_mut() {
                Some(before) if before.0 == stretch.0 => *before = stretch,
                _ => kept.push(stretch),
            }
        }
        let (starts, owners): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
        Self {
            starts: starts.into(),
            owners: owners.into(),
        }
    }

    fn owner(&self, address: T) -> Option<&Arc<Endpoint>> {
        let following = self.starts.partition_point(|&start| start <= address);
        self.owners.get(following.checked_sub(1)?)?.as_ref()
    }
}

/// Leaves the ranges that end before `next`, or all of them: after each, its surroundings go on.
fn close<T: Bits>(
    around: &mut Vec<(T, Arc<Endpoint>)>,
    stretches: &mut Vec<(T, Option<Arc<Endpoint>>)>,
    next: Option<T>,
) {
    while let Some((last, _)) = around.last() {
        if next.is_some_and(|next| *last >= next) {
            return;
        }
        let after = last.after();
        around.pop();
        let owner = around.last().map(|(_, owner)| Arc::clone(owner));
        stretches.extend(after.map(|after| (after, owner)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, len) = text.split_once('/').unwrap();
        Prefix::of(&PrefixFact {
            address: address.parse().unwrap(),
            len: len.parse().unwrap(),
            labels: Vec::new(),
        })
    }

    fn described(texts: &[&str]) -> Prefixes {
        Prefixes::new(texts.iter().map(|text| {
            let prefix = prefix(text);
            (prefix, Arc::new(prefix.describe(&[], identity::WORLD)))
        }))
    }

    #[test]
    fn the_longest_prefix_has_an_address() {
        let prefixes = described(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/32",
            "0.0.0.0/0",
            "fd00::/8",
            "255.0.0.0/8",
        ]);
        let owner = |ip: &str| {
            let owner = prefixes.owner(ip.parse().unwrap())?;
            Some(owner.labels[0].clone())
        };
        let cases = [
            ("10.1.2.3", Some("cidr:10.1.2.3/32")),
            ("10.1.2.4", Some("cidr:10.1.0.0/16")),
            ("10.2.0.0", Some("cidr:10.0.0.0/8")),
            ("11.0.0.0", Some("cidr:0.0.0.0/0")),
            ("0.0.0.0", Some("cidr:0.0.0.0/0")),
            ("255.255.255.255", Some("cidr:255.0.0.0/8")),
            ("fd12::1", Some("cidr:fd00::/8")),
            ("fe00::", None),
            ("::1", None),
        ];
        for (ip, expected) in cases {
            assert_eq!(owner(ip).as_deref(), expected, "{ip}");
        }
    }

    #[test]
    fn a_range_is_somebody_outside_of_the_cluster() {
        let labels = ["cidrgroup:name=office".to_owned()];
        let office = prefix("192.0.2.77/24").describe(&labels, identity::WORLD);
        assert_eq!(
            *office.labels,
            [
                "cidr:192.0.2.0/24",
                "cidrgroup:name=office",
                "reserved:world"
            ]
        );
        assert_eq!(office.identity, identity::local_scope(&office.labels));
        let other = prefix("192.0.2.77/24").describe(&labels, identity::WORLD_IPV4);
        assert_eq!(other.labels[2], "reserved:world-ipv4");
    }

    proptest! {
        #[test]
        fn prefixes_are_found_as_by_trying_each(
            ranges in prop::collection::btree_set((0_u8..8, 24_u8..=32), 0..12),
        ) {
            let ranges: BTreeMap<_, _> = ranges
                .into_iter()
                .map(|(last, len)| prefix(&format!("10.0.0.{}/{len}", last.wrapping_mul(37))))
                .map(|it| (it, Arc::new(it.describe(&[], identity::WORLD))))
                .collect();
            let prefixes = Prefixes::new(ranges.clone());
            for bits in 0x09ff_ffff_u32..=0x0a00_0100 {
                let tried = ranges
                    .iter()
                    .filter(|(it, _)| {
                        let fact = PrefixFact {
                            address: IpAddr::V4(bits.into()),
                            len: it.len,
                            labels: Vec::new(),
                        };
                        Prefix::of(&fact) == **it
                    })
                    .max_by_key(|(it, _)| it.len);
                let found = prefixes.owner(IpAddr::V4(bits.into()));
                prop_assert_eq!(found, tried.map(|(_, owner)| owner));
            }
        }
    }
}
