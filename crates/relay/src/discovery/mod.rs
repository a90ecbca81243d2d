//! Which peers there are: each source that the operator named in, one [`PeerSet`] out, as a `watch`
//! value, so that whoever reads it never waits for a source.
//!
//! Each source is a task and owns a [`Place`]: what it puts there holds until it puts something else.
//! A source that fails keeps its peers and says that they are not current. Where two sources tell
//! of the same name, the one that was named first wins.

mod file;
mod names;
mod notify;
#[cfg(feature = "kubernetes")]
mod slices;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use file::PeerFile;
pub use file::PeerFileError;
pub(crate) use names::Names;
pub use names::{NamesError, PeerNames, PeerNamesError};
pub(crate) use notify::Notify;
#[cfg(feature = "kubernetes")]
pub(crate) use slices::Slices;
#[cfg(feature = "kubernetes")]
pub use slices::{PeerSlices, PeerSlicesError, SlicesError};

use crate::defaults::MAX_PEERS;
use crate::peers::{PeerSet, Peers, Rules, StaticPeer};

/// Somebody who tells of peers, besides the fixed list.
pub(crate) enum Source {
    /// A file with one peer on each line, or YAML.
    File(PeerFile),
    /// Names in DNS. Boxed, as the last one: their clients are large.
    Names(Box<Names>),
    /// An agent's peer service.
    Notify(Notify),
    /// The slices of a Kubernetes service.
    #[cfg(feature = "kubernetes")]
    Slices(Box<Slices>),
}

impl Source {
    /// Tells of peers for as long as anybody wants to know.
    async fn run(self, place: Place) {
        match self {
            Self::File(file) => file.run(place).await,
            Self::Names(names) => names.run(place).await,
            Self::Notify(notify) => notify.run(place).await,
            #[cfg(feature = "kubernetes")]
            Self::Slices(slices) => slices.run(place).await,
        }
    }
}

/// All sources, each as a task. Dropping it ends them.
pub(crate) struct Discovery {
    tasks: JoinSet<()>,
}

impl Discovery {
    /// Starts them. The fixed list is part of the set at once.
    ///
    /// Must be called within a tokio runtime.
    pub(crate) fn start(
        fixed: Vec<StaticPeer>,
        sources: Vec<Source>,
        rules: &Rules,
    ) -> (Self, watch::Receiver<PeerSet>) {
        let fixed: Peers = fixed
            .into_iter()
            .map(|peer| (peer.name.as_str().into(), rules.listed(peer)))
            .collect();
        let first = Part {
            is_current: !fixed.is_empty(),
            peers: fixed,
        };
        let mut parts = vec![first];
        parts.extend(sources.iter().map(|_| Part::default()));
        let set = watch::Sender::new(combined(&parts));
        let seen = set.subscribe();
        let shelf = Arc::new(Shelf {
            parts: Mutex::new(parts),
            set,
        });
        let mut tasks = JoinSet::new();
        for (index, source) in (1..).zip(sources) {
            let shelf = Arc::clone(&shelf);
            tasks.spawn(source.run(Place { shelf, index }));
        }
        // Without sources nothing ever changes; the value must stay readable.
        tasks.spawn(async move { shelf.set.closed().await });
        (Self { tasks }, seen)
    }

