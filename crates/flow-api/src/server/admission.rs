//! Who gets in: how many connections there may be, in all and of one peer.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use tokio_util::sync::CancellationToken;

use super::{
    Limits,
    counts::{Refusal, ServerCounts},
};

/// Who is behind a connection, as far as bounds are concerned.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Peer {
    /// An address, or the first half of one of IPv6: whoever has one of those has them all.
    Address(IpAddr),
    /// A user of this host, by number; `None` where the system does not tell.
    User(Option<u32>),
}

/// Who a call is from, as far as a server knows: an address (of IPv6 its first half), or a user of
/// this host. In the extensions of each request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientName(pub(super) Peer);

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Peer {
    pub(super) fn of_address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(network.into())
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User(Some(user)) => write!(f, "user {user}"),
            Self::User(None) => f.write_str("a user"),
        }
    }
}

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    counts: Arc<ServerCounts>,
    /// As many entries as there are connections, at most.
    peers: Mutex<HashMap<Peer, usize>>,
    handshakes: Mutex<Handshakes>,
}

#[derive(Debug, Default)]
struct Handshakes {
    /// By age.
    open: BTreeMap<u64, CancellationToken>,
    next: u64,
}

/// The right to be connected. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Admitted {
    peer: Peer,
    admission: Arc<Admission>,
}

/// A handshake that goes on. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    /// Cancelled when it has to make room.
    pub(super) cut: CancellationToken,
    admission: Arc<Admission>,
}

impl Admission {
    pub(super) fn new(limits: Limits, counts: Arc<ServerCounts>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counts,
            peers: Mutex::default(),
            handshakes: Mutex::default(),
        })
    }

    /// Lets one more connection in.
    ///
    /// # Errors
    /// When there are too many.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Result<Admitted, Refusal> {
        let mut peers = lock(&self.peers);
        if self.counts.connections() >= self.limits.connections as u64 {
            return Err(Refusal::Connections);
        }
        let of_peer = peers.get(&peer).copied().unwrap_or_default();
        if of_peer >= self.limits.connections_per_peer {
            return Err(Refusal::ConnectionsOfPeer);
        }
        peers.insert(peer, of_peer + 1);
        // Under the lock, as everywhere where it changes.
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Admitted {
            peer,
            admission: Arc::clone(self),
        })
    }

    /// Begins a handshake. When there are too many, the oldest is cut.
    pub(super) fn begin_handshake(self: &Arc<Self>) -> Handshake {
        let mut handshakes = lock(&self.handshakes);
        while handshakes.open.len() >= self.limits.handshakes.max(1) {
            if let Some((_, oldest)) = handshakes.open.pop_first() {
                oldest.cancel();
            }
        }
        let number = handshakes.next;
        handshakes.next += 1;
        let cut = CancellationToken::new();
        handshakes.open.insert(number, cut.clone());
        Handshake {
            number,
            cut,
            admission: Arc::clone(self),
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut peers = lock(&self.admission.peers);
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
        let counts = &self.admission.counts;
        counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&self.admission.handshakes).open.remove(&self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(limits: Limits) -> Arc<Admission> {
        Admission::new(limits, Arc::default())
    }

    fn peer(address: &str) -> Peer {
        Peer::of_address(address.parse().unwrap())
    }

    #[test]
    fn one_peer_leaves_room_for_others_and_all_together_have_a_bound() {
        let admission = admission(Limits {
            connections: 3,
            connections_per_peer: 2,
            ..Limits::default()
        });
        let a = peer("192.0.2.1");
        let first = admission.admit(a).unwrap();
        let _second = admission.admit(a).unwrap();
        assert_eq!(admission.admit(a).unwrap_err(), Refusal::ConnectionsOfPeer);
        let _third = admission.admit(Peer::User(Some(0))).unwrap();
        let b = peer("192.0.2.2");
        assert_eq!(admission.admit(b).unwrap_err(), Refusal::Connections);
        drop(first);
        let _fourth = admission.admit(b).unwrap();
        assert_eq!(admission.counts.connections(), 3);
    }

    #[test]
    fn a_peer_is_forgotten_with_its_last_connection() {
        let admission = admission(Limits::default());
        drop(admission.admit(peer("192.0.2.1")).unwrap());
        assert!(lock(&admission.peers).is_empty());
        assert_eq!(admission.counts.connections(), 0);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_peer() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::2:3"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }

    #[test]
    fn one_handshake_too_many_cuts_the_oldest() {
        let admission = admission(Limits {
            handshakes: 2,
            ..Limits::default()
        });
        let first = admission.begin_handshake();
        drop(admission.begin_handshake());
        let second = admission.begin_handshake();
        assert!(!first.cut.is_cancelled());
        let third = admission.begin_handshake();
        assert!(first.cut.is_cancelled());
        assert!(!second.cut.is_cancelled() && !third.cut.is_cancelled());
        drop((first, second, third));
        assert!(lock(&admission.handshakes).open.is_empty());
    }
}
