//! The `*_ip` fields: plain addresses and prefixes.

use crate::address::Address;
use crate::error::FilterError;
use crate::one_of::OneOf;
use crate::prefix::{Prefix, PrefixSet};
use crate::view::IpView;

/// The entries of one field, any of which may match.
#[derive(Clone, Debug, Default)]
pub(crate) struct IpSet {
    /// Entries without a slash. They are compared as text, so that an unusual spelling is accepted
    /// and never matches.
    texts: OneOf<String>,
    prefixes: PrefixSet,
    /// The prefixes, and those of the texts that are the canonical one of an address: neither unusual
    /// nor with a zone.
    addresses: PrefixSet,
}

impl IpSet {
    pub(crate) fn compile(entries: &[String]) -> Result<Self, FilterError> {
        let (mut texts, mut addresses, mut prefixes) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            if entry.contains('/') {
                let prefix =
                    Prefix::parse(entry).map_err(|reason| FilterError::InvalidIpPrefix {
                        entry: entry.clone(),
                        reason,
                    })?;
                prefixes.push(prefix);
            } else {
                let address =
                    Address::parse(entry).map_err(|reason| FilterError::InvalidIpAddress {
                        entry: entry.clone(),
                        reason,
                    })?;
                if address.ip.to_string() == *entry {
                    addresses.push(Prefix::of(address.ip));
                }
                texts.push(entry.clone());
            }
        }
        Ok(Self {
            texts: texts.into(),
            addresses: addresses
                .into_iter()
                .chain(prefixes.iter().copied())
                .collect(),
            prefixes: prefixes.into_iter().collect(),
        })
    }

    pub(crate) fn contains(&self, ip: IpView<'_>) -> bool {
        match ip {
            IpView::Address(ip) => self.addresses.contains(ip),
            IpView::Text(text) => {
                self.texts.contains(text)
                    || (!self.prefixes.is_empty()
                        && text.parse().is_ok_and(|ip| self.prefixes.contains(ip)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_of_an_address_match_the_same_entries() {
        for (entry, ip, expected) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.10", false),
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.1/8", "10.9.9.9", true),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:DB8::1", "2001:db8::1", false),
            ("2001:db8:0::1", "2001:db8::1", false),
            ("1.2.3.4", "::ffff:1.2.3.4", false),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4", true),
            ("::ffff:102:304", "::ffff:1.2.3.4", false),
            ("fe80::1%eth0", "fe80::1", false),
            ("::/0", "10.0.0.1", false),
        ] {
            let set = IpSet::compile(&[entry.to_owned()]).unwrap();
            let address = IpView::Address(ip.parse().unwrap());
            assert_eq!(
                set.contains(IpView::Text(ip)),
                expected,
                "{entry} and text {ip}"
            );
            assert_eq!(set.contains(address), expected, "{entry} and number {ip}");
        }
    }

    #[test]
    fn text_that_is_no_address_is_in_no_prefix() {
        let set = IpSet::compile(&["0.0.0.0/0".to_owned(), "::/0".to_owned()]).unwrap();
        for text in ["", "host", "10.0.0", "fe80::1%eth0"] {
            assert!(!set.contains(IpView::Text(text)), "{text}");
        }
    }

    #[test]
    fn an_address_with_a_zone_equals_its_own_text() {
        let set = IpSet::compile(&["fe80::1%eth0".to_owned()]).unwrap();
        assert!(set.contains(IpView::Text("fe80::1%eth0")));
    }

    #[test]
    fn the_first_bad_entry_is_named() {
        let error = IpSet::compile(&["10.0.0.1".into(), "nope".into(), "x/8".into()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"invalid IP address "nope" in filter: ParseAddr("nope"): unable to parse IP"#
        );
        let error = IpSet::compile(&["10.0.0.0/33".into()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid IP prefix \"10.0.0.0/33\" in filter: \
             netip.ParsePrefix(\"10.0.0.0/33\"): prefix length out of range"
        );
    }
}
