//! The settings that can be configured, by the names of their flags.

/// What a setting holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A time, with its unit.
    Duration,
    /// Texts.
    List,
    /// A port by its number.
    Port,
    /// True or false.
    Switch,
    /// Anything.
    Text,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// What holds where nobody says otherwise. Where that depends on the machine, as for the
    /// server and for the file itself, it is empty.
    pub(crate) default: &'static str,
}

/// The setting that names the file.
pub(crate) const CONFIG: &str = "config";

/// All settings, by name.
pub(crate) const KEYS: [Key; 18] = [
    key("basic-auth-password", Kind::Text, ""),
    key("basic-auth-username", Kind::Text, ""),
    key(CONFIG, Kind::Text, ""),
    key("debug", Kind::Switch, "false"),
    key("kube-context", Kind::Text, ""),
    key("kube-namespace", Kind::Text, "kube-system"),
    key("kubeconfig", Kind::Text, ""),
    key("port-forward", Kind::Switch, "false"),
    key("port-forward-port", Kind::Port, "4245"),
    key("request-timeout", Kind::Duration, "12s"),
    key("server", Kind::Text, ""),
    key("timeout", Kind::Duration, "5s"),
    key("tls", Kind::Switch, "false"),
    key("tls-allow-insecure", Kind::Switch, "false"),
    key("tls-ca-cert-files", Kind::List, ""),
    key("tls-client-cert-file", Kind::Text, ""),
    key("tls-client-key-file", Kind::Text, ""),
    key("tls-server-name", Kind::Text, ""),
];

const fn key(name: &'static str, kind: Kind, default: &'static str) -> Key {
    Key {
        name,
        kind,
        default,
    }
}

impl Key {
    /// The setting of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_listed_once_and_in_order() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
    }
}
