//! The label selectors of one field, any of which may match.

use std::collections::BTreeMap;

use crate::label::{Label, LabelSelector};
use crate::selector::{Operator, Requirement};

/// So few selectors are as quickly tried one by one.
const FEW: usize = 8;

/// Selectors. Most need a label to be there, so that the labels of an endpoint tell which of many
/// selectors are worth trying.
#[derive(Clone, Debug)]
pub(crate) struct LabelSelectors {
    /// Those that are looked up.
    anchored: Vec<LabelSelector>,
    /// What they are looked up by: keys of labels without which they do not match.
    anchors: BTreeMap<String, Anchors>,
    /// Those that ask for a label with source `cidr`.
    of_prefixes: Vec<LabelSelector>,
    /// Those that are tried for every endpoint.
    others: Vec<LabelSelector>,
}

/// The indexes of the selectors that need a label with a key.
#[derive(Clone, Debug, Default)]
struct Anchors {
    /// With any value.
    any: Vec<usize>,
    by_value: BTreeMap<String, Vec<usize>>,
}

impl LabelSelectors {
    /// Whether one of the selectors matches. `labels` starts over for each look at them.
    pub(crate) fn matches<'a, I>(&self, labels: impl Fn() -> I) -> bool
    where
        I: Iterator<Item = &'a str>,
    {
        let any = |selectors: &[LabelSelector]| {
            selectors.iter().any(|selector| selector.matches(&labels))
        };
        any(&self.others)
            || (!self.of_prefixes.is_empty()
                && labels().any(|label| Label::parse(label).is_of_prefix())
                && any(&self.of_prefixes))
            || (!self.anchors.is_empty()
                && labels().any(|label| {
                    let mut found = self.of_label(Label::parse(label));
                    found.any(|selector| selector.matches(&labels))
                }))
    }

    /// The selectors that are looked up by a label.
    fn of_label(&self, label: Label<'_>) -> impl Iterator<Item = &LabelSelector> {
        let anchors = self.anchors.get(label.key);
        let any = anchors.map(|anchors| &anchors.any);
        let of_value = anchors.and_then(|anchors| anchors.by_value.get(label.value));
        let indexes = any.into_iter().chain(of_value).flatten();
        indexes.filter_map(|index| self.anchored.get(*index))
    }
}

impl From<Vec<LabelSelector>> for LabelSelectors {
    fn from(mut entries: Vec<LabelSelector>) -> Self {
        entries.sort_unstable();
        entries.dedup();
        let mut set = Self {
            anchored: Vec::new(),
            anchors: BTreeMap::new(),
            of_prefixes: Vec::new(),
            others: Vec::new(),
        };
        if entries.len() <= FEW {
            set.others = entries;
            return set;
        }
        for entry in entries {
            let requirements = entry.requirements();
            let plain = || requirements.iter().filter(|it| it.key.cidr.is_none());
            let anchor = plain()
                .find(|it| matches!(it.operator, Operator::In(_)))
                .or_else(|| plain().find(|it| it.operator.needs_label()));
            if let Some(Requirement { key, operator }) = anchor {
                let anchors = set.anchors.entry(key.name.clone()).or_default();
                let index = set.anchored.len();
                match operator {
                    Operator::In(values) => {
                        for value in values.iter() {
                            anchors
                                .by_value
                                .entry(value.clone())
                                .or_default()
                                .push(index);
                        }
                    }
                    _ => anchors.any.push(index),
                }
                set.anchored.push(entry);
            } else if requirements.iter().any(|it| it.operator.needs_label()) {
                set.of_prefixes.push(entry);
            } else {
                set.others.push(entry);
            }
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn one_of_many_selectors_matches_if_any_does_alone(
            entries in vec(
                "(!?(k8s:|any:|cidr:)?[ab]|(k8s:|cidr:)?[ab] in \\([xy],[yz]\\)|[ab]!?=[xyz]|[ab]>[123]\
                 |cidr:10\\.0\\.0\\.0/(8|16))(,!?b|,a=x|,cidr:10\\.0\\.0\\.0/9)?",
                0..40,
            ),
            labels in vec("((k8s|cidr|):)?([ab](=[xyz23])?|10\\.0\\.0\\.0/(8|16))", 0..4),
        ) {
            let entries: Vec<_> =
                entries.iter().map(|entry| LabelSelector::parse(entry).unwrap()).collect();
            let labels = || labels.iter().map(String::as_str);
            let naive = entries.iter().any(|entry| entry.matches(labels));
            prop_assert_eq!(LabelSelectors::from(entries).matches(labels), naive);
        }
    }
}
