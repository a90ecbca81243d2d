//! IP prefixes as filters and `cidr` labels name them. In: text. Out: a block of addresses, or what
//! is wrong with the text in the words of Go's `netip.ParsePrefix`.

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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let block = match address {
            IpAddr::V4(ip) => Self::V4 {
                network: ip.to_bits(),
                length: 32,
            },
            IpAddr::V6(ip) => Self::V6 {
                network: ip.to_bits(),
                length: 128,
            },
        };
        self.contains_prefix(block)
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(
                Prefix::parse(prefix).unwrap().contains(address),
                expected,
                "{prefix}"
            );
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
