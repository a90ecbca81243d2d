//! Keeps the probes on the devices that there are.
//!
//! A thread of its own waits for news from the routing socket. Whatever the news is, it looks at
//! all devices anew and makes the attachments match: a message that was missed cannot leave a
//! device out for longer than until the next look.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
    programs::{
        BtfTracePoint, LinkOrder, SchedClassifier,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, qdisc_add_clsact},
    },
    util::KernelVersion,
};
use nix::{
    libc::{
        RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
    },
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv},
};
use probe_events::NetnsOwner;
use tracing::{debug, info, warn};

use super::{
    ProbeError,
    devices::{self, Device, Devices, Role},
    namespaces::{self, Owners},
    netlink::Netlink,
    program_mut,
};
use crate::source::{LocalDevices, Namespace};

/// The classifiers of the probes' object.
pub(super) const CLASSIFIERS: [&str; 4] =
    ["from_endpoint", "to_endpoint", "from_network", "to_network"];

/// How long the thread waits for news before it looks whether it should stop.
const STOP_CHECK_MS: u8 = 100;
/// News come in bursts, as when a pod is set up: wait this long for the burst to end.
const BURST: Duration = Duration::from_millis(5);
/// Since this version devices have TCX; before, a queueing discipline holds classifiers.
const TCX_SINCE: KernelVersion = KernelVersion::new(6, 6, 0);

/// Keeps the probes attached until it is dropped.
pub struct Attacher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    namespaces: Arc<Namespaces>,
    devices: Arc<ArcSwap<LocalDevices>>,
}

impl Attacher {
    /// Attaches the programs and starts following the devices.
    pub(super) fn start(
        mut ebpf: Ebpf,
        netns: BpfHashMap<MapData, u64, u32>,
    ) -> Result<Self, ProbeError> {
        let groups = RTMGRP_LINK
            | RTMGRP_IPV4_IFADDR
            | RTMGRP_IPV6_IFADDR
            | RTMGRP_IPV4_ROUTE
            | RTMGRP_IPV6_ROUTE;
        // Subscribed before the first look, so that nothing is missed in between.
        let news = Netlink::subscribe(groups as u32).map_err(ProbeError::Devices)?;
        let netlink = Netlink::open().map_err(ProbeError::Devices)?;
        let namespaces = Arc::new(Namespaces::new(netns).map_err(ProbeError::Devices)?);
        let published = Arc::new(ArcSwap::from_pointee(LocalDevices::default()));

        let found = devices::look(&netlink).map_err(ProbeError::Devices)?;
        namespaces.refresh(&found);
        let drops: &mut BtfTracePoint = program_mut(&mut ebpf, "kfree_skb")?;
        drops.attach().map_err(|source| ProbeError::Program {
            program: "kfree_skb",
            source,
        })?;
        let mut worker = Worker {
            netlink,
            namespaces: Arc::clone(&namespaces),
            published: Arc::clone(&published),
            attached: BTreeMap::new(),
            ebpf,
        };
        worker.apply(found);

        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::Builder::new()
            .name("devices".to_owned())
            .spawn({
                let stop = Arc::clone(&stop);
                move || worker.run(&news, &stop)
            })
            .map_err(ProbeError::Devices)?;
        Ok(Self {
            stop,
            thread: Some(thread),
            namespaces,
            devices: published,
        })
    }

    pub(super) fn namespaces(&self) -> Arc<Namespaces> {
        Arc::clone(&self.namespaces)
    }

    /// This host's devices and addresses, as they are now.
    #[must_use]
    pub fn devices(&self) -> Arc<ArcSwap<LocalDevices>> {
        Arc::clone(&self.devices)
    }
}

impl Drop for Attacher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that follows devices ended early");
        }
    }
}

/// What the thread owns. Dropping the programs detaches them.
struct Worker {
    netlink: Netlink,
    namespaces: Arc<Namespaces>,
    published: Arc<ArcSwap<LocalDevices>>,
    attached: BTreeMap<u32, Attached>,
    ebpf: Ebpf,
}

/// A watched device; dropping the links detaches the programs.
struct Attached {
    device: Device,
    _links: [SchedClassifierLink; 2],
}

