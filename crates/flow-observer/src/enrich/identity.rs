//! Security identities: numbers for sets of labels.
//!
//! Numbers below 256 are reserved and the same everywhere. Those of workloads have 24 bits and are
//! computed from the labels, so that every node comes to the same ones without asking anybody; what
//! happens when two sets come to one number is told in [`label_sets`](super::label_sets). Numbers
//! above those stand for peers outside of the cluster, by range of addresses or by name.

use std::{net::IpAddr, sync::Arc};

use crate::record::Endpoint;

/// Hubble's reserved identities that this observer assigns by itself.
pub(crate) const HOST: u32 = 1;
pub(super) const WORLD: u32 = 2;
pub(super) const INIT: u32 = 5;
pub(super) const REMOTE_NODE: u32 = 6;
pub(super) const KUBE_APISERVER: u32 = 7;
pub(super) const WORLD_IPV4: u32 = 9;
pub(super) const WORLD_IPV6: u32 = 10;

/// Numbers and labels of the identities that are the same everywhere: from 1 on, none left out.
pub(super) const RESERVED: [(u32, &[&str]); 10] = [
    (HOST, &["reserved:host"]),
    (WORLD, &["reserved:world"]),
    (3, &["reserved:unmanaged"]),
    (4, &["reserved:health"]),
    (INIT, &["reserved:init"]),
    (REMOTE_NODE, &["reserved:remote-node"]),
    (
        KUBE_APISERVER,
        &["reserved:kube-apiserver", "reserved:remote-node"],
    ),
    (8, &["reserved:ingress"]),
    (WORLD_IPV4, &["reserved:world-ipv4"]),
    (WORLD_IPV6, &["reserved:world-ipv6"]),
];

/// The lowest number that is not reserved.
pub(super) const FIRST: u32 = 256;
/// Identities have 24 bits; those with more are local to a node.
pub(super) const END: u32 = 1 << 24;
/// The number of the first peer outside of the cluster. As in Cilium, the lowest of the scope is
/// nobody's.
const LOCAL_FIRST: u32 = END + 1;
/// Where the scope of those peers ends.
const LOCAL_END: u32 = 2 << 24;

/// Whether this is that of the addresses that nobody else has.
#[inline]
pub(super) fn is_world(identity: u32) -> bool {
    matches!(identity, WORLD | WORLD_IPV4 | WORLD_IPV6)
}

/// Whoever has this reserved identity.
pub(super) fn reserved(identity: u32) -> Arc<Endpoint> {
    let labels = RESERVED
        .iter()
        .find(|(number, _)| *number == identity)
        .map_or(&[][..], |(_, labels)| labels);
    Arc::new(Endpoint {
        identity,
        labels: labels.iter().map(|&label| label.to_owned()).collect(),
        ..Endpoint::default()
    })
}

/// The identity of an address that nobody in the cluster has.
pub(super) fn world(is_dual_stack: bool, address: IpAddr) -> u32 {
    match address {
        _ if !is_dual_stack => WORLD,
        IpAddr::V4(_) => WORLD_IPV4,
        IpAddr::V6(_) => WORLD_IPV6,
    }
}

/// The reserved identity that a label stands for, as `reserved:health` does for 4.
pub(super) fn of_reserved_label(label: &str) -> Option<u32> {
    RESERVED
        .iter()
        .find(|(_, labels)| labels[0] == label)
        .map(|(number, _)| *number)
}

/// The number of a set of labels: computed from the sorted labels alone. With another `salt` the
/// same labels have another number; salt 0 is where everybody starts.
pub(super) fn of_labels<L: AsRef<str>>(sorted_labels: &[L], salt: u8) -> u32 {
    within(FIRST, END, hash(sorted_labels, salt))
}

/// The number of somebody outside of the cluster: 16777217 to 33554431, computed from the sorted
/// labels alone, so that every node comes to the same one and it survives a restart.
///
/// Labels are those of a range, as in `cidr:10.0.0.0/8` and `reserved:world`, or of a name, as in
/// `fqdn:api.github.com` and `reserved:world`. Two sets of labels may come to one number: with 6,000
/// of them one such pair is to be expected. The labels tell them apart.
pub(super) fn local_scope<L: AsRef<str>>(sorted_labels: &[L]) -> u32 {
    within(LOCAL_FIRST, LOCAL_END, hash(sorted_labels, 0))
}

fn within(first: u32, end: u32, hash: u64) -> u32 {
    // The remainder is below the range's length, which has 32 bits.
    first + (hash % u64::from(end - first)) as u32
}

/// FNV-1a over the labels, with separators that keep ["ab", "c"] and ["a", "bc"] apart.
fn hash<L: AsRef<str>>(sorted_labels: &[L], salt: u8) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let salt = Some(salt).filter(|&salt| salt != 0);
    let labels = sorted_labels
        .iter()
        .flat_map(|label| label.as_ref().bytes().chain([b';']));
    salt.into_iter()
        .chain(labels)
        .fold(OFFSET_BASIS, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_have_equal_identities_on_every_node() {
        let labels = ["k8s:app=web", "k8s:tier=front"];
        assert_eq!(
            of_labels(&labels, 0),
            of_labels(&labels.map(str::to_owned), 0)
        );
        assert_ne!(of_labels(&labels, 0), of_labels(&labels[..1], 0));
        assert_ne!(of_labels(&labels, 0), of_labels(&labels, 1));
        assert!((FIRST..END).contains(&of_labels::<&str>(&[], 0)));
    }

    #[test]
    fn peers_outside_of_the_cluster_have_a_scope_of_their_own() {
        let number = local_scope(&["fqdn:api.github.com", "reserved:world"]);
        assert!((16_777_217..33_554_432).contains(&number), "{number}");
        assert_ne!(number, local_scope(&["cidr:10.0.0.0/8", "reserved:world"]));
    }

    #[test]
    fn reserved_identities_are_known_by_their_labels() {
        for (position, (number, labels)) in (1..).zip(RESERVED) {
            assert_eq!(number, position, "none is left out");
            assert_eq!(of_reserved_label(labels[0]), Some(number));
            assert!(labels.is_sorted());
        }
        assert_eq!(of_reserved_label("k8s:app=web"), None);
    }
}
