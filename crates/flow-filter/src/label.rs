//! The `*_label` and `node_labels` fields: label selectors over labels such as `k8s:app=web`.

use crate::error::SelectorError;
use crate::prefix::Prefix;
use crate::selector::{self, Operator, Requirement, SelectorKey};

/// A compiled selector.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LabelSelector(Vec<Requirement>);

impl LabelSelector {
    pub(crate) fn parse(selector: &str) -> Result<Self, SelectorError> {
        selector::parse(selector).map(Self)
    }

    pub(crate) fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether all requirements hold. `labels` starts over for each of them.
    pub(crate) fn matches<'a, I>(&self, labels: impl Fn() -> I) -> bool
    where
        I: Iterator<Item = &'a str>,
    {
        self.0.iter().all(|requirement| {
            let label = labels()
                .map(Label::parse)
                .find(|label| label.has_key(&requirement.key));
            holds(&requirement.operator, label.map(|label| label.value))
        })
    }
}

/// Whether the value of a key, if the key is there, is as required.
fn holds(operator: &Operator, value: Option<&str>) -> bool {
    let Some(value) = value else {
        return matches!(operator, Operator::DoesNotExist | Operator::NotIn(_));
    };
    let number = || value.parse::<i64>().ok();
    match operator {
        Operator::Exists => true,
        Operator::DoesNotExist => false,
        Operator::In(wanted) => wanted.contains(value),
        Operator::NotIn(unwanted) => !unwanted.contains(value),
        Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
        Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
    }
}

/// A label taken apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Label<'a> {
    source: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
}

impl<'a> Label<'a> {
    /// The first colon ends the source, wherever it stands: in a label without a source it may well
    /// stand in the key or the value.
    pub(crate) fn parse(label: &'a str) -> Self {
        let (source, label) = if let Some(label) = label.strip_prefix('$') {
            ("reserved", label)
        } else if let Some((source, label)) = label.split_once(':') {
            (
                if source.is_empty() {
                    UNSPECIFIED
                } else {
                    source
                },
                label,
            )
        } else if let Some(label) = label.strip_prefix("reserved.") {
            ("reserved", label)
        } else {
            (UNSPECIFIED, label)
        };
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        Self { source, key, value }
    }

    /// Whether the key may be a prefix, see [`cidr`].
    pub(crate) fn is_of_prefix(&self) -> bool {
        self.source == CIDR
    }

    fn has_key(&self, wanted: &SelectorKey) -> bool {
        let Some(source) = &wanted.source else {
            return wanted.name == self.key;
        };
        if source != self.source {
            return false;
        }
        if let Some(outer) = wanted.cidr
            && let Some(inner) = cidr(self.key)
        {
            return outer.contains_prefix(inner);
        }
        wanted.name == self.key
    }
}

/// The source of labels whose keys are prefixes.
pub(crate) const CIDR: &str = "cidr";

/// The source of labels that name none.
const UNSPECIFIED: &str = "unspec";

/// The prefix in a key with source `cidr`, where hyphens stand for the colons of IPv6.
pub(crate) fn cidr(key: &str) -> Option<Prefix> {
    // The longest prefix: eight groups of four digits, or six and an IPv4 address, and `/128`.
    let mut text = [0; 49];
    let text = text.get_mut(..key.len())?;
    for (to, from) in text.iter_mut().zip(key.bytes()) {
        *to = if from == b'-' { b':' } else { from };
    }
    Prefix::parse(std::str::from_utf8(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[&str]) -> bool {
        LabelSelector::parse(selector)
            .unwrap()
            .matches(|| labels.iter().copied())
    }

    #[test]
    fn a_label_has_source_key_and_value() {
        for (label, source, key, value) in [
            ("k8s:app=web", "k8s", "app", "web"),
            ("k8s:app", "k8s", "app", ""),
            ("app=web", "unspec", "app", "web"),
            ("reserved:host", "reserved", "host", ""),
            ("$host", "reserved", "host", ""),
            ("reserved.host", "reserved", "host", ""),
            (":app=web", "unspec", "app", "web"),
            ("app=a:b", "app=a", "b", ""),
            ("k8s:a=b=c", "k8s", "a", "b=c"),
            ("", "unspec", "", ""),
        ] {
            assert_eq!(Label::parse(label), Label { source, key, value }, "{label}");
        }
    }

    #[test]
    fn a_source_must_be_equal_unless_the_selector_names_none() {
        for (selector, label, expected) in [
            ("app", "k8s:app=web", true),
            ("any:app", "k8s:app=web", true),
            ("k8s:app", "k8s:app=web", true),
            ("container:app", "k8s:app=web", false),
            ("k8s:app", "any:app=web", false),
            ("k8s:app", "app=web", false),
            ("unspec:app", "app=web", true),
            ("k8s.app", "k8s:app=web", false),
            ("k8s.app", "x:k8s.app=web", true),
            ("reserved:host", "reserved:host", true),
        ] {
            assert_eq!(
                matches(selector, &[label]),
                expected,
                "{selector} and {label}"
            );
        }
    }

    #[test]
    fn all_requirements_must_hold() {
        let labels = ["k8s:app=web", "k8s:tier=front", "k8s:rank=7"];
        for (selector, expected) in [
            ("", true),
            ("app=web,tier=front", true),
            ("app=web,tier=back", false),
            ("app in (db, web)", true),
            ("app notin (db)", true),
            ("app!=web", false),
            ("!app", false),
            ("zone!=a", true),
            ("zone notin (a)", true),
            ("!zone", true),
            ("zone=a", false),
            ("zone=", false),
            ("zone", false),
            ("rank>6", true),
            ("rank>7", false),
            ("rank<8", true),
            ("app<8", false),
            ("zone<8", false),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn without_labels_only_negative_selectors_match() {
        for (selector, expected) in [
            ("", true),
            ("!app", true),
            ("app!=web", true),
            ("app", false),
            ("app=web", false),
        ] {
            assert_eq!(matches(selector, &[]), expected, "{selector}");
        }
    }

    #[test]
    fn the_first_label_with_the_key_counts() {
        let labels = ["container:app=web", "k8s:app=db"];
        assert!(matches("app=web", &labels));
        assert!(!matches("app=db", &labels));
        assert!(matches("k8s:app=db", &labels));
    }

    #[test]
    fn cidr_keys_are_compared_as_prefixes() {
        for (selector, label, expected) in [
            ("cidr:10.0.0.0/8", "cidr:10.1.0.0/16", true),
            ("cidr:10.0.0.0/8", "cidr:10.0.0.0/8", true),
            ("cidr:10.1.0.0/16", "cidr:10.0.0.0/8", false),
            ("cidr:10.0.0.0/8", "k8s:10.0.0.0/8", false),
            ("10.0.0.0/8", "cidr:10.0.0.0/8", true),
            ("10.0.0.0/8", "cidr:10.1.0.0/16", false),
            ("cidr:fd00--0/8", "cidr:fd00-1--0/32", true),
            ("cidr:fd00--0/8", "cidr:fe00--0/8", false),
            ("cidr:name", "cidr:name", true),
        ] {
            assert_eq!(
                matches(selector, &[label]),
                expected,
                "{selector} and {label}"
            );
        }
    }
}
