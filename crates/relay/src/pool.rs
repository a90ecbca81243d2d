//! The connections: a [`PeerSet`] in, one [`Member`] per peer out, each with its connections and
//! what is known of their state.
//!
//! A member lives as long as its name is in the set; when its address changes, the connections are
//! replaced and the member stays, so whoever reads from it can go on where it was. A task per member
//! keeps one stream open to the peer (see [`monitor`](crate::monitor)), which is how a lost
//! connection is noticed without traffic, and tries again with pauses when it breaks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flow_api::server::TlsClient;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use crate::defaults::PROBE_SHARE;
use crate::dial::Dialer;
use crate::monitor;
use crate::peers::{Peer, PeerSet};

pub(crate) use crate::about::{About, Clock};
pub(crate) use crate::connections::{Connections, Lease};

/// The members of this moment, by name.
pub(crate) type Members = Arc<BTreeMap<Arc<str>, Arc<Member>>>;

/// What the rest of the relay sees of the pool. Reading never waits.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// Changes when peers come and go.
    pub(crate) members: watch::Receiver<Members>,
    /// Changes with the availability of any member too.
    pub(crate) changes: watch::Receiver<u64>,
}

impl Pool {
    /// The members of this moment.
    pub(crate) fn members(&self) -> Members {
        Arc::clone(&self.members.borrow())
    }
}

/// How a peer's connection is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Not tried yet.
    Idle,
    /// Being tried, and not known to fail.
    Connecting,
    /// Stands.
    Ready,
    /// The last attempt failed, for this reason; the next one follows.
    Failed(String),
}

impl State {
    /// Whether it makes sense to ask the peer something. As with Hubble, one that is still being
    /// connected counts.
    pub(crate) fn is_available(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

/// One peer of the pool.
#[derive(Debug)]
pub(crate) struct Member {
    /// The node's name.
    pub(crate) name: Arc<str>,
    /// Malformed messages that it sent, of all calls.
    pub(crate) malformed: AtomicU64,
    link: watch::Sender<Link>,
    /// Somebody has learnt something about the connection: look at once.
    nudge: Notify,
    changes: watch::Sender<u64>,
    about: Mutex<About>,
    ways: Arc<Ways>,
}

/// What all members share: how peers are reached and watched.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    /// Certificates.
    pub(crate) tls: Option<Arc<TlsClient>>,
    /// How often a peer is asked whether it lives.
    pub(crate) probe_interval: Duration,
    /// How many there are.
    members: AtomicUsize,
}

impl Ways {
    /// By these certificates, asking so often.
    pub(crate) fn new(tls: Option<Arc<TlsClient>>, probe_interval: Duration) -> Self {
        Self {
            tls,
            probe_interval,
            members: AtomicUsize::new(0),
        }
    }
}

/// A member's address and what became of it.
#[derive(Debug)]
pub(crate) struct Link {
    /// As discovered.
    pub(crate) peer: Peer,
    /// Counts the addresses that the member has had.
    pub(crate) generation: u64,
    /// Of the address of this generation.
    pub(crate) state: State,
    /// What was logged since the peer was connected last; each reason once.
    told: Vec<String>,
    /// `None` when the peer has no address that can be used.
    connections: Option<Arc<Connections>>,
}

impl Link {
    fn new(peer: Peer, generation: u64, tls: Option<&Arc<TlsClient>>) -> Self {
        let (connections, state) = match &peer.target {
            Ok(target) => {
                let tls = tls.map(|tls| (Arc::clone(tls), peer.tls_server_name.clone()));
                let dialer = Dialer::new(target.clone(), tls);
                let connections = Connections::new(target.clone(), dialer);
                (Some(Arc::new(connections)), State::Idle)
            }
            Err(reason) => (None, State::Failed(reason.to_string())),
        };
        Self {
            peer,
            generation,
            state,
            told: Vec::new(),
            connections,
        }
    }
}

impl Member {
    fn new(name: Arc<str>, peer: Peer, changes: watch::Sender<u64>, ways: Arc<Ways>) -> Self {
        let (link, _) = watch::channel(Link::new(peer, 0, ways.tls.as_ref()));
        Self {
            name,
            malformed: AtomicU64::new(0),
            link,
            nudge: Notify::new(),
            changes,
            about: Mutex::default(),
            ways,
        }
    }

    /// Follows the member's address and state.
    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Whether the peer can be asked something now.
    pub(crate) fn is_available(&self) -> bool {
        self.link.borrow().state.is_available()
    }

    /// How its connection is doing.
    pub(crate) fn state(&self) -> State {
        self.link.borrow().state.clone()
    }

    /// As discovered.
    pub(crate) fn peer(&self) -> Peer {
        self.link.borrow().peer.clone()
    }

    /// The connections of the address at hand, with its generation.
    pub(crate) fn connections(&self) -> (Option<Arc<Connections>>, u64) {
        let link = self.link.borrow();
        (link.connections.clone(), link.generation)
    }

