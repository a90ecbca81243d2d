//! Identities of named peers outside of the cluster, local to this node.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use crate::{enrich::identity, record::Endpoint};

/// Named peers with an identity of their own, about 300 bytes each. Those that nothing speaks of
/// any more make room for others; as long as there is none, the others stay the world.
const MAX_PEERS: usize = 16_384;
/// After a look for room that found none, so many ask in vain before the next.
const PATIENCE: u32 = 4_096;

/// The lowest number of a peer outside of the cluster.
const FIRST: u32 = (1 << 24) + 1;
/// Where those numbers end.
const END: u32 = 2 << 24;
/// Everybody outside of the cluster, and in those with both IP versions, everybody of one.
const WORLD: [u32; 3] = [2, 9, 10];

/// Whether somebody is outside of the cluster, and nothing more is known.
pub(super) fn is_world(endpoint: &Endpoint) -> bool {
    WORLD.contains(&endpoint.identity)
}

/// Who the world's named machines are.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_name: HashMap<Arc<str>, Arc<Endpoint>>,
    numbers: HashSet<u32>,
    refused: u32,
}

impl Peers {
    /// The peer with this name, of what is outside of the cluster otherwise.
    pub(super) fn peer(&mut self, name: &Arc<str>, world: &Endpoint) -> Option<Arc<Endpoint>> {
        if let Some(known) = self.by_name.get(name) {
            return Some(Arc::clone(known));
        }
        if self.by_name.len() >= MAX_PEERS && !self.make_room() {
            return None;
        }
        let mut labels = world.labels.to_vec();
        labels.push(format!("fqdn:{name}"));
        labels.sort();
        let peer = Arc::new(Endpoint {
            identity: self.number(identity::local_scope(&labels)),
            labels: labels.into(),
            ..Endpoint::default()
        });
        self.by_name.insert(Arc::clone(name), Arc::clone(&peer));
        Some(peer)
    }

    /// The number that is wanted, or the next one that nobody has: there are far more than peers.
    fn number(&mut self, wanted: u32) -> u32 {
        let mut number = wanted;
        while !self.numbers.insert(number) {
            number = if number + 1 < END { number + 1 } else { FIRST };
        }
        number
    }

    /// Forgets the peers that neither a name nor a flow holds.
    fn make_room(&mut self) -> bool {
        if !self.refused.is_multiple_of(PATIENCE) {
            self.refused = self.refused.wrapping_add(1);
            return false;
        }
        let numbers = &mut self.numbers;
        self.by_name.retain(|_, peer| {
            let is_held = Arc::strong_count(peer) > 1;
            if !is_held {
                numbers.remove(&peer.identity);
            }
            is_held
        });
        let has_room = self.by_name.len() < MAX_PEERS;
        self.refused = if has_room { 0 } else { 1 };
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> Endpoint {
        Endpoint {
            identity: WORLD[0],
            labels: vec!["reserved:world".to_owned()].into(),
            ..Endpoint::default()
        }
    }

    #[test]
    fn a_named_peer_has_a_number_beyond_those_of_the_cluster_and_keeps_it() {
        let mut peers = Peers::default();
        let name = Arc::from("api.example.test");
        let peer = peers.peer(&name, &world()).unwrap();
        assert!((FIRST..END).contains(&peer.identity));
        assert_eq!(*peer.labels, ["fqdn:api.example.test", "reserved:world"]);
        assert!(Arc::ptr_eq(&peer, &peers.peer(&name, &world()).unwrap()));
        let other = peers
            .peer(&Arc::from("www.example.test"), &world())
            .unwrap();
        assert_ne!(other.identity, peer.identity);
    }

    #[test]
    fn two_names_never_share_a_number() {
        let mut peers = Peers::default();
        assert_eq!(peers.number(END - 1), END - 1);
        assert_eq!(peers.number(END - 1), FIRST);
        assert_eq!(peers.number(END - 1), FIRST + 1);
    }

    #[test]
    fn there_are_never_more_than_fit_and_those_in_use_stay() {
        let mut peers = Peers::default();
        let kept = peers.peer(&Arc::from("kept.test"), &world()).unwrap();
        for number in 0..2 * MAX_PEERS {
            peers.peer(&Arc::from(format!("{number}.test")), &world());
            assert!(peers.by_name.len() <= MAX_PEERS);
            assert_eq!(peers.by_name.len(), peers.numbers.len());
        }
        let again = peers.peer(&Arc::from("kept.test"), &world()).unwrap();
        assert!(Arc::ptr_eq(&kept, &again));
    }
}
