//! Counts by key, of a bounded number of keys.

use std::collections::HashMap;

use super::{Count, Fields, Observed};

/// Between the values of a key. Values never have it: see [`key`].
pub(crate) const SEPARATOR: char = '\0';

/// Groups of flows.
#[derive(Debug)]
pub(crate) struct Groups {
    fields: Fields,
    limit: usize,
    groups: HashMap<Box<str>, Count>,
    /// Flows of groups for which there was no room.
    other: Count,
    total: Count,
    /// The key being made; kept for its memory.
    key: String,
}

impl Groups {
    /// No groups yet, and never more than `limit`.
    pub(crate) fn new(fields: Fields, limit: usize) -> Self {
        Self {
            fields,
            limit,
            groups: HashMap::new(),
            other: Count::default(),
            total: Count::default(),
            key: String::new(),
        }
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Counts a flow.
    pub(crate) fn add(&mut self, observed: &Observed<'_>) {
        let count = Count::of(observed);
        self.total.add(&count);
        key(&self.fields, observed, &mut self.key);
        if let Some(group) = self.groups.get_mut(self.key.as_str()) {
            group.add(&count);
        } else if self.groups.len() < self.limit {
            self.groups.insert(self.key.as_str().into(), count);
        } else {
            self.other.add(&count);
        }
    }

    /// All groups, in no order: their values and counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Count)> {
        self.groups.iter().map(|(key, count)| (&**key, count))
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// What was counted beyond the limit.
    pub(crate) fn other(&self) -> &Count {
        &self.other
    }

    /// Everything together.
    pub(crate) fn total(&self) -> &Count {
        &self.total
    }
}

/// Makes the key of a flow: its values, with [`SEPARATOR`] between.
pub(crate) fn key(fields: &Fields, observed: &Observed<'_>, key: &mut String) {
    key.clear();
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            key.push(SEPARATOR);
        }
        let start = key.len();
        field.take(observed, key);
        if key[start..].contains(SEPARATOR) {
            let value = key[start..].replace(SEPARATOR, "\u{fffd}");
            key.truncate(start);
            key.push_str(&value);
        }
    }
}
