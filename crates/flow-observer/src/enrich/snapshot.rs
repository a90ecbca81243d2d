//! Who is behind each address, at one moment.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    facts::{NodePort, Port},
    identity,
    prefixes::Prefixes,
    shards::Shards,
};
use crate::record::{Endpoint, Names, Party, Service};

/// Shards of the addresses of one family: with 100,000 addresses, a change copies one shard of a
/// hundred entries and the list of all shards.
const ADDRESS_SHARDS: usize = 1024;
/// Shards of the ports of services, of which there are fewer.
const PORT_SHARDS: usize = 256;

/// Everything that is known about addresses; never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Snapshot {
    v4: Shards<Ipv4Addr, Address>,
    v6: Shards<Ipv6Addr, Address>,
    frontends: Shards<Port, Services>,
    backends: Shards<Port, Services>,
    pub(super) node_ports: Arc<NodePorts>,
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) own_addresses: Arc<[IpAddr]>,
    pub(super) own_labels: Arc<[String]>,
    is_dual_stack: bool,
    world_v4: Arc<Endpoint>,
    world_v6: Arc<Endpoint>,
    unknown: Arc<Endpoint>,
}

/// The services that a port belongs to; at least one.
type Services = Arc<[Arc<Service>]>;

/// The services that ports of all nodes belong to: by default there are 2,768 such ports.
pub(super) type NodePorts = HashMap<NodePort, Services>;

/// What is kept of an address.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// Who has it, unless that goes by its prefix.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) names: Option<Arc<Names>>,
    pub(super) has_frontends: bool,
    pub(super) has_backends: bool,
    /// It is this host's or another node's, whoever else has it.
    pub(super) is_node: bool,
}

/// All that is known of an address.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Who has it; the world has those that nobody else has.
    pub endpoint: &'a Arc<Endpoint>,
    /// What it is always called.
    pub names: Option<&'a Arc<Names>>,
    /// Some of its ports are services for their clients: [`Snapshot::frontend`] tells which.
    pub has_frontends: bool,
    /// Services end up at some of its ports: [`Snapshot::backends`] tells which.
    pub has_backends: bool,
    /// It is a node's: [`Snapshot::node_port`] tells which services are there.
    pub is_node: bool,
}

impl Known<'_> {
    /// One side of a flow with this address.
    #[inline]
    #[must_use]
    pub fn party(&self) -> Party {
        Party {
            names: self.names.cloned(),
            ..Party::of(self.endpoint)
        }
    }
}

impl Snapshot {
    /// Nothing is known.
    pub(super) fn empty() -> Self {
        let world = identity::reserved(identity::WORLD);
        Self {
            v4: Shards::new(ADDRESS_SHARDS),
            v6: Shards::new(ADDRESS_SHARDS),
            frontends: Shards::new(PORT_SHARDS),
            backends: Shards::new(PORT_SHARDS),
            node_ports: Arc::default(),
            prefixes: Arc::default(),
            own_addresses: Arc::default(),
            own_labels: Arc::default(),
            is_dual_stack: false,
            world_v4: Arc::clone(&world),
            world_v6: world,
            unknown: Arc::default(),
        }
    }

