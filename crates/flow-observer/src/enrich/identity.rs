//! Security identities: numbers for sets of labels.

/// Hubble's reserved identities that this observer assigns.
pub(super) const HOST: u32 = 1;
pub(super) const WORLD: u32 = 2;
pub(super) const REMOTE_NODE: u32 = 6;

/// The lowest number that is not reserved.
const FIRST: u32 = 256;
/// Identities have 24 bits; those with more are local to a node.
const END: u32 = 1 << 24;

/// The number of a set of labels: computed from the sorted labels alone (FNV-1a), so that every
/// node comes to the same one without asking anybody.
pub(super) fn of_labels(sorted_labels: &[String]) -> u32 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = sorted_labels
        .iter()
        // The separator keeps ["ab", "c"] and ["a", "bc"] apart.
        .flat_map(|label| label.bytes().chain([b';']))
        .fold(OFFSET_BASIS, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(PRIME)
        });
    FIRST + (hash % u64::from(END - FIRST)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_labels_have_equal_identities_on_every_node() {
        let labels = ["k8s:app=web".to_owned(), "k8s:tier=front".to_owned()];
        assert_eq!(of_labels(&labels), of_labels(&labels.clone()));
        assert_ne!(of_labels(&labels), of_labels(&labels[..1]));
        assert!((FIRST..END).contains(&of_labels(&[])));
    }
}
