//! The `*_pod` and `*_service` fields: `namespace/prefix`.

use crate::error::NameError;

/// A namespace and how a name in it begins.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NamePrefix {
    /// Nothing for any namespace.
    namespace: Option<String>,
    prefix: String,
}

/// The entries of one field, any of which may match. They are in order, and of those for the same
/// namespace no prefix begins with another. So only one can be the prefix of a name: the last that
/// does not come behind the name.
#[derive(Clone, Debug)]
pub(crate) struct NamePrefixes(Box<[NamePrefix]>);

impl NamePrefixes {
    pub(crate) fn matches(&self, namespace: &str, name: &str) -> bool {
        match &*self.0 {
            [] => false,
            [only] => only.matches(namespace, name),
            _ => self.finds(Some(namespace), namespace, name) || self.finds(None, namespace, name),
        }
    }

    /// Whether one of the entries for `wanted` matches.
    fn finds(&self, wanted: Option<&str>, namespace: &str, name: &str) -> bool {
        let end = self.0.partition_point(|entry| {
            (entry.namespace.as_deref(), entry.prefix.as_str()) <= (wanted, name)
        });
        let last = end.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|entry| entry.matches(namespace, name))
    }
}

impl From<Vec<NamePrefix>> for NamePrefixes {
    fn from(mut entries: Vec<NamePrefix>) -> Self {
        entries.sort_unstable();
        // A prefix stands before those that begin with it.
        entries.dedup_by(|next, last| {
            next.namespace == last.namespace && next.prefix.starts_with(&last.prefix)
        });
        Self(entries.into())
    }
}

impl NamePrefix {
    /// `name` alone means namespace `default`, `/name` any namespace. What follows a second slash
    /// does not count.
    pub(crate) fn parse(entry: &str) -> Result<Self, NameError> {
        if entry.is_empty() {
            return Err(NameError::Empty);
        }
        let mut parts = entry.split('/');
        let (namespace, prefix) = match (parts.next().unwrap_or_default(), parts.next()) {
            (name, None) => (Some("default"), name),
            ("", Some(name)) => (None, name),
            (namespace, Some(name)) => (Some(namespace), name),
        };
        Ok(Self {
            namespace: namespace.map(str::to_owned),
            prefix: prefix.to_owned(),
        })
    }

    pub(crate) fn matches(&self, namespace: &str, name: &str) -> bool {
        let exists = !(namespace.is_empty() && name.is_empty());
        exists
            && self
                .namespace
                .as_deref()
                .is_none_or(|wanted| wanted == namespace)
            && name.starts_with(self.prefix.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_namespace_is_exact_and_a_name_is_a_prefix() {
        for (entry, namespace, name, expected) in [
            ("web", "default", "web-0", true),
            ("web", "shop", "web-0", false),
            ("web", "default", "a-web", false),
            ("shop/", "shop", "web-0", true),
            ("shop/", "shop", "", true),
            ("shop/", "shopping", "web-0", false),
            ("shop/web", "shop", "web-0", true),
            ("shop/web", "shop", "db-0", false),
            ("/web", "shop", "web-0", true),
            ("/web", "", "web-0", true),
            ("/web", "shop", "", false),
            ("/", "shop", "", true),
            ("/", "", "web-0", true),
            ("/", "", "", false),
            ("shop/web/x", "shop", "web-0", true),
        ] {
            let pod = NamePrefix::parse(entry).unwrap();
            assert_eq!(
                pod.matches(namespace, name),
                expected,
                "{entry}: {namespace}/{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn one_of_many_entries_matches_if_any_does_alone(
            entries in vec("[ab]{0,2}/[ab]{0,3}", 0..20),
            namespace in "[ab]{0,2}",
            name in "[ab]{0,4}",
        ) {
            let entries: Vec<_> =
                entries.iter().map(|entry| NamePrefix::parse(entry).unwrap()).collect();
            let naive = entries.iter().any(|entry| entry.matches(&namespace, &name));
            prop_assert_eq!(NamePrefixes::from(entries).matches(&namespace, &name), naive);
        }
    }

    #[test]
    fn an_empty_entry_is_an_error() {
        assert_eq!(
            NamePrefix::parse("").unwrap_err().to_string(),
            "invalid filter, name must not be empty"
        );
    }
}
