//! What is known of namespaces, here and in the kernel.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use aya::maps::{HashMap as BpfHashMap, MapData};
use probe_events::NetnsOwner;
use tracing::debug;

use super::{
    devices::{Devices, Role},
    namespaces::{Looker, Owners},
    netlink::Netlink,
};
use crate::source::Namespace;

/// Namespaces that were gone before anybody could say whose they were, and are remembered so that
/// nobody looks for them again. More than a busy node leaves behind in a minute.
const MAX_GONE: usize = 4096;

/// Whose the network namespaces of this machine are. The attacher refreshes it when devices
/// change; the reader asks for each drop.
pub(super) struct Namespaces {
    state: Mutex<State>,
}

struct State {
    netlink: Netlink,
    looker: Looker,
    /// What the drop probe knows, by cookie.
    in_kernel: BpfHashMap<MapData, u64, u32>,
    owners: Owners,
    /// This node's namespaces by the addresses that others reach them at.
    by_address: HashMap<IpAddr, u64>,
    /// Cookies are never used again.
    gone: HashSet<u64>,
    /// Numbers of the namespaces behind the pods' devices.
    pods: HashSet<i32>,
}

impl Namespaces {
    pub(super) fn new(in_kernel: BpfHashMap<MapData, u64, u32>) -> io::Result<Self> {
        let netlink = Netlink::open()?;
        let state = State {
            netlink,
            looker: Looker::default(),
            in_kernel,
            owners: Owners::new(),
            by_address: HashMap::new(),
            gone: HashSet::new(),
            pods: HashSet::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    /// Looks at all namespaces after devices have changed.
    pub(super) fn refresh(&self, found: &Devices) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pods = found
            .watched
            .values()
            .filter(|device| device.role == Role::Endpoint)
            .filter_map(|device| device.peer_netns)
            .collect();
        state.look();
    }

    /// This node's namespace with this cookie; `None` when it is another node's, or unknown.
    pub(super) fn owner(&self, cookie: u64) -> Option<Arc<Namespace>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.owners.get(&cookie) {
            return known.clone();
        }
        if state.gone.contains(&cookie) {
            return None;
        }
        // Made since the last look; or gone already, and then nobody can say whose it was.
        state.look();
        if let Some(known) = state.owners.get(&cookie) {
            return known.clone();
        }
        if state.gone.len() >= MAX_GONE {
            state.gone.clear();
        }
        state.gone.insert(cookie);
        None
    }

    /// The cookie of this node's namespace that has this address.
    pub(super) fn at(&self, address: IpAddr) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.by_address.get(&address).copied()
    }
}

impl State {
    fn look(&mut self) {
        let found = self.looker.look(&self.netlink, &self.pods);
        for gone in self.owners.keys().filter(|it| !found.contains_key(it)) {
            // An entry that stays behind only takes room.
            drop(self.in_kernel.remove(gone));
        }
        for (cookie, owner) in &found {
            let known = self.owners.get(cookie);
            if known.is_some_and(|known| known.is_some() == owner.is_some()) {
                continue;
            }
            let owner = if owner.is_some() {
                NetnsOwner::ThisNode
            } else {
                NetnsOwner::Other
            } as u32;
            if let Err(error) = self.in_kernel.insert(cookie, owner, 0) {
                // The probe then reports the drop and user space decides, as it does here.
                debug!(%error, cookie, "cannot tell the drop probe about a namespace");
            }
        }
        self.by_address = found
            .iter()
            .filter_map(|(&cookie, owner)| Some((cookie, owner.as_ref()?)))
            .flat_map(|(cookie, owner)| owner.addresses.iter().map(move |&ip| (ip, cookie)))
            .filter(|(address, _)| !address.is_loopback())
            .collect();
        self.owners = found;
    }
}