impl Worker {
    fn run(mut self, news: &OwnedFd, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            if !wait_for_news(news) {
                continue;
            }
            match devices::look(&self.netlink) {
                Ok(found) => {
                    self.namespaces.refresh(&found);
                    self.apply(found);
                }
                Err(error) => {
                    warn!(%error, "cannot look at devices, trying again on the next change")
                }
            }
        }
    }

    /// Attaches to what is new and lets go of what is gone or became something else.
    fn apply(&mut self, found: Devices) {
        self.attached
            .retain(|index, attached| found.watched.get(index) == Some(&attached.device));
        for (&index, device) in &found.watched {
            if self.attached.contains_key(&index) {
                continue;
            }
            match attach(&mut self.ebpf, device) {
                Ok(links) => {
                    info!(device = %device.name, role = ?device.role, "watching device");
                    let attached = Attached {
                        device: device.clone(),
                        _links: links,
                    };
                    self.attached.insert(index, attached);
                }
                // The device may be gone again; if it is not, the next look tries again.
                Err(error) => {
                    warn!(device = %device.name, error = %chain(&error), "cannot watch device");
                }
            }
        }
        self.published.store(Arc::new(LocalDevices {
            names: found.names,
            addresses: found.addresses,
            watched: self.attached.len(),
        }));
    }
}

/// Attaches the two classifiers of the device's role.
fn attach(ebpf: &mut Ebpf, device: &Device) -> Result<[SchedClassifierLink; 2], ProbeError> {
    let (inward, outward) = match device.role {
        Role::Endpoint => ("from_endpoint", "to_endpoint"),
        Role::Network => ("from_network", "to_network"),
    };
    Ok([
        attach_one(ebpf, inward, device, TcAttachType::Ingress)?,
        attach_one(ebpf, outward, device, TcAttachType::Egress)?,
    ])
}

fn attach_one(
    ebpf: &mut Ebpf,
    program: &'static str,
    device: &Device,
    direction: TcAttachType,
) -> Result<SchedClassifierLink, ProbeError> {
    let has_tcx = KernelVersion::current().is_ok_and(|version| version >= TCX_SINCE);
    let options = if has_tcx {
        // First, since a program before us may redirect packets past us.
        TcAttachOptions::TcxOrder(LinkOrder::first())
    } else {
        // Fails where the discipline is there already, which is as good.
        drop(qdisc_add_clsact(&device.name));
        TcAttachOptions::Netlink(NlOptions::default())
    };
    let failed = |source| ProbeError::Program { program, source };
    let classifier: &mut SchedClassifier = program_mut(ebpf, program)?;
    let link = classifier
        .attach_with_options(&device.name, direction, options)
        .map_err(failed)?;
    classifier.take_link(link).map_err(failed)
}

/// Waits for news and swallows the burst it comes in.
fn wait_for_news(news: &OwnedFd) -> bool {
    if !readable(news) {
        return false;
    }
    thread::sleep(BURST);
    let mut datagram = [0; 8192];
    // An overrun is news as well: the look that follows sees everything.
    loop {
        match recv(news.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
            Ok(_) | Err(nix::Error::ENOBUFS | nix::Error::EINTR) => {}
            Err(_) => return true,
        }
    }
}

fn readable(news: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut descriptors, PollTimeout::from(STOP_CHECK_MS)), Ok(ready) if ready > 0)
}

/// Whose the network namespaces of this machine are. The attacher refreshes it when devices
/// change; the reader asks for each drop.
pub(super) struct Namespaces {
    state: Mutex<State>,
}

struct State {
    netlink: Netlink,
    /// What the drop probe knows, by cookie.
    in_kernel: BpfHashMap<MapData, u64, u32>,
    owners: Owners,
    /// Numbers of the namespaces behind the pods' devices.
    pods: HashSet<i32>,
}

impl Namespaces {
    fn new(in_kernel: BpfHashMap<MapData, u64, u32>) -> io::Result<Self> {
        let netlink = Netlink::open()?;
        let state = State {
            netlink,
            in_kernel,
            owners: Owners::new(),
            pods: HashSet::new(),
        };
        Ok(Self {
            state: Mutex::new(state),
        })
    }

    /// Looks at all namespaces after devices have changed.
    fn refresh(&self, found: &Devices) {
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
        // Made since the last look; or gone already, and then nobody can say whose it was.
        state.look();
        state.owners.entry(cookie).or_insert(None).clone()
    }
}

impl State {
    fn look(&mut self) {
        let found = namespaces::look(&self.netlink, &self.pods);
        for gone in self
            .owners
            .keys()
            .filter(|cookie| !found.contains_key(cookie))
        {
            // Cookies are never used again: an entry that stays behind only takes room.
            drop(self.in_kernel.remove(gone));
        }
        for (cookie, owner) in &found {
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
        self.owners = found;
    }
}

/// The error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