    /// Has the connection looked at now instead of after the pause.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Waits for somebody's [`Member::nudge`].
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Sets the state of one generation; of an older one there is nothing to say any more.
    pub(crate) fn set_state(&self, generation: u64, state: State) {
        let changed = self.link.send_if_modified(|link| {
            let changed = link.generation == generation && link.state != state;
            if changed {
                report(&self.name, link, &state);
                link.state = state;
            }
            changed
        });
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Cuts the connections of one generation, since nobody answers there. Those who read from them
    /// hear that the peer has moved, and it is unavailable until it answers.
    pub(crate) fn give_up(&self, generation: u64, error: String) {
        let changed = self.link.send_if_modified(|link| {
            let is_this = link.generation == generation;
            if is_this {
                let state = State::Failed(error);
                report(&self.name, link, &state);
                let (tls, told) = (self.ways.tls.as_ref(), std::mem::take(&mut link.told));
                *link = Link::new(link.peer.clone(), generation + 1, tls);
                (link.state, link.told) = (state, told);
            }
            is_this
        });
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// What the peer has said of itself, the last time.
    pub(crate) fn about(&self) -> About {
        self.lock_about().clone()
    }

    /// The peer has said something of itself.
    pub(crate) fn learn(&self, version: String, clock: Option<Clock>) {
        let about = About::new(&version, clock);
        let was = std::mem::replace(&mut *self.lock_about(), about);
        let is_off = |clock: Option<Clock>| clock.is_some_and(Clock::is_off);
        let ahead_seconds = clock.map_or(0.0, |clock| clock.ahead_seconds);
        match (is_off(was.clock), is_off(clock)) {
            (false, true) => tracing::warn!(
                peer = %self.name, ahead_seconds,
                "the clock of a peer is off: follows have its flows out of place"
            ),
            (true, false) => {
                tracing::info!(peer = %self.name, ahead_seconds, "the clock of a peer is right");
            }
            _ => {}
        }
    }

    fn lock_about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often this peer is to be asked whether it lives: less often where there are many.
    pub(crate) fn probe_interval(&self) -> Duration {
        let members = self.ways.members.load(Ordering::Relaxed);
        let of_all = PROBE_SHARE.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX));
        self.ways.probe_interval.max(of_all)
    }

    fn set_peer(&self, peer: Peer) {
        let changed = self.link.send_if_modified(|link| {
            let changed = link.peer != peer;
            if changed {
                *link = Link::new(peer, link.generation + 1, self.ways.tls.as_ref());
            }
            changed
        });
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Counts messages that could not be read.
    pub(crate) fn count_malformed(&self, messages: u64) {
        self.malformed.fetch_add(messages, Ordering::Relaxed);
    }
}

/// Logs what changes for whoever operates the cluster, and not each attempt: of one outage each
/// reason once, and a bounded number of them.
fn report(peer: &str, link: &mut Link, state: &State) {
    let address = &link.peer.address;
    match state {
        State::Ready => {
            tracing::info!(%peer, %address, "peer connected");
            link.told.clear();
        }
        State::Failed(error) if link.told.contains(error) || link.told.len() >= REASONS_TOLD => {
            tracing::debug!(%peer, %address, %error, "peer still unavailable");
        }
        State::Failed(error) => {
            tracing::warn!(%peer, %address, %error, "peer unavailable, trying again");
            link.told.push(error.clone());
        }
        State::Idle | State::Connecting => {}
    }
}

/// Reasons of one outage that are logged.
const REASONS_TOLD: usize = 4;

/// Keeps the members in step with the peer set.
pub(crate) struct Keeper {
    peers: watch::Receiver<PeerSet>,
    members: watch::Sender<Members>,
    changes: watch::Sender<u64>,
    ways: Arc<Ways>,
    /// One per member, ended with it.
    monitors: JoinSet<()>,
    handles: BTreeMap<Arc<str>, AbortHandle>,
}

impl Keeper {
    /// The task that keeps the pool, and the pool as others see it. Members are there at once.
    pub(crate) fn new(peers: watch::Receiver<PeerSet>, ways: Ways) -> (Self, Pool) {
        let members = watch::Sender::new(Members::default());
        let changes = watch::Sender::new(0);
        let pool = Pool {
            members: members.subscribe(),
            changes: changes.subscribe(),
        };
        let mut keeper = Self {
            peers,
            members,
            changes,
            ways: Arc::new(ways),
            monitors: JoinSet::new(),
            handles: BTreeMap::new(),
        };
        keeper.update();
        (keeper, pool)
    }

    /// Runs until discovery ends. Dropping it closes what it keeps.
    pub(crate) async fn run(mut self) {
        while self.peers.changed().await.is_ok() {
            self.update();
        }
    }

    fn update(&mut self) {
        let peers = self.peers.borrow_and_update().peers.clone();
        let old = Arc::clone(&self.members.borrow());
        self.ways.members.store(peers.len(), Ordering::Relaxed);
        let mut members = BTreeMap::new();
        for (name, peer) in peers {
            let member = if let Some(member) = old.get(&name) {
                member.set_peer(peer);
                Arc::clone(member)
            } else {
                self.add(Arc::clone(&name), peer)
            };
            members.insert(name, member);
        }
        self.handles.retain(|name, monitor| {
            let stays = members.contains_key(name);
            if !stays {
                tracing::info!(peer = %name, "peer gone");
                monitor.abort();
            }
            stays
        });
        while self.monitors.try_join_next().is_some() {}
        if members.len() != old.len() || !members.keys().eq(old.keys()) {
            self.members.send_replace(Arc::new(members));
        }
        // Also when only the list's currency changed: health depends on it.
        self.changes.send_modify(|count| *count += 1);
    }

    fn add(&mut self, name: Arc<str>, peer: Peer) -> Arc<Member> {
        let member = Arc::new(Member::new(
            Arc::clone(&name),
            peer,
            self.changes.clone(),
            Arc::clone(&self.ways),
        ));
        let monitor = self
            .monitors
            .spawn(monitor::keep_connected(Arc::clone(&member)));
        self.handles.insert(name, monitor);
        member
    }
}