    /// All that is known of an address, in one look.
    #[must_use]
    pub fn look_up(&self, address: IpAddr) -> Known<'_> {
        self.look_up_hashed(address, self.hash(address))
    }

    /// Addresses of which something is known by themselves.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Where an address is looked for, for [`Self::look_up_hashed`].
    #[inline]
    pub(super) fn hash(&self, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(ip) => self.v4.hash(ip),
            IpAddr::V6(ip) => self.v6.hash(ip),
        }
    }

    /// Asks for the memory in which the look-up of an address begins. Whether there is something.
    #[inline]
    pub(super) fn touch(&self, address: IpAddr, hash: u64) -> bool {
        match address {
            IpAddr::V4(_) => self.v4.touch(hash),
            IpAddr::V6(_) => self.v6.touch(hash),
        }
    }

    /// The same with what [`Self::hash`] says of the address.
    #[inline]
    pub(super) fn look_up_hashed(&self, address: IpAddr, hash: u64) -> Known<'_> {
        let found = match address {
            IpAddr::V4(ip) => self.v4.get_hashed(ip, hash),
            IpAddr::V6(ip) => self.v6.get_hashed(ip, hash),
        };
        match found {
            Some(found) => Known {
                endpoint: match &found.endpoint {
                    Some(endpoint) => endpoint,
                    None => self.by_prefix(address),
                },
                names: found.names.as_ref(),
                has_frontends: found.has_frontends,
                has_backends: found.has_backends,
                is_node: found.is_node,
            },
            None => Known {
                endpoint: self.by_prefix(address),
                names: None,
                has_frontends: false,
                has_backends: false,
                is_node: false,
            },
        }
    }

    /// Who has this address; the world has those that nobody else has.
    #[must_use]
    pub fn endpoint(&self, address: IpAddr) -> &Arc<Endpoint> {
        self.look_up(address).endpoint
    }

    /// Who has this address by itself, and not by its range.
    pub(super) fn owner(&self, address: IpAddr) -> Option<&Arc<Endpoint>> {
        match address {
            IpAddr::V4(ip) => self.v4.get(ip),
            IpAddr::V6(ip) => self.v6.get(ip),
        }?
        .endpoint
        .as_ref()
    }

    /// What an address is always called.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> Option<&Arc<Names>> {
        self.look_up(address).names
    }

    /// The service whose clients use this port. If several claim it, the one that is believed.
    #[must_use]
    pub fn frontend(&self, port: Port) -> Option<&Arc<Service>> {
        self.frontends.get(port)?.first()
    }

    /// The service whose clients use this port of any node. If several claim it, the one that is
    /// believed.
    #[must_use]
    pub fn node_port(&self, port: NodePort) -> Option<&Arc<Service>> {
        self.node_ports.get(&port)?.first()
    }

    /// Whether some service has a port at all nodes.
    #[inline]
    #[must_use]
    pub fn has_node_ports(&self) -> bool {
        !self.node_ports.is_empty()
    }

    /// The service behind which this port is, where there is only one.
    #[must_use]
    pub fn backend(&self, port: Port) -> Option<&Arc<Service>> {
        match self.backends(port) {
            [service] => Some(service),
            _ => None,
        }
    }

    /// All services behind which this port is.
    #[must_use]
    pub fn backends(&self, port: Port) -> &[Arc<Service>] {
        self.backends.get(port).map_or(&[], |services| services)
    }

    /// For packets without addresses.
    #[must_use]
    pub fn unknown(&self) -> &Arc<Endpoint> {
        &self.unknown
    }

    /// Labels of this node: `key=value`, sorted.
    #[must_use]
    pub fn own_labels(&self) -> &Arc<[String]> {
        &self.own_labels
    }

    /// This host's own addresses.
    pub(super) fn own_addresses(&self) -> &[IpAddr] {
        &self.own_addresses
    }

    /// Who has an address that nobody has by itself.
    fn by_prefix(&self, address: IpAddr) -> &Arc<Endpoint> {
        let world = match address {
            IpAddr::V4(_) => &self.world_v4,
            IpAddr::V6(_) => &self.world_v6,
        };
        self.prefixes.owner(address).unwrap_or(world)
    }

    /// The same with these addresses as they are now.
    pub(super) fn with_addresses(
        &self,
        addresses: impl Iterator<Item = (IpAddr, Option<Address>)>,
    ) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (ip, address) in addresses {
            match ip {
                IpAddr::V4(ip) => v4.push((ip, address)),
                IpAddr::V6(ip) => v6.push((ip, address)),
            }
        }
        Self {
            v4: self.v4.with(v4),
            v6: self.v6.with(v6),
            ..self.clone()
        }
    }

    /// The same with these ports as they are now.
    pub(super) fn with_ports(
        self,
        frontends: impl Iterator<Item = (Port, Option<Services>)>,
        backends: impl Iterator<Item = (Port, Option<Services>)>,
    ) -> Self {
        Self {
            frontends: self.frontends.with(frontends),
            backends: self.backends.with(backends),
            ..self
        }
    }

    /// Whether the world has an identity for each family. Returns whether that is news.
    pub(super) fn set_dual_stack(&mut self, is_dual_stack: bool) -> bool {
        if self.is_dual_stack == is_dual_stack {
            return false;
        }
        let world = |example| identity::reserved(identity::world(is_dual_stack, example));
        self.is_dual_stack = is_dual_stack;
        self.world_v4 = world(Ipv4Addr::UNSPECIFIED.into());
        self.world_v6 = world(Ipv6Addr::UNSPECIFIED.into());
        true
    }
}
