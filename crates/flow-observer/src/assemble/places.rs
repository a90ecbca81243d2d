//! Where flows were seen: devices, tunnels, and the places where the kernel drops packets.
//!
//! There are few of them and many flows at each, so flows share them: in steady state none is made
//! anew. Owned by the assembler.

use std::sync::Arc;

use foldhash::HashMap;

use crate::{
    decode::drop_code,
    recent::Recent,
    record::{Interface, KernelDrop, Tunnel},
    source::LocalDevices,
};

/// Devices that are remembered, more than a node has pods. If there are ever more, all are
/// forgotten, and shared anew by the flows to come.
const MAX_DEVICES: usize = 4_096;
/// Tunnels that are remembered, half of them: senders give each connection a port of its own. Some
/// 100 bytes each.
const TUNNELS: usize = 8_192;
/// Places in the kernel, half of them: it has some hundred that drop packets, in each namespace.
const DROPS: usize = 2_048;

/// What flows share.
#[derive(Debug)]
pub(super) struct Places {
    devices: Arc<LocalDevices>,
    interfaces: HashMap<u32, Arc<Interface>>,
    tunnels: Recent<Tunnel, Arc<Tunnel>>,
    drops: Recent<DropKey, Arc<KernelDrop>>,
}

/// The numbers of a drop.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct DropKey {
    /// The kernel's number of the reason.
    pub(super) reason: u32,
    /// Address in the function that dropped the packet.
    pub(super) location: u64,
    /// Inode number of the network namespace.
    pub(super) netns_inode: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            devices: Arc::default(),
            interfaces: HashMap::default(),
            tunnels: Recent::with_generation(TUNNELS),
            drops: Recent::with_generation(DROPS),
        }
    }
}

impl Places {
    /// Takes note of the devices that there are now. Those that are as they were stay shared.
    pub(super) fn set_devices(&mut self, devices: Arc<LocalDevices>) {
        if Arc::ptr_eq(&self.devices, &devices) {
            return;
        }
        self.interfaces
            .retain(|index, it| devices.names.get(index) == Some(&it.name));
        self.devices = devices;
    }

    /// The device of this host with this index.
    #[inline]
    pub(super) fn device(&mut self, index: u32) -> Arc<Interface> {
        if let Some(known) = self.interfaces.get(&index) {
            return Arc::clone(known);
        }
        let name = self.devices.names.get(&index).cloned().unwrap_or_default();
        self.add(Interface { index, name })
    }

    /// As [`device`](Self::device); the index 0 stands for none.
    #[inline]
    pub(super) fn device_unless_zero(&mut self, index: u32) -> Option<Arc<Interface>> {
        (index != 0).then(|| self.device(index))
    }

    /// The device of a capture file. Another section of the file may give its index to another.
    pub(super) fn captured_device(&mut self, index: u32, name: &Arc<str>) -> Arc<Interface> {
        match self.interfaces.get(&index) {
            Some(known) if known.name == *name => Arc::clone(known),
            _ => self.add(Interface {
                index,
                name: Arc::clone(name),
            }),
        }
    }

    fn add(&mut self, interface: Interface) -> Arc<Interface> {
        if self.interfaces.len() >= MAX_DEVICES {
            self.interfaces.clear();
        }
        let shared = Arc::new(interface);
        self.interfaces.insert(shared.index, Arc::clone(&shared));
        shared
    }

    /// What is around a packet's headers.
    #[inline]
    pub(super) fn tunnel(&mut self, tunnel: Option<&Tunnel>) -> Option<Arc<Tunnel>> {
        tunnel.map(|tunnel| self.known_tunnel(tunnel))
    }

    fn known_tunnel(&mut self, tunnel: &Tunnel) -> Arc<Tunnel> {
        if let Some(known) = self.tunnels.get_mut(tunnel) {
            return Arc::clone(known);
        }
        let shared = Arc::new(*tunnel);
        self.tunnels.insert(*tunnel, Arc::clone(&shared));
        shared
    }

    /// A place where the kernel drops packets; `names` tells what reason and function are called.
    pub(super) fn drop(
        &mut self,
        key: DropKey,
        names: impl FnOnce() -> (Arc<str>, Option<Arc<str>>),
    ) -> Arc<KernelDrop> {
        if let Some(known) = self.drops.get_mut(&key) {
            return Arc::clone(known);
        }
        let (reason, function) = names();
        let shared = Arc::new(KernelDrop {
            code: drop_code(&reason),
            reason,
            function,
            netns_inode: key.netns_inode,
        });
        self.drops.insert(key, Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::record::{Ip, Transport, TunnelProtocol};

    fn devices(names: &[(u32, &str)]) -> Arc<LocalDevices> {
        let names = names.iter().map(|&(index, name)| (index, name.into()));
        Arc::new(LocalDevices {
            names: names.collect(),
            ..LocalDevices::default()
        })
    }

    #[test]
    fn flows_at_a_device_share_it_until_it_has_another_name() {
        let mut places = Places::default();
        places.set_devices(devices(&[(1, "lo"), (2, "eth0")]));
        let before = [1, 2, 3].map(|index| places.device(index));
        assert_eq!(&*before[1].name, "eth0");
        assert_eq!(&*before[2].name, "", "gone before anybody looked");
        places.set_devices(devices(&[(1, "lo"), (2, "uplink"), (3, "eth3")]));
        let after = [1, 2, 3].map(|index| places.device(index));
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert_eq!(&*after[1].name, "uplink");
        assert_eq!(&*after[2].name, "eth3");
        assert_eq!(places.device_unless_zero(0), None);
    }

    #[test]
    fn devices_are_not_remembered_without_end() {
        let mut places = Places::default();
        for index in 1..3 * MAX_DEVICES as u32 {
            assert_eq!(places.device(index).index, index);
            assert!(places.interfaces.len() <= MAX_DEVICES);
        }
    }

    #[test]
    fn the_sections_of_a_capture_file_have_devices_of_their_own() {
        let mut places = Places::default();
        let [first, second] = ["eth0", "eth1"].map(Arc::from);
        let shared = places.captured_device(0, &first);
        assert!(Arc::ptr_eq(&shared, &places.captured_device(0, &first)));
        assert_eq!(&*places.captured_device(0, &second).name, "eth1");
    }

    #[test]
    fn packets_with_the_same_around_them_share_it() {
        let tunnel = |port: u16| Tunnel {
            protocol: TunnelProtocol::Vxlan,
            vni: 7,
            ip: Ip {
                source: IpAddr::from([192, 0, 2, 1]),
                destination: IpAddr::from([192, 0, 2, 2]),
            },
            transport: Transport::Udp {
                source_port: port,
                destination_port: 4789,
            },
        };
        let mut places = Places::default();
        let mut shared = |port| places.tunnel(Some(&tunnel(port))).unwrap();
        let first = shared(1);
        assert_eq!(*first, tunnel(1));
        assert_eq!(*shared(2), tunnel(2));
        assert!(Arc::ptr_eq(&first, &shared(1)));
    }

    #[test]
    fn a_place_that_drops_packets_is_named_once() {
        let mut places = Places::default();
        let key = |netns_inode| DropKey {
            reason: 2,
            location: 0xffff,
            netns_inode,
        };
        let named = || ("NO_SOCKET".into(), Some("udp_rcv".into()));
        let first = places.drop(key(5), named);
        assert_eq!((&*first.reason, first.netns_inode), ("NO_SOCKET", 5));
        let again = places.drop(key(5), || panic!("it has its names"));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(places.drop(key(6), named).netns_inode, 6);
    }
}
