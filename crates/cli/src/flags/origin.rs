//! Which flags Hubble's client has, too: those that its help tells of. Help marks all others, so
//! that who writes a script knows which ones run with both.

/// Flags of Hubble's client, by name.
const HUBBLES: [&str; 98] = [
    "all",
    "all-namespaces",
    "allowlist",
    "basic-auth-password",
    "basic-auth-username",
    "cel-expression",
    "cluster",
    "color",
    "config",
    "debug",
    "denylist",
    "drop-reason-desc",
    "encrypted",
    "field-mask",
    "first",
    "follow",
    "fqdn",
    "from-all-namespaces",
    "from-cluster",
    "from-fqdn",
    "from-identity",
    "from-ip",
    "from-label",
    "from-namespace",
    "from-pod",
    "from-port",
    "from-service",
    "from-workload",
    "help",
    "http-header",
    "http-method",
    "http-path",
    "http-status",
    "http-url",
    "identity",
    "input-file",
    "interface",
    "ip",
    "ip-trace-id",
    "ip-translation",
    "ip-version",
    "ipv4",
    "ipv6",
    "kube-context",
    "kube-namespace",
    "kubeconfig",
    "label",
    "last",
    "namespace",
    "node-label",
    "node-name",
    "not",
    "numeric",
    "output",
    "pod",
    "port",
    "port-forward",
    "port-forward-port",
    "print-node-name",
    "print-policy-names",
    "print-raw-filters",
    "protocol",
    "request-timeout",
    "server",
    "service",
    "silent-errors",
    "since",
    "snat-ip",
    "tcp-flags",
    "time-format",
    "timeout",
    "tls",
    "tls-allow-insecure",
    "tls-ca-cert-files",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-server-name",
    "to-all-namespaces",
    "to-cluster",
    "to-fqdn",
    "to-identity",
    "to-ip",
    "to-label",
    "to-namespace",
    "to-pod",
    "to-port",
    "to-service",
    "to-workload",
    "trace-id",
    "traffic-direction",
    "type",
    "unencrypted",
    "until",
    "use-default-field-masks",
    "uuid",
    "verdict",
    "version",
    "workload",
];

/// Commands of Hubble's client that stand alone, in its help or not.
const COMMANDS: [&str; 9] = [
    "completion",
    "config",
    "help",
    "list",
    "observe",
    "reflect",
    "status",
    "version",
    "watch",
];

/// Those that its help does not tell of.
const UNTOLD: [&str; 2] = ["reflect", "watch"];

/// Whether Hubble's client has this command. The path begins with the program's name.
pub(crate) fn has_command(path: &str) -> bool {
    path.split(' ')
        .nth(1)
        .is_none_or(|name| COMMANDS.contains(&name))
}

/// Whether its help tells of this command.
pub(crate) fn tells_of_command(path: &str) -> bool {
    has_command(path)
        && !UNTOLD
            .iter()
            .any(|name| path.ends_with(&format!(" {name}")))
}

/// Whether its help of this command tells of this flag.
pub(crate) fn tells_of_flag(path: &str, flag: &str) -> bool {
    // It takes formats for status, but does not say so.
    HUBBLES.contains(&flag) && !(path.ends_with(" status") && flag == "output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_once_and_in_order() {
        assert!(HUBBLES.is_sorted_by(|a, b| a < b));
        assert!(COMMANDS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn commands_below_one_of_hubbles_are_hubbles() {
        assert!(tells_of_command("palomar list nodes"));
        assert!(has_command("palomar watch") && !tells_of_command("palomar watch"));
        assert!(tells_of_command("palomar watch peers"));
        assert!(!has_command("palomar doctor"));
    }
}
