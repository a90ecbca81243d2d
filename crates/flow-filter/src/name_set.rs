//! The patterns of one `*_fqdn` or `node_name` field, any of which may match.

use std::collections::BTreeMap;

use crate::one_of::OneOf;
use crate::pattern::{NamePattern, NodePattern, PartPattern};

/// Patterns for a whole name. However many there are, few are tried for one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamePatterns {
    /// Patterns without a star: names.
    names: OneOf<NamePattern>,
    /// Patterns with stars, by the text behind the last one.
    by_tail: Affixes,
    /// Those that end in a star, by the text in front of the first one.
    by_head: Affixes,
}

impl NamePatterns {
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.names.contains(name)
            || self
                .by_tail
                .any(name, |length| name.get(name.len() - length..))
            || self.by_head.any(name, |length| name.get(..length))
    }
}

impl From<Vec<NamePattern>> for NamePatterns {
    fn from(entries: Vec<NamePattern>) -> Self {
        let (mut names, mut by_tail, mut by_head) =
            (Vec::new(), Affixes::default(), Affixes::default());
        for entry in entries {
            match entry.around_stars() {
                None => names.push(entry),
                Some((head, "")) => by_head.insert(head.to_owned(), entry),
                Some((_, tail)) => by_tail.insert(tail.to_owned(), entry),
            }
        }
        by_tail.finish();
        by_head.finish();
        Self {
            names: names.into(),
            by_tail,
            by_head,
        }
    }
}

/// Patterns by what a name must begin or end with.
#[derive(Clone, Debug, Default)]
struct Affixes {
    patterns: BTreeMap<String, Vec<NamePattern>>,
    /// The lengths that those texts have.
    lengths: OneOf<usize>,
}

impl Affixes {
    fn insert(&mut self, affix: String, pattern: NamePattern) {
        self.patterns.entry(affix).or_default().push(pattern);
    }

    fn finish(&mut self) {
        for patterns in self.patterns.values_mut() {
            patterns.sort_unstable();
            patterns.dedup();
        }
        self.lengths = self.patterns.keys().map(String::len).collect();
    }

    /// Whether one of the patterns matches. `cut` takes so many bytes from the end of the name that
    /// counts here.
    fn any<'n>(&self, name: &'n str, cut: impl Fn(usize) -> Option<&'n str>) -> bool {
        self.lengths
            .iter()
            .take_while(|length| **length <= name.len())
            .filter_map(|length| self.patterns.get(cut(*length)?))
            .any(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
    }
}

/// Patterns for the names of nodes in their clusters.
#[derive(Clone, Debug)]
pub(crate) struct NodePatterns(BTreeMap<PartPattern, Parts>);

/// What the patterns of one cluster say of the node.
#[derive(Clone, Debug, Default)]
struct Parts {
    takes_any: bool,
    patterns: NamePatterns,
}

impl NodePatterns {
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((cluster, node)) = NodePattern::parts(name) else {
            return false;
        };
        self.0.iter().any(|(pattern, nodes)| {
            pattern.matches(cluster)
                && (nodes.patterns.matches(node)
                    || (nodes.takes_any && PartPattern::Any.matches(node)))
        })
    }
}

impl From<Vec<NodePattern>> for NodePatterns {
    fn from(entries: Vec<NodePattern>) -> Self {
        let mut clusters: BTreeMap<PartPattern, (bool, Vec<NamePattern>)> = BTreeMap::new();
        for NodePattern { cluster, node } in entries {
            let (takes_any, patterns) = clusters.entry(cluster).or_default();
            match node {
                PartPattern::Any => *takes_any = true,
                PartPattern::Pattern(pattern) => patterns.push(pattern),
            }
        }
        let parts = |(takes_any, patterns): (bool, Vec<NamePattern>)| Parts {
            takes_any,
            patterns: patterns.into(),
        };
        Self(
            clusters
                .into_iter()
                .map(|(cluster, nodes)| (cluster, parts(nodes)))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_of_many_patterns_matches_if_any_does_alone(
            entries in vec("[ab*.]{1,5}", 0..20),
            name in "[abü.]{0,6}",
        ) {
            let entries: Vec<_> =
                entries.iter().filter_map(|entry| NamePattern::parse(entry).ok()).collect();
            let naive = entries.iter().any(|entry| entry.matches(&name));
            prop_assert_eq!(NamePatterns::from(entries).matches(&name), naive);
        }

        #[test]
        fn one_of_many_node_patterns_matches_if_any_does_alone(
            entries in vec("([ab*]{0,3}/)?[ab*.]{0,3}", 0..20),
            name in "([ab_]{0,3}/)?[ab_.]{0,4}",
        ) {
            let entries: Vec<_> =
                entries.iter().filter_map(|entry| NodePattern::parse(entry).ok()).collect();
            let naive = entries.iter().any(|entry| entry.matches(&name));
            prop_assert_eq!(NodePatterns::from(entries).matches(&name), naive);
        }
    }
}
