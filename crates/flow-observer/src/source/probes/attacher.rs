//! Keeps the probes on the devices that there are, and the flow table free of what is over.
//!
//! A thread of its own waits for news from the routing socket. Whatever the news is, it looks at
//! all devices anew and makes the attachments match: a message that was missed cannot leave a
//! device out for longer than until the next look.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
    programs::{BtfTracePoint, SchedClassifier, tc::SchedClassifierLink},
};
use nix::{
    libc::{
        RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTMGRP_LINK,
    },
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{MsgFlags, recv},
};
use tracing::{debug, info, warn};

use super::{
    ProbeConfig, ProbeError,
    devices::{self, Device, Devices},
    links::{self, RETIRE},
    measuring::{Measuring, MeasuringReader},
    netlink::Netlink,
    ownership::Namespaces,
    program_mut,
    statistics::ProbeStatistics,
    sweep::{SweepError, Sweeper},
};
use crate::source::LocalDevices;

/// How long the thread waits for news before it looks whether it should stop.
const STOP_CHECK_MS: u8 = 100;
/// News come in bursts, as when a pod is set up: wait this long for the burst to end, or twice as
/// long as the last look took, so that looking never takes more than a third of a processor.
const BURST: Duration = Duration::from_millis(5);

/// The maps that the attacher's thread works with.
pub(super) struct AttacherMaps {
    /// Whose a namespace is.
    pub(super) netns: BpfHashMap<MapData, u64, u32>,
    /// This node's addresses.
    pub(super) addresses: BpfHashMap<MapData, [u8; 16], u32>,
    /// The flow table.
    pub(super) flows: MapData,
}

/// How the end comes: one side asks for it, the attacher's thread says when nothing more will be
/// written to the ring.
#[derive(Debug, Default)]
pub(super) struct Ending {
    begun: AtomicBool,
    done: AtomicBool,
}

impl Ending {
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// Keeps the probes attached until it is dropped, or the reader finishes. Then it detaches them and
/// takes what is left in the flow table out, for the reader to read.
pub struct Attacher {
    ending: Arc<Ending>,
    thread: Option<JoinHandle<()>>,
    namespaces: Arc<Namespaces>,
    devices: Arc<ArcSwap<LocalDevices>>,
}

impl Attacher {
    /// Attaches the programs and starts following the devices.
    pub(super) fn start(
        mut ebpf: Ebpf,
        config: &ProbeConfig,
        maps: AttacherMaps,
        statistics: Arc<ProbeStatistics>,
        measuring: Option<Measuring>,
    ) -> Result<Self, ProbeError> {
        let groups = RTMGRP_LINK
            | RTMGRP_IPV4_IFADDR
            | RTMGRP_IPV6_IFADDR
            | RTMGRP_IPV4_ROUTE
            | RTMGRP_IPV6_ROUTE;
        // Subscribed before the first look, so that nothing is missed in between.
        let news = Netlink::subscribe(groups as u32).map_err(ProbeError::Devices)?;
        let netlink = Netlink::open().map_err(ProbeError::Devices)?;
        let namespaces = Arc::new(Namespaces::new(maps.netns).map_err(ProbeError::Devices)?);
        let published = Arc::new(ArcSwap::from_pointee(LocalDevices::default()));

        let found = devices::look(&netlink, config.watch_loopback).map_err(ProbeError::Devices)?;
        namespaces.refresh(&found);
        let drops: &mut BtfTracePoint = program_mut(&mut ebpf, "kfree_skb")?;
        drops.attach().map_err(|source| ProbeError::Program {
            program: "kfree_skb",
            source,
        })?;
        let mut worker = Worker {
            netlink,
            watch_loopback: config.watch_loopback,
            has_tcx: links::has_tcx(config.force_clsact),
            namespaces: Arc::clone(&namespaces),
            published: Arc::clone(&published),
            attached: BTreeMap::new(),
            addresses: maps.addresses,
            told: HashSet::new(),
            sweeper: Sweeper::new(maps.flows, config.flow_table_entries),
            statistics,
            measured: measuring.as_ref().map(Measuring::reader),
            _measuring: measuring,
            ebpf,
        };
        worker.apply(found);

        let ending = Arc::new(Ending::default());
        let thread = thread::Builder::new()
            .name("devices".to_owned())
            .spawn({
                let ending = Arc::clone(&ending);
                move || worker.run(&news, &ending)
            })
            .map_err(ProbeError::Devices)?;
        Ok(Self {
            ending,
            thread: Some(thread),
            namespaces,
            devices: published,
        })
    }

