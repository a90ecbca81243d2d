//! Which devices this host has, and what each is to the probes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    net::IpAddr,
    sync::Arc,
};

use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage, AddressScope},
    link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage},
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
    /// A pod or container.
    Endpoint,
    /// Other machines.
    Network,
}

/// Looks at the devices of the network namespace that `netlink` was opened in.
pub(super) fn look(netlink: &Netlink) -> io::Result<Devices> {
    let links = netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let addresses = netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let routes = netlink.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;

    let mut facts = Facts::default();
    let mut found = Devices::default();
    for message in &addresses {
        if let RouteNetlinkMessage::NewAddress(address) = message {
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
    with_subnet: HashSet<u32>,
    with_default_route: HashSet<u32>,
    bonds: HashSet<u32>,
}

/// Hardware and bonds lead to other machines. A veth usually leads to a pod; but in a host that is
/// itself a container it is the way out, and then it carries a subnet or the default route. (The
/// pod side's gateway address that some CNIs put on each veth is a /32.) Everything else, such as
/// bridges, is seen at its ports.
fn role(link: &LinkMessage, facts: &Facts) -> Option<Role> {
    if link.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    let index = link.header.index;
    let in_bond = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::Controller(bond) if facts.bonds.contains(bond))
    });
    match kind(link) {
        _ if in_bond => None,
        None | Some(InfoKind::Bond | InfoKind::Team) => Some(Role::Network),
        Some(InfoKind::Veth)
            if facts.with_subnet.contains(&index) || facts.with_default_route.contains(&index) =>
        {
            Some(Role::Network)
        }
        Some(InfoKind::Veth) => Some(Role::Endpoint),
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