    /// Waits until nobody looks at the set any more.
    pub(crate) async fn run(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What one source knows.
#[derive(Debug, Default)]
struct Part {
    is_current: bool,
    peers: Peers,
}

#[derive(Debug)]
struct Shelf {
    /// In the order of precedence.
    parts: Mutex<Vec<Part>>,
    set: watch::Sender<PeerSet>,
}

/// Where one source puts what it knows.
#[derive(Debug)]
pub(crate) struct Place {
    shelf: Arc<Shelf>,
    index: usize,
}

impl Place {
    /// These are the peers now.
    pub(crate) fn put(&self, peers: Peers) {
        self.change(|part| {
            part.is_current = true;
            part.peers = peers;
        });
    }

    /// Nobody can tell whether they still are. Returns whether that is news.
    pub(crate) fn lost(&self) -> bool {
        let mut was_current = false;
        self.change(|part| was_current = std::mem::replace(&mut part.is_current, false));
        was_current
    }

    /// Waits until nobody wants to know any more.
    pub(crate) async fn closed(&self) {
        self.shelf.set.closed().await;
    }

    fn change(&self, change: impl FnOnce(&mut Part)) {
        let mut parts = self
            .shelf
            .parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = parts.get_mut(self.index) {
            change(part);
        }
        let new = combined(&parts);
        // Under the lock, so that an older set never replaces a newer one.
        self.shelf.set.send_if_modified(|old| {
            let changed = *old != new;
            if changed {
                *old = new;
            }
            changed
        });
    }
}

/// The peers of all parts, as many as there may be.
fn combined(parts: &[Part]) -> PeerSet {
    let mut peers = Peers::new();
    let mut too_many = 0_usize;
    for (name, peer) in parts.iter().flat_map(|part| &part.peers) {
        if peers.contains_key(name) {
            continue;
        }
        if peers.len() >= MAX_PEERS {
            too_many += 1;
            continue;
        }
        peers.insert(Arc::clone(name), peer.clone());
    }
    if too_many > 0 {
        tracing::error!(ignored = too_many, limit = MAX_PEERS, "too many peers");
    }
    PeerSet {
        is_current: parts.iter().any(|part| part.is_current),
        peers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            has_tls: false,
            cluster: "default".to_owned(),
        }
    }

    fn peers(texts: &[&str]) -> Peers {
        let peer = |text: &&str| {
            let peer: StaticPeer = text.parse().unwrap();
            (peer.name.as_str().into(), rules().listed(peer))
        };
        texts.iter().map(peer).collect()
    }

    fn shelf(parts: usize) -> (Vec<Place>, watch::Receiver<PeerSet>) {
        let set = watch::Sender::new(PeerSet::default());
        let seen = set.subscribe();
        let shelf = Arc::new(Shelf {
            parts: Mutex::new((0..parts).map(|_| Part::default()).collect()),
            set,
        });
        let place = |index| Place {
            shelf: Arc::clone(&shelf),
            index,
        };
        ((0..parts).map(place).collect(), seen)
    }

    fn shown(seen: &watch::Receiver<PeerSet>) -> Vec<String> {
        let set = seen.borrow();
        let show =
            |(name, peer): (&Arc<str>, &crate::peers::Peer)| format!("{name} {}", peer.address);
        set.peers.iter().map(show).collect()
    }

    #[test]
    fn the_source_that_was_named_first_wins_for_as_long_as_it_tells() {
        let (places, seen) = shelf(2);
        places[1].put(peers(&["a=192.0.2.2", "b=192.0.2.3"]));
        places[0].put(peers(&["a=192.0.2.1"]));
        assert_eq!(shown(&seen), ["a 192.0.2.1:4244", "b 192.0.2.3:4244"]);
        places[0].put(Peers::new());
        assert_eq!(shown(&seen), ["a 192.0.2.2:4244", "b 192.0.2.3:4244"]);
    }

    #[test]
    fn a_source_that_is_lost_keeps_its_peers_and_one_that_is_current_is_enough() {
        let (places, seen) = shelf(2);
        places[0].put(peers(&["a=192.0.2.1"]));
        places[1].put(peers(&["b=192.0.2.2"]));
        assert!(places[0].lost());
        assert!(!places[0].lost(), "no news");
        assert_eq!(shown(&seen).len(), 2);
        assert!(seen.borrow().is_current);
        places[1].lost();
        assert!(!seen.borrow().is_current);
    }

    #[test]
    fn what_is_told_again_wakes_nobody() {
        let (places, mut seen) = shelf(1);
        places[0].put(peers(&["a=192.0.2.1"]));
        seen.mark_unchanged();
        places[0].put(peers(&["a=192.0.2.1"]));
        assert!(!seen.has_changed().unwrap());
    }
}