    pub(super) fn ending(&self) -> Arc<Ending> {
        Arc::clone(&self.ending)
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
        self.ending.begin();
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
    watch_loopback: bool,
    has_tcx: bool,
    namespaces: Arc<Namespaces>,
    published: Arc<ArcSwap<LocalDevices>>,
    attached: BTreeMap<u32, Attached>,
    addresses: BpfHashMap<MapData, [u8; 16], u32>,
    /// The addresses that the probes were told.
    told: HashSet<[u8; 16]>,
    sweeper: Sweeper,
    statistics: Arc<ProbeStatistics>,
    measured: Option<MeasuringReader>,
    _measuring: Option<Measuring>,
    ebpf: Ebpf,
}

/// A watched device; dropping the links detaches the programs.
struct Attached {
    device: Device,
    _links: [SchedClassifierLink; 2],
}

impl Worker {
    fn run(mut self, news: &OwnedFd, ending: &Ending) {
        let mut burst = BURST;
        while !ending.begun.load(Ordering::Relaxed) {
            if wait_for_news(news, burst) {
                let began = Instant::now();
                self.look();
                burst = BURST.max(began.elapsed() * 2);
            }
            let swept = self.with_retire(|sweeper, retire| sweeper.sweep_if_due(retire));
            if let Err(error) = swept {
                debug!(error = %chain(&error), "cannot sweep the flow table");
            }
            if let Some(measured) = &mut self.measured {
                measured.read([&self.ebpf]);
            }
        }
        // Nothing is counted any more once the programs are off.
        self.attached.clear();
        let finished = self.with_retire(|sweeper, retire| sweeper.finish(retire));
        if let Err(error) = finished {
            warn!(error = %chain(&error), "cannot report what is left in the flow table");
        }
        ending.done.store(true, Ordering::Release);
    }

    fn look(&mut self) {
        match devices::look(&self.netlink, self.watch_loopback) {
            Ok(found) => {
                self.apply(found);
            }
            Err(error) => {
                warn!(%error, "cannot look at devices, trying again on the next change");
            }
        }
    }

    fn with_retire(
        &mut self,
        sweep: impl FnOnce(&mut Sweeper, &SchedClassifier) -> Result<(), SweepError>,
    ) -> Result<(), ProbeError> {
        let retire = links::loaded(&mut self.ebpf, RETIRE)?;
        let swept = sweep(&mut self.sweeper, retire);
        let entries = self.sweeper.entries() as u64;
        self.statistics
            .with(|snapshot| snapshot.flow_table_entries = entries);
        Ok(swept?)
    }

    /// Attaches to what is new and lets go of what is gone or became something else.
    fn apply(&mut self, found: Devices) {
        self.tell_addresses(&found.addresses);
        self.attached
            .retain(|index, attached| found.watched.get(index) == Some(&attached.device));
        for (&index, device) in &found.watched {
            if self.attached.contains_key(&index) {
                continue;
            }
            match links::attach(&mut self.ebpf, device, self.has_tcx) {
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
        // After the devices: packets do not wait, and a drop in an unknown namespace does.
        self.namespaces.refresh(&found);
        self.published.store(Arc::new(LocalDevices {
            names: found.names,
            addresses: found.addresses,
            watched: self.attached.len(),
        }));
    }

    /// Tells the probes which addresses are this node's.
    fn tell_addresses(&mut self, addresses: &[IpAddr]) {
        let now: HashSet<[u8; 16]> = addresses.iter().copied().map(as_ipv6).collect();
        for gone in self.told.difference(&now) {
            drop(self.addresses.remove(gone));
        }
        for new in now.difference(&self.told) {
            if let Err(error) = self.addresses.insert(new, 1, 0) {
                debug!(%error, "cannot tell the probes an address");
            }
        }
        self.told = now;
    }
}

/// As the probes write addresses.
fn as_ipv6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Waits for news and swallows the burst it comes in.
fn wait_for_news(news: &OwnedFd, burst: Duration) -> bool {
    if !readable(news) {
        return false;
    }
    thread::sleep(burst);
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
