//! Which devices this host has, and what each is to the probes.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::IpAddr,
    sync::Arc,
};

use foldhash::HashMap;
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
    route::{RouteAttribute, RouteMessage},
};

use super::netlink::Netlink;

/// The devices of a host, by index, and its own addresses.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// Devices that the probes watch.
    pub(super) watched: BTreeMap<u32, Device>,
    /// Names of all devices.
    pub(super) names: HashMap<u32, Arc<str>>,
    /// Addresses of all devices.
    pub(super) addresses: Vec<IpAddr>,
}

/// A device that the probes watch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Device {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    /// How this namespace calls the one on the other side of the device.
    pub(super) peer_netns: Option<i32>,
}

/// What is on the other side of a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// A pod, a container or a virtual machine.
    Endpoint,
    /// Other machines.
    Network {
        /// Packets have no Ethernet header.
        starts_at_ip: bool,
    },
    /// Other machines, through a tunnel.
    Overlay {
        /// Packets have no Ethernet header.
        starts_at_ip: bool,
    },
    /// This node itself: a bridge's own device, where pods find their gateway.
    Host,
}

impl Role {
    /// The programs for what comes in through the device, and for what goes out.
    pub(super) fn programs(self) -> [&'static str; 2] {
        match self {
            Self::Endpoint => ["from_endpoint", "to_endpoint"],
            Self::Network {
                starts_at_ip: false,
            } => ["from_network", "to_network"],
            Self::Network { starts_at_ip: true } => ["from_network_ip", "to_network_ip"],
            Self::Overlay {
                starts_at_ip: false,
            } => ["from_overlay", "to_overlay"],
            Self::Overlay { starts_at_ip: true } => ["from_overlay_ip", "to_overlay_ip"],
            Self::Host => ["to_host", "from_host"],
        }
    }
}

/// Looks at the devices of the network namespace that `netlink` was opened in.
pub(super) fn look(netlink: &Netlink, watch_loopback: bool) -> io::Result<Devices> {
    let links = netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let addresses = netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let routes = netlink.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;

    let mut facts = Facts {
        watch_loopback,
        ..Facts::default()
    };
    let mut found = Devices::default();
    for message in &addresses {
        if let RouteNetlinkMessage::NewAddress(address) = message {
            if address.header.scope == AddressScope::Universe {
                facts.with_address.insert(address.header.index);
            }
            if leads_elsewhere(address) {
                facts.with_subnet.insert(address.header.index);
            }
            found.addresses.extend(own_address(address));
        }
    }
    for message in &routes {
        if let RouteNetlinkMessage::NewRoute(route) = message
            && route.header.destination_prefix_length == 0
        {
            facts.with_default_route.extend(outgoing_devices(route));
        }
    }
    let links: Vec<&LinkMessage> = links
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        })
        .collect();
    facts.bonds = links
        .iter()
        .filter(|link| matches!(kind(link), Some(InfoKind::Bond | InfoKind::Team)))
        .map(|link| link.header.index)
        .collect();

    for link in links {
        let Some(name) = name(link) else { continue };
        let name: Arc<str> = name.into();
        found.names.insert(link.header.index, Arc::clone(&name));
        if let Some(role) = role(link, &facts) {
            let device = Device {
                name,
                role,
                peer_netns: peer_netns(link),
            };
            found.watched.insert(link.header.index, device);
        }
    }
    Ok(found)
}

/// What addresses, routes and other devices say about a device.
#[derive(Default)]
struct Facts {
    watch_loopback: bool,
    /// Devices with an address that others can use.
    with_address: HashSet<u32>,
    with_subnet: HashSet<u32>,
    with_default_route: HashSet<u32>,
    bonds: HashSet<u32>,
}

/// Hardware and bonds lead to other machines. A veth usually leads to a pod; but in a host that is
/// itself a container it is the way out, and then it carries a subnet or the default route. (The
/// pod side's gateway address that some CNIs put on each veth is a /32.) A bridge with an address
/// is where its ports meet the node; one without, such as a virtual switch, is seen at its ports.
/// Everything else, such as VLANs of a device, is seen at the device below.
fn role(link: &LinkMessage, facts: &Facts) -> Option<Role> {
    let index = link.header.index;
    let starts_at_ip = match link.header.link_layer_type {
        LinkLayerType::Ether => false,
        LinkLayerType::Loopback => return facts.watch_loopback.then_some(Role::Host),
        LinkLayerType::Ipgre
        | LinkLayerType::Ip6gre
        | LinkLayerType::None
        | LinkLayerType::Ppp
        | LinkLayerType::Rawip
        | LinkLayerType::Sit
        | LinkLayerType::Tunnel
        | LinkLayerType::Tunnel6 => true,
        _ => return None,
    };
    let in_bond = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::Controller(bond) if facts.bonds.contains(bond))
    });
    let has_address = facts.with_address.contains(&index);
    let leads_elsewhere =
        facts.with_subnet.contains(&index) || facts.with_default_route.contains(&index);
    // The devices that come with a tunnel's module are down until somebody uses them.
    let is_up = link.header.flags.contains(LinkFlags::Up);
    match kind(link) {
        _ if in_bond => None,
        None | Some(InfoKind::Bond | InfoKind::Team) => Some(Role::Network { starts_at_ip }),
        Some(InfoKind::Veth | InfoKind::Netkit) if starts_at_ip => None,
        Some(InfoKind::Veth | InfoKind::Netkit) if leads_elsewhere => {
            Some(Role::Network { starts_at_ip })
        }
        Some(InfoKind::Veth | InfoKind::Netkit) => Some(Role::Endpoint),
        // A virtual machine's, where nobody has configured the host's end.
        Some(InfoKind::Tun) if !starts_at_ip && !has_address => Some(Role::Endpoint),
        Some(
            InfoKind::Geneve
            | InfoKind::GreTap
            | InfoKind::GreTap6
            | InfoKind::GreTun
            | InfoKind::GreTun6
            | InfoKind::Ip6Tnl
            | InfoKind::IpIp
            | InfoKind::SitTun
            | InfoKind::Tun
            | InfoKind::Vxlan
            | InfoKind::Wireguard,
        ) => is_up.then_some(Role::Overlay { starts_at_ip }),
        Some(InfoKind::Bridge) => has_address.then_some(Role::Host),
        // The port by which an Open vSwitch bridge reaches its own host.
        Some(InfoKind::Other(other)) if other == "openvswitch" => has_address.then_some(Role::Host),
        Some(_) => None,
    }
}

