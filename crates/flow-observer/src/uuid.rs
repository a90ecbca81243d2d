//! Random identifiers for flows, without a system call for each.

use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};

/// A stream of version 4 UUIDs: unique rather than secret, seeded from the system's random numbers.
pub(crate) struct Uuids {
    random: SmallRng,
}

impl Uuids {
    pub(crate) fn new() -> Self {
        Self {
            random: SmallRng::from_rng(&mut rand::rng()),
        }
    }

    pub(crate) fn next(&mut self) -> u128 {
        const VERSION_4: u128 = 4 << 76;
        const VERSION_MASK: u128 = 0xf << 76;
        const VARIANT_1: u128 = 2 << 62;
        const VARIANT_MASK: u128 = 3 << 62;
        let random: u128 = self.random.random();
        random & !VERSION_MASK & !VARIANT_MASK | VERSION_4 | VARIANT_1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::encode::uuid_text;

    #[test]
    fn every_flow_has_its_own_and_all_are_version_4() {
        let mut uuids = Uuids::new();
        let texts: HashSet<String> = (0..10_000).map(|_| uuid_text(uuids.next())).collect();
        assert_eq!(texts.len(), 10_000);
        assert!(
            texts
                .iter()
                .all(|text| &text[14..15] == "4" && "89ab".contains(&text[19..20]))
        );
    }

    #[test]
    fn two_streams_differ() {
        assert_ne!(Uuids::new().next(), Uuids::new().next());
    }
}
