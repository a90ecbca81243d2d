//! Which labels make the series of a metric.

use std::{collections::BTreeSet, hash::BuildHasher as _, sync::Arc};

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _, fast::FixedState};

use crate::metrics::flows::{Metric, series::parts};

/// Values that are told of each label.
const LARGEST: usize = 3;

/// A label, and what it makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedLabel {
    /// Its name.
    pub name: &'static str,
    /// Whether it is there because the configuration asks for it.
    pub is_optional: bool,
    /// How many different values it has.
    pub values: usize,
    /// How many series there were without it.
    pub series_without: usize,
    /// The values with the most series, and how many these are; at most three.
    pub largest: Vec<(String, usize)>,
}

/// The labels of a metric, whose keys are known by node; those without which there are the fewest
/// series first.
pub(super) fn planned(
    metric: &Metric,
    names: &[&'static str],
    keys: &[Vec<Arc<[u8]>>],
) -> Vec<PlannedLabel> {
    let configured: BTreeSet<_> = metric.contexts.names().collect();
    let is_optional = |name| {
        let by_option = [("dns", "query"), ("flows-to-world", "port")];
        configured.contains(name) || by_option.contains(&(metric.name.as_str(), name))
    };
    let label = |(position, &name): (usize, &&'static str)| {
        let mut values = HashMap::<&[u8], usize>::new();
        let mut without = HashSet::<u64>::new();
        for (node, keys) in keys.iter().enumerate() {
            for key in keys {
                // Two of a million are taken for one once in thirty million plans.
                without.insert(hash_without(node, key, position));
                let value = parts(key).nth(position).unwrap_or_default();
                *values.entry(value).or_default() += 1;
            }
        }
        PlannedLabel {
            name,
            is_optional: is_optional(name),
            values: values.len(),
            series_without: without.len(),
            largest: largest(values),
        }
    };
    let mut labels: Vec<_> = names.iter().enumerate().map(label).collect();
    labels.sort_by_key(|it| it.series_without);
    labels
}

fn hash_without(node: usize, key: &[u8], position: usize) -> u64 {
    let end = |count| parts(key).take(count).map(|it| it.len() + 1).sum::<usize>();
    let (before, after) = (&key[..end(position)], &key[end(position + 1)..]);
    FixedState::default().hash_one((node, before, after))
}

fn largest(values: HashMap<&[u8], usize>) -> Vec<(String, usize)> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), value));
    values.truncate(LARGEST);
    let text = |(value, count)| (String::from_utf8_lossy(value).into_owned(), count);
    values.into_iter().map(text).collect()
}