fn kind(link: &LinkMessage) -> Option<&InfoKind> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind),
                _ => None,
            }),
            _ => None,
        })
}

fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.as_str()),
            _ => None,
        })
}

fn peer_netns(link: &LinkMessage) -> Option<i32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::LinkNetNsId(id) => Some(*id),
            _ => None,
        })
}

/// An address with a subnet behind it, and not one that every device gives itself.
fn leads_elsewhere(address: &AddressMessage) -> bool {
    let whole = match own_address(address) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    address.header.scope == AddressScope::Universe && address.header.prefix_len < whole
}

fn own_address(address: &AddressMessage) -> Option<IpAddr> {
    let local = address
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(ip) => Some(*ip),
            _ => None,
        });
    // Only point-to-point devices and IPv4 say `Local`.
    local.or_else(|| {
        address
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(ip) => Some(*ip),
                _ => None,
            })
    })
}

fn outgoing_devices(route: &RouteMessage) -> Vec<u32> {
    route
        .attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => vec![*index],
            RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
            _ => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: u32 = 7;
    const BOND: u32 = 9;

    fn device(layer: LinkLayerType, kind: Option<InfoKind>) -> LinkMessage {
        let mut link = LinkMessage::default();
        link.header.index = INDEX;
        link.header.link_layer_type = layer;
        link.header.flags = LinkFlags::Up;
        if let Some(kind) = kind {
            let infos = vec![LinkInfo::Kind(kind)];
            link.attributes.push(LinkAttribute::LinkInfo(infos));
        }
        link
    }

    fn facts() -> Facts {
        Facts {
            bonds: HashSet::from([BOND]),
            ..Facts::default()
        }
    }

    #[test]
    fn a_device_has_the_role_of_what_is_behind_it() {
        use LinkLayerType::{Ether, Loopback, None as Raw, Tunnel};
        let network = Some(Role::Network {
            starts_at_ip: false,
        });
        let overlay = |starts_at_ip| Some(Role::Overlay { starts_at_ip });
        let ovs = InfoKind::Other("openvswitch".to_owned());
        let cases = [
            ("hardware", device(Ether, None), network),
            ("bond", device(Ether, Some(InfoKind::Bond)), network),
            (
                "pod",
                device(Ether, Some(InfoKind::Veth)),
                Some(Role::Endpoint),
            ),
            (
                "netkit",
                device(Ether, Some(InfoKind::Netkit)),
                Some(Role::Endpoint),
            ),
            (
                "machine",
                device(Ether, Some(InfoKind::Tun)),
                Some(Role::Endpoint),
            ),
            ("vpn", device(Raw, Some(InfoKind::Tun)), overlay(true)),
            (
                "vxlan",
                device(Ether, Some(InfoKind::Vxlan)),
                overlay(false),
            ),
            (
                "geneve",
                device(Ether, Some(InfoKind::Geneve)),
                overlay(false),
            ),
            (
                "wireguard",
                device(Raw, Some(InfoKind::Wireguard)),
                overlay(true),
            ),
            ("ipip", device(Tunnel, Some(InfoKind::IpIp)), overlay(true)),
            ("switch", device(Ether, Some(InfoKind::Bridge)), None),
            ("ovs", device(Ether, Some(ovs)), None),
            ("vlan", device(Ether, Some(InfoKind::Vlan)), None),
            ("lo", device(Loopback, None), None),
        ];
        for (name, link, expected) in cases {
            assert_eq!(role(&link, &facts()), expected, "{name}");
        }
    }

    #[test]
    fn an_address_makes_a_bridge_the_node_and_a_veth_the_way_out() {
        let facts = Facts {
            with_address: HashSet::from([INDEX]),
            with_subnet: HashSet::from([INDEX]),
            ..facts()
        };
        let with = |kind| role(&device(LinkLayerType::Ether, Some(kind)), &facts);
        assert_eq!(with(InfoKind::Bridge), Some(Role::Host));
        assert_eq!(
            with(InfoKind::Veth),
            Some(Role::Network {
                starts_at_ip: false
            })
        );
        assert_eq!(
            with(InfoKind::Tun),
            Some(Role::Overlay {
                starts_at_ip: false
            })
        );
    }

    #[test]
    fn what_is_part_of_a_bond_is_seen_there() {
        let mut link = device(LinkLayerType::Ether, None);
        link.attributes.push(LinkAttribute::Controller(BOND));
        assert_eq!(role(&link, &facts()), None);
    }

    #[test]
    fn a_tunnel_that_is_down_is_left_alone_and_loopback_unless_asked_for() {
        let mut tunnel = device(LinkLayerType::Tunnel, Some(InfoKind::IpIp));
        tunnel.header.flags = LinkFlags::empty();
        assert_eq!(role(&tunnel, &facts()), None);
        let facts = Facts {
            watch_loopback: true,
            ..facts()
        };
        let loopback = device(LinkLayerType::Loopback, None);
        assert_eq!(role(&loopback, &facts), Some(Role::Host));
    }
}
