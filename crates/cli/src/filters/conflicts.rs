//! Filter flags that exclude each other.

use crate::flags::ValueError;

/// Of each group one flag at most may be given. The order within a group decides which two a
/// message names.
const GROUPS: &[&[&str]] = &[
    // An end of a flow is given by name, by address or by its place in Kubernetes.
    &[
        "from-fqdn",
        "from-ip",
        "ip",
        "fqdn",
        "from-namespace",
        "namespace",
        "from-all-namespaces",
        "all-namespaces",
    ],
    &["from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod"],
    &[
        "to-fqdn",
        "to-ip",
        "ip",
        "fqdn",
        "to-namespace",
        "namespace",
        "to-all-namespaces",
        "all-namespaces",
    ],
    &["to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod"],
    // A namespace for either end cannot complete a name at one end.
    &["to-pod", "namespace", "all-namespaces"],
    &["from-pod", "namespace", "all-namespaces"],
    &["to-service", "namespace", "all-namespaces"],
    &["from-service", "namespace", "all-namespaces"],
    // Either end, or one of them.
    &["label", "from-label"],
    &["label", "to-label"],
    &["service", "from-service"],
    &["service", "to-service"],
    &["port", "to-port"],
    &["port", "from-port"],
    &["identity", "to-identity"],
    &["identity", "from-identity"],
    &["workload", "to-workload"],
    &["workload", "from-workload"],
    &["encrypted", "unencrypted"],
];

/// Looks for two flags of one group among those given.
///
/// # Errors
/// Names the first two, in the order of the group.
pub(super) fn check(given: &[&str]) -> Result<(), ValueError> {
    for group in GROUPS {
        let mut present = group.iter().filter(|name| given.contains(name));
        if let (Some(first), Some(second)) = (present.next(), present.next()) {
            return Err(ValueError::new(format!(
                "filters --{first} and --{second} cannot be combined"
            )));
        }
    }
    Ok(())
}
