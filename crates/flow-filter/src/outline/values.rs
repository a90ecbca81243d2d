//! Sets of values, as far as a filter names them.

use std::collections::BTreeSet;

/// Some values of a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Values {
    /// Numbers, both ends included.
    Between(u64, u64),
    /// All but these.
    Except(BTreeSet<String>),
    /// These.
    Only(BTreeSet<String>),
}

impl Values {
    pub(crate) fn only(values: impl IntoIterator<Item = String>) -> Self {
        Self::Only(values.into_iter().collect())
    }

    pub(crate) fn except(values: impl IntoIterator<Item = String>) -> Self {
        Self::Except(values.into_iter().collect())
    }

    /// All others; `None` if they cannot be told.
    pub(super) fn others(&self) -> Option<Self> {
        match self {
            Self::Between(0, u64::MAX) => None,
            Self::Between(0, last) => Some(Self::Between(last + 1, u64::MAX)),
            Self::Between(first, u64::MAX) => Some(Self::Between(0, first - 1)),
            Self::Between(..) => None,
            Self::Except(values) => Some(Self::Only(values.clone())),
            Self::Only(values) => Some(Self::Except(values.clone())),
        }
    }

    /// Those that are in both, or more where that cannot be told.
    pub(super) fn both(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(values), other) | (other, Self::Only(values)) => {
                let kept = values.iter().filter(|value| other.has(value));
                Self::Only(kept.cloned().collect())
            }
            (Self::Except(one), Self::Except(other)) => Self::Except(one | other),
            (Self::Between(first, last), Self::Between(from, to)) => {
                Self::Between(*first.max(from), *last.min(to))
            }
            (range @ Self::Between(..), Self::Except(_))
            | (Self::Except(_), range @ Self::Between(..)) => range.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Between(first, last) => first > last,
            Self::Except(_) => false,
            Self::Only(values) => values.is_empty(),
        }
    }

    /// Whether all of these are among the others, as far as can be told.
    pub(super) fn are_in(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Only(values), others) => values.iter().all(|value| others.has(value)),
            (Self::Except(one), Self::Except(other)) => one.is_superset(other),
            (Self::Between(first, last), Self::Between(from, to)) => from <= first && last <= to,
            (Self::Between(..), Self::Except(values)) => {
                !values.iter().any(|value| self.has(value))
            }
            (Self::Between(..) | Self::Except(_), _) => false,
        }
    }

    fn has(&self, value: &str) -> bool {
        match self {
            Self::Between(first, last) => value
                .parse()
                .is_ok_and(|number: u64| (*first..=*last).contains(&number)),
            Self::Except(values) => !values.contains(value),
            Self::Only(values) => values.contains(value),
        }
    }

    /// The values in words that follow a field's name.
    pub(crate) fn words(&self) -> String {
        let list = |values: &BTreeSet<String>| {
            let values: Vec<&str> = values.iter().map(|value| shown(value)).collect();
            values.join(", ")
        };
        match self {
            Self::Between(0, last) => format!("is at most {last}"),
            Self::Between(first, u64::MAX) => format!("is at least {first}"),
            Self::Between(first, last) => format!("is from {first} to {last}"),
            Self::Except(values) if values.len() == 1 => format!("is not {}", list(values)),
            Self::Except(values) => format!("is none of {}", list(values)),
            Self::Only(values) if values.len() == 1 => format!("is {}", list(values)),
            Self::Only(values) => format!("is one of {}", list(values)),
        }
    }
}

/// A value in words.
pub(crate) fn shown(value: &str) -> &str {
    if value.is_empty() { "empty" } else { value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_values() -> impl Strategy<Value = Values> {
        let some = || prop::collection::btree_set(0_u64..6, 0..4);
        let text = |numbers: BTreeSet<u64>| numbers.into_iter().map(|number| number.to_string());
        prop_oneof![
            some().prop_map(move |numbers| Values::only(text(numbers))),
            some().prop_map(move |numbers| Values::except(text(numbers))),
            (0_u64..6, 0_u64..6).prop_map(|(first, last)| Values::Between(first, last)),
            (0_u64..6).prop_map(|first| Values::Between(first, u64::MAX)),
        ]
    }

    proptest! {
        #[test]
        fn sets_agree_with_their_members(one in any_values(), other in any_values()) {
            let both = one.both(&other);
            for number in 0_u64..12 {
                let value = number.to_string();
                let in_both = one.has(&value) && other.has(&value);
                // It may only say too much.
                prop_assert!(both.has(&value) || !in_both);
                if let Some(others) = one.others() {
                    prop_assert_ne!(others.has(&value), one.has(&value));
                }
                prop_assert!(!(both.is_empty() && in_both));
                prop_assert!(!one.are_in(&other) || !one.has(&value) || other.has(&value));
            }
        }
    }
}
