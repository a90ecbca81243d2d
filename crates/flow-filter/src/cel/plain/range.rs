//! Ranges of addresses for a language that has none. In: a prefix such as `10.0.0.0/8`. Out: a
//! regular expression that finds exactly the texts of the addresses inside.
//!
//! Flows carry addresses as text, in the one form that RFC 5952 recommends: no leading zeros, small
//! letters, and the longest row of zeros of an IPv6 address left out.

use crate::prefix::Prefix;

const GROUPS: usize = 8;

/// Any one group of an IPv6 address.
const ANY_GROUP: &str = "[0-9a-f]{1,4}";

/// The expression for a prefix.
pub(super) fn pattern(prefix: &Prefix) -> String {
    match *prefix {
        Prefix::V4 { network, length } => format!("^{}", octets(network, length)),
        Prefix::V6 { network, length } => groups(network, length),
    }
}

/// What is behind the start of the text.
fn octets(network: u32, length: u32) -> String {
    if length == 0 {
        return "[0-9]+[.][0-9.]+$".to_owned();
    }
    let mut pattern = String::new();
    let octets = network.to_be_bytes();
    for (index, octet) in (0..).step_by(8).zip(octets) {
        let bits = length.saturating_sub(index).min(8);
        if bits == 0 {
            return pattern;
        }
        let free = 0xff_u32 >> bits;
        let first = u32::from(octet) & !free;
        pattern.push_str(&decimal(first, first | free));
        pattern.push_str(if index < 24 { "[.]" } else { "$" });
    }
    pattern
}

/// Numbers from first to last, in decimal.
fn decimal(first: u32, last: u32) -> String {
    if first == last {
        return first.to_string();
    }
    let mut parts = Vec::new();
    let mut next = first;
    while next <= last {
        let tens = next / 10;
        let end = last.min(tens * 10 + 9);
        let before = if tens == 0 {
            String::new()
        } else {
            tens.to_string()
        };
        parts.push(if next == end {
            next.to_string()
        } else {
            format!("{before}[{}-{}]", next % 10, end % 10)
        });
        next = end + 1;
    }
    format!("({})", parts.join("|"))
}

/// One expression for each way in which the row of zeros that is left out can meet the prefix.
fn groups(network: u128, length: u32) -> String {
    if length == 0 {
        return ":".to_owned();
    }
    let mapped = Prefix::V6 {
        network: 0xffff << 32,
        length: 96,
    };
    let prefix = Prefix::V6 { network, length };
    if length >= 96 && mapped.contains_prefix(prefix) {
        // Written with the IPv4 address that it holds.
        let [_, _, _, ipv4] = words(network);
        return format!("^::ffff:{}", octets(ipv4, length - 96));
    }
    let wanted = Wanted::new(network, length);
    let mut ways = vec![wanted.before_the_gap()];
    for start in 0..wanted.constrained.len() {
        ways.extend(wanted.around_a_gap_from(start));
    }
    if prefix.contains_prefix(mapped) {
        ways.push("^::ffff:[0-9.]+$".to_owned());
    }
    ways.join("|")
}

fn words(network: u128) -> [u32; 4] {
    let bytes = network.to_be_bytes();
    std::array::from_fn(|index| {
        let word = bytes[index * 4..].first_chunk().copied();
        u32::from_be_bytes(word.unwrap_or_default())
    })
}

/// What the prefix says about the first groups.
struct Wanted {
    constrained: Vec<Group>,
}

struct Group {
    pattern: String,
    may_be_zero: bool,
    must_be_zero: bool,
}

impl Wanted {
    fn new(network: u128, length: u32) -> Self {
        let starts = (0..length).step_by(16);
        let constrained = starts.map(|start| {
            let bits = (length - start).min(16);
            let group = (network >> (112 - start)) & 0xffff;
            let free = 0xffff_u128 >> bits;
            let first = u16::try_from(group & !free).unwrap_or(0);
            Group {
                pattern: hexadecimal(first, bits),
                may_be_zero: first == 0,
                must_be_zero: first == 0 && bits == 16,
            }
        });
        Self {
            constrained: constrained.collect(),
        }
    }

    /// The groups stand first, and what is left out is behind them if there is such.
    fn before_the_gap(&self) -> String {
        let groups: Vec<&str> = self
            .constrained
            .iter()
            .map(|group| group.pattern.as_str())
            .collect();
        let end = if groups.len() == GROUPS { "$" } else { ":" };
        format!("^{}{end}", groups.join(":"))
    }

    /// What is left out begins with a group that the prefix says something about.
    fn around_a_gap_from(&self, start: usize) -> Vec<String> {
        let mut ways = Vec::new();
        let before: Vec<&str> = self.constrained[..start]
            .iter()
            .map(|group| group.pattern.as_str())
            .collect();
        // The gap is as long as can be, so that no zero stands before or behind it.
        if start > 0 && self.constrained[start - 1].must_be_zero {
            return ways;
        }
        let before = before.join(":");
        let zeros = self.constrained[start..]
            .iter()
            .take_while(|group| group.may_be_zero)
            .count();
        let reaches = start + zeros;
        for end in start + 2..=reaches.min(self.constrained.len().saturating_sub(1)) {
            if self.constrained[end].must_be_zero {
                continue;
            }
            let behind = (end..GROUPS).map(|index| {
                let group = self.constrained.get(index);
                group.map_or(ANY_GROUP, |group| group.pattern.as_str())
            });
            let behind: Vec<&str> = behind.collect();
            ways.push(format!("^{before}::{}$", behind.join(":")));
        }
        if reaches == self.constrained.len() {
            let most = GROUPS - reaches.max(start + 2).min(GROUPS);
            let behind = match most {
                0 => String::new(),
                most => format!("({ANY_GROUP}(:{ANY_GROUP}){{0,{}}})?", most - 1),
            };
            ways.push(format!("^{before}::{behind}$"));
        }
        ways
    }
}

