//! The objects of one resource, by key, through any number of lists.
//!
//! A list that begins takes nothing away. What it did not name is gone when it ends; one that
//! breaks off changes nothing but what it named. So nobody loses a name while the API server is
//! asked anew.

use std::{collections::BTreeMap, sync::Arc};

/// `namespace/name`, or the name alone; shared by all who refer to the object.
pub(super) type ObjectKey = Arc<str>;

#[derive(Debug)]
pub(super) struct Table<V> {
    rows: BTreeMap<ObjectKey, Row<V>>,
    /// The list that is being read, or was read last.
    list: u32,
}

#[derive(Debug)]
struct Row<V> {
    value: V,
    /// The last list that named it.
    list: u32,
}

/// What became of a row.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Put<V> {
    /// It said the same before.
    Same,
    /// It is new, or another than what was there before.
    Changed(Option<V>),
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            list: 0,
        }
    }
}

impl<V: PartialEq> Table<V> {
    pub(super) fn put(&mut self, key: &ObjectKey, value: V) -> Put<V> {
        let list = self.list;
        match self.rows.get_mut(key) {
            Some(row) => {
                row.list = list;
                if row.value == value {
                    return Put::Same;
                }
                Put::Changed(Some(std::mem::replace(&mut row.value, value)))
            }
            None => {
                self.rows.insert(Arc::clone(key), Row { value, list });
                Put::Changed(None)
            }
        }
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        Some(self.rows.remove(key)?.value)
    }

    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// The list is complete: hands out what it did not name.
    pub(super) fn end(&mut self) -> Vec<(ObjectKey, V)> {
        let list = self.list;
        self.rows
            .extract_if(.., |_, row| row.list != list)
            .map(|(key, row)| (key, row.value))
            .collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<&V> {
        self.rows.get(key).map(|row| &row.value)
    }

    /// The key as it is shared, if there is such a row.
    pub(super) fn key(&self, key: &str) -> Option<&ObjectKey> {
        self.rows.get_key_value(key).map(|(key, _)| key)
    }

    /// The rows of a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = &ObjectKey> {
        let first: Arc<str> = format!("{namespace}/").into();
        // '0' comes after '/'.
        let end: Arc<str> = format!("{namespace}0").into();
        self.rows.range(first..end).map(|(key, _)| key)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.into()
    }

    #[test]
    fn what_a_list_does_not_name_is_gone_when_it_ends() {
        let mut table = Table::default();
        table.put(&key("a/1"), 1);
        table.put(&key("a/2"), 2);
        table.begin();
        table.put(&key("a/2"), 2);
        assert_eq!(table.get("a/1"), Some(&1), "still there while listing");
        assert_eq!(table.end(), [(key("a/1"), 1)]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_list_that_breaks_off_takes_nothing_away() {
        let mut table = Table::default();
        table.put(&key("a/1"), 1);
        table.begin();
        table.begin();
        table.put(&key("a/1"), 1);
        assert_eq!(table.end(), []);
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut table = Table::default();
        assert_eq!(table.put(&key("a/1"), 1), Put::Changed(None));
        assert_eq!(table.put(&key("a/1"), 1), Put::Same);
        assert_eq!(table.put(&key("a/1"), 2), Put::Changed(Some(1)));
    }

    #[test]
    fn a_namespace_has_its_own_rows_only() {
        let mut table = Table::default();
        for it in ["shop/web", "shop-2/web", "shop", "shopping/web", "sho/web"] {
            table.put(&key(it), 0);
        }
        let rows: Vec<_> = table.of_namespace("shop").map(|it| &**it).collect();
        assert_eq!(rows, ["shop/web"]);
    }
}
