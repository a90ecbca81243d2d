//! The `*_pod` and `*_service` fields: `namespace/prefix`.

use crate::error::NameError;

/// A namespace and how a name in it begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct NamePrefix {
    /// Nothing for any namespace.
    namespace: Option<String>,
    prefix: String,
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

    #[test]
    fn an_empty_entry_is_an_error() {
        assert_eq!(
            NamePrefix::parse("").unwrap_err().to_string(),
            "invalid filter, name must not be empty"
        );
    }
}