/// A group whose first bits are known, without leading zeros.
fn hexadecimal(first: u16, bits: u32) -> String {
    if bits == 16 {
        return format!("{first:x}");
    }
    let known = bits / 4;
    // Digits behind the one of which only some bits are known.
    let free = 3 - known;
    let digit = (first >> (4 * free)) & 0xf;
    let last = digit | (0xf >> (bits % 4));
    let before = match first.checked_shr(16 - 4 * known) {
        None | Some(0) => String::new(),
        Some(before) => format!("{before:x}"),
    };
    if !before.is_empty() || digit > 0 {
        return format!("{before}{}[0-9a-f]{{{free}}}", digits(digit, last));
    }
    // The number may be shorter than its digits.
    match free {
        0 => digits(0, last),
        free => format!(
            "({}[0-9a-f]{{{free}}}|[0-9a-f]{{1,{free}}})",
            digits(1, last)
        ),
    }
}

fn digits(first: u16, last: u16) -> String {
    match (first, last) {
        (0..=9, 10..) => format!("[{first}-9a-{last:x}]"),
        _ => format!("[{first:x}-{last:x}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::regexp::Regexp;

    fn of(text: &str) -> String {
        pattern(&Prefix::parse(text).unwrap())
    }

    #[test]
    fn common_ranges_are_short() {
        assert_eq!(of("10.0.0.0/8"), "^10[.]");
        assert_eq!(of("192.168.1.0/24"), "^192[.]168[.]1[.]");
        assert_eq!(of("172.16.0.0/12"), "^172[.](1[6-9]|2[0-9]|3[0-1])[.]");
        assert_eq!(of("10.1.2.3/32"), "^10[.]1[.]2[.]3$");
        assert_eq!(of("fd00::/8"), "^fd[0-9a-f][0-9a-f]{1}:");
        assert_eq!(of("2001:db8::/32"), "^2001:db8:");
    }

    /// Addresses with many zeros, near the prefix.
    fn near(network: u128, length: u32) -> impl Strategy<Value = u128> {
        let masks = prop::collection::vec(any::<bool>(), 8);
        (any::<u128>(), masks, any::<bool>(), any::<u8>()).prop_map(
            move |(random, masks, inside, bit)| {
                let mut address = random;
                for (index, keep) in masks.into_iter().enumerate() {
                    if !keep {
                        address &= !(0xffff_u128 << (16 * index));
                    }
                }
                if inside && length > 0 {
                    let mask = u128::MAX << (128 - length);
                    address = (network & mask) | (address & !mask);
                }
                // One bit more or less.
                if bit < 64 {
                    address ^ (1 << (bit * 2))
                } else {
                    address
                }
            },
        )
    }

    fn prefix() -> impl Strategy<Value = (u128, u32)> {
        let masks = prop::collection::vec(any::<bool>(), 8);
        (any::<u128>(), masks, 0_u32..=128).prop_map(|(mut network, masks, length)| {
            for (index, keep) in masks.into_iter().enumerate() {
                if !keep {
                    network &= !(0xffff_u128 << (16 * index));
                }
            }
            (network, length)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn an_ipv6_address_is_found_if_it_is_inside(
            (network, length, addresses) in prefix().prop_flat_map(|(network, length)| (
                Just(network), Just(length), prop::collection::vec(near(network, length), 8)
            ))
        ) {
            let prefix = Prefix::V6 { network, length };
            let regexp = Regexp::compile(&pattern(&prefix)).unwrap();
            for address in addresses {
                let address = Ipv6Addr::from(address);
                prop_assert_eq!(
                    regexp.finds(address.to_string().as_bytes()),
                    prefix.contains_prefix(Prefix::of(IpAddr::V6(address))),
                    "{} in {}/{}: {}", address, Ipv6Addr::from(network), length, pattern(&prefix)
                );
            }
        }

        #[test]
        fn an_ipv4_address_is_found_if_it_is_inside(
            network in any::<u32>(), length in 0_u32..=32, random in any::<u32>(), flip in 0_u32..32
        ) {
            let prefix = Prefix::V4 { network, length };
            let regexp = Regexp::compile(&pattern(&prefix)).unwrap();
            for address in [network, network ^ (1 << flip), random] {
                let address = Ipv4Addr::from(address);
                prop_assert_eq!(
                    regexp.finds(address.to_string().as_bytes()),
                    prefix.contains_prefix(Prefix::of(IpAddr::V4(address))),
                    "{} in {}/{}", address, Ipv4Addr::from(network), length
                );
            }
            let v6 = Ipv6Addr::from(u128::from(random) << 96 | u128::from(network));
            prop_assert!(!regexp.finds(v6.to_string().as_bytes()));
        }

        #[test]
        fn mapped_addresses_are_told_from_plain_ones(network in any::<u32>(), length in 0_u32..=128, address in any::<u32>()) {
            let base = u128::from(0xffff_u32) << 32 | u128::from(network);
            let prefix = Prefix::V6 { network: base, length };
            let regexp = Regexp::compile(&pattern(&prefix)).unwrap();
            let mapped = Ipv4Addr::from(address).to_ipv6_mapped();
            prop_assert_eq!(
                regexp.finds(mapped.to_string().as_bytes()),
                prefix.contains_prefix(Prefix::of(IpAddr::V6(mapped)))
            );
            prop_assert!(!regexp.finds(Ipv4Addr::from(address).to_string().as_bytes()));
        }
    }
}
