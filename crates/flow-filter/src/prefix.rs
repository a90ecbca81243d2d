//! IP prefixes as filters and `cidr` labels name them. In: text. Out: a block of addresses, or what
//! is wrong with the text in the words of Go's `netip.ParsePrefix`.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::address::{Address, AddressError};
use crate::quote::quoted;

/// Why a text is not an IP prefix.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PrefixError {
    /// What stands before the slash is not an address.
    #[error(transparent)]
    Address(AddressError),
    /// What stands after the slash is not a plain number.
    #[error("bad bits after slash: {}", quoted(.length))]
    Length {
        /// What stands there.
        length: String,
    },
    /// More bits than the address has.
    #[error("prefix length out of range")]
    LengthOutOfRange,
    /// A zone, as in `fe80::1%eth0/64`.
    #[error("IPv6 zones cannot be present in a prefix")]
    Zone,
}

/// A block of addresses. IPv4 and IPv6 never mix, mapped addresses included.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Prefix {
    V4 { network: u32, length: u32 },
    V6 { network: u128, length: u32 },
}

impl Prefix {
    /// Bits beyond the length may be set; they do not count.
    pub(crate) fn parse(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = text.rsplit_once('/').unwrap_or((text, ""));
        let address = Address::parse(address).map_err(PrefixError::Address)?;
        if address.has_zone {
            return Err(PrefixError::Zone);
        }
        let is_plain = length == "0" || length.starts_with(|digit| matches!(digit, '1'..='9'));
        let Some(length) = length.parse::<u64>().ok().filter(|_| is_plain) else {
            return Err(PrefixError::Length {
                length: length.to_owned(),
            });
        };
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match address.ip {
            IpAddr::V4(ip) if length <= 32 => Ok(Self::V4 {
                network: ip.to_bits(),
                length,
            }),
            IpAddr::V6(ip) if length <= 128 => Ok(Self::V6 {
                network: ip.to_bits(),
                length,
            }),
            _ => Err(PrefixError::LengthOutOfRange),
        }
    }

    /// The block of one address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(ip) => Self::V4 {
                network: ip.to_bits(),
                length: 32,
            },
            IpAddr::V6(ip) => Self::V6 {
                network: ip.to_bits(),
                length: 128,
            },
        }
    }

    pub(crate) fn contains_prefix(&self, inner: Self) -> bool {
        match (*self, inner) {
            (
                Self::V4 { network, length },
                Self::V4 {
                    network: inner,
                    length: inner_length,
                },
            ) => {
                // Shifting out all 32 bits overflows, and means that none is left to differ.
                length <= inner_length
                    && (network ^ inner)
                        .checked_shr(32 - length)
                        .is_none_or(|rest| rest == 0)
            }
            (
                Self::V6 { network, length },
                Self::V6 {
                    network: inner,
                    length: inner_length,
                },
            ) => {
                length <= inner_length
                    && (network ^ inner)
                        .checked_shr(128 - length)
                        .is_none_or(|rest| rest == 0)
            }
            _ => false,
        }
    }
}

/// Blocks of addresses as ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefixSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl PrefixSet {
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(ip) => self.v4.contain(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.contain(ip.to_bits()),
        }
    }
}

impl FromIterator<Prefix> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                Prefix::V4 { network, length } => {
                    let host = u32::MAX.checked_shr(length).unwrap_or(0);
                    v4.push((network & !host, network | host));
                }
                Prefix::V6 { network, length } => {
                    let host = u128::MAX.checked_shr(length).unwrap_or(0);
                    v6.push((network & !host, network | host));
                }
            }
        }
        Self {
            v4: v4.into(),
            v6: v6.into(),
        }
    }
}

/// The first and the last of each range, in order. None contains another, so only one can contain a
/// value: the last that does not begin behind it.
#[derive(Clone, Debug, Default)]
struct Ranges<T>(Box<[(T, T)]>);

impl<T: Copy + Ord> Ranges<T> {
    fn contain(&self, value: T) -> bool {
        let end = self.0.partition_point(|(first, _)| *first <= value);
        let range = end.checked_sub(1).and_then(|last| self.0.get(last));
        range.is_some_and(|(_, last)| value <= *last)
    }
}

impl<T: Copy + Ord> From<Vec<(T, T)>> for Ranges<T> {
    fn from(mut ranges: Vec<(T, T)>) -> Self {
        // Of those with the same beginning the largest stands before the others.
        ranges.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
        ranges.dedup_by(|next, kept| next.1 <= kept.1);
        Self(ranges.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_of_many_prefixes_contains_an_address_if_any_does_alone(
            entries in vec((any::<bool>(), 0_u128..16, 0_u32..=5), 0..20),
            (is_v4, address) in (any::<bool>(), 0_u128..16),
        ) {
            // Addresses of a few bits, so that some prefixes contain others.
            let bits = |is_v4, bits: u128| if is_v4 {
                IpAddr::from(Ipv4Addr::from_bits((bits as u32) << 28))
            } else {
                IpAddr::from(Ipv6Addr::from_bits(bits << 124))
            };
            let entries = entries.iter().map(|(is_v4, network, length)| {
                Prefix::parse(&format!("{}/{length}", bits(*is_v4, *network))).unwrap()
            });
            let entries: Vec<_> = entries.collect();
            let address = bits(is_v4, address);
            let naive = entries.iter().any(|entry| entry.contains_prefix(Prefix::of(address)));
            prop_assert_eq!(PrefixSet::from_iter(entries).contains(address), naive);
        }
    }

    #[test]
    fn a_prefix_that_is_none_is_explained() {
        for (text, expected) in [
            ("10.0.0.0/33", "prefix length out of range"),
            ("fd00::/129", "prefix length out of range"),
            ("10.0.0.0/4294967328", "prefix length out of range"),
            ("10.0.0.0/", r#"bad bits after slash: """#),
            ("1.2.3.4/-1", r#"bad bits after slash: "-1""#),
            ("1.2.3.4/08", r#"bad bits after slash: "08""#),
            ("1.2.3.4/+8", r#"bad bits after slash: "+8""#),
            ("/24", r#"ParseAddr(""): unable to parse IP"#),
            (
                "10.0.0.1/8/8",
                r#"ParseAddr("10.0.0.1/8"): unexpected character (at "/8")"#,
            ),
            (
                "fe80::1%eth0/64",
                "IPv6 zones cannot be present in a prefix",
            ),
        ] {
            assert_eq!(
                Prefix::parse(text).unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_prefix_holds_what_shares_its_leading_bits() {
        for (prefix, address, expected) in [
            ("10.0.0.1/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::1/128", "fd00::2", false),
            ("1.2.3.4/32", "::ffff:1.2.3.4", false),
            ("::ffff:0:0/96", "1.2.3.4", false),
        ] {
            let address = address.parse().unwrap();
            let set = PrefixSet::from_iter([Prefix::parse(prefix).unwrap()]);
            assert_eq!(set.contains(address), expected, "{prefix}");
        }
    }

    #[test]
    fn a_prefix_holds_longer_prefixes_of_the_same_network() {
        let outer = Prefix::parse("10.0.0.0/8").unwrap();
        for (inner, expected) in [
            ("10.1.0.0/16", true),
            ("10.0.0.0/8", true),
            ("10.0.0.0/7", false),
            ("::/0", false),
        ] {
            assert_eq!(
                outer.contains_prefix(Prefix::parse(inner).unwrap()),
                expected,
                "{inner}"
            );
        }
    }
}
