//! One peer: its name and address as a list, a file or a peer service tells them; how to connect to
//! it, or why that is not possible, out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use flow_api::connect::{Target, TargetError};

use crate::defaults::AGENT_PORT;

/// What the names in the certificates of agents end with.
const SERVER_NAME_DOMAIN: &str = "hubble-grpc.cilium.io";

/// The cluster of names that do not say theirs.
pub(crate) const DEFAULT_CLUSTER: &str = "default";

/// Introduces the server name in the text form of a peer.
const SERVER_NAME_OPTION: &str = ",server-name=";

/// A node that is always a peer, whatever a peer service says.
///
/// Text form: `NAME=ADDRESS`, as in `node-1=unix:///run/palomar/node-1.sock` or
/// `node-2=192.0.2.7:4244`, and `,server-name=NAME` after it where the server's certificate carries
/// another name than [`server_name`] says. An address without port gets an agent's, 4244.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaticPeer {
    /// The node's name, as status events and node lists show it.
    pub name: String,
    /// Where its observer listens.
    pub address: Target,
    /// The name that its certificate must carry; `None` means by the rule.
    pub tls_server_name: Option<String>,
}

/// A text that names no peer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StaticPeerError {
    /// No `=`, or nothing on one side of it.
    #[error(
        "invalid peer {text:?}: expected NAME=ADDRESS, as in \
         node-1=unix:///run/palomar/node-1.sock or node-2=192.0.2.7:4244"
    )]
    NotNameAndAddress {
        /// The text as given.
        text: String,
    },
    /// The part after the `=` is no address.
    #[error("invalid peer {text:?}: {reason}")]
    Address {
        /// The text as given.
        text: String,
        /// What is wrong with the address.
        reason: TargetError,
    },
}

impl FromStr for StaticPeer {
    type Err = StaticPeerError;

    fn from_str(text: &str) -> Result<Self, StaticPeerError> {
        let (peer, server_name) = match text.split_once(SERVER_NAME_OPTION) {
            Some((peer, server_name)) => (peer, Some(server_name)),
            None => (text, None),
        };
        match peer.split_once('=') {
            Some((name, address))
                if !name.is_empty()
                    && !address.is_empty()
                    && server_name.is_none_or(|it| !it.is_empty()) =>
            {
                let address = agent_target(address).map_err(|reason| StaticPeerError::Address {
                    text: text.to_owned(),
                    reason,
                })?;
                Ok(Self {
                    name: name.to_owned(),
                    address,
                    tls_server_name: server_name.map(str::to_owned),
                })
            }
            _ => Err(StaticPeerError::NotNameAndAddress {
                text: text.to_owned(),
            }),
        }
    }
}

/// The name in the certificate of a node's agent, as Hubble has it: dots in the node's and in the
/// cluster's name become hyphens, so that `*.CLUSTER.hubble-grpc.cilium.io` is for all of them. A
/// node's full name begins with its cluster, unless that is the relay's own.
#[must_use]
pub fn server_name(full_name: &str, own_cluster: &str) -> String {
    let (cluster, node) = full_name
        .split_once('/')
        .unwrap_or((own_cluster, full_name));
    // An address that stands for a name may have colons.
    let label = |text: &str| text.replace(['.', ':', '/'], "-");
    let (node, cluster) = (label(node), label(cluster));
    format!("{node}.{cluster}.{SERVER_NAME_DOMAIN}")
}

/// What is known of a peer besides its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// The address as announced; empty if there is none.
    pub(crate) address: String,
    /// The name that the node's certificate must carry; empty where it is reached without TLS.
    pub(crate) tls_server_name: String,
    /// Where to connect, or why that is not possible.
    pub(crate) target: Result<Target, Unreachable>,
}

/// Why a peer is known but never connected.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Unreachable {
    /// The peer service knows no address of the node.
    #[error("no address is known")]
    NoAddress,
    /// An address that this relay cannot read.
    #[error("{0}")]
    BadAddress(TargetError),
    /// The relay encrypts and the node has no TLS; plain text may not be what the operator wants.
    #[error("missing TLS ServerName for {address}")]
    MissingTls {
        /// Where it listens.
        address: String,
    },
    /// The node asks for TLS and the relay has none; speaking plaintext to it would not work.
    #[error("unexpected TLS ServerName {server_name} for {address}")]
    UnexpectedTls {
        /// What the node announced.
        server_name: String,
        /// Where it listens.
        address: String,
    },
}

/// What this relay knows of how peers are reached, besides what is told of each.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Whether the relay has certificates for peers.
    pub(crate) has_tls: bool,
    /// The cluster of nodes whose name does not say theirs.
    pub(crate) cluster: String,
}

impl Rules {
    /// A peer that an operator has listed.
    pub(crate) fn listed(&self, peer: StaticPeer) -> Peer {
        let shown = peer.address.to_string();
        let given = peer.tls_server_name;
        match peer.address {
            Target::Unix(_) => Peer::plain(peer.address),
            Target::Tcp { host, port } if self.has_tls => {
                let name = given.unwrap_or_else(|| server_name(&peer.name, &self.cluster));
                Peer::encrypted(shown, host, port, name)
            }
            Target::Tls { host, port } => {
                // Without certificates of the cluster, those that the system trusts have to do, and
                // they are for hosts.
                let name = given.unwrap_or_else(|| match self.has_tls {
                    true => server_name(&peer.name, &self.cluster),
                    false => host.clone(),
                });
                Peer::encrypted(shown, host, port, name)
            }
            address @ Target::Tcp { .. } => match given {
                None => Peer::plain(address),
                Some(server_name) => Peer::unreachable(
                    shown.clone(),
                    server_name.clone(),
                    Unreachable::UnexpectedTls {
                        server_name,
                        address: shown,
                    },
                ),
            },
        }
    }

    /// A peer that a peer service has announced.
    pub(crate) fn announced(&self, address: String, server_name: String) -> Peer {
        let target = match agent_target(&address) {
            _ if address.is_empty() => Err(Unreachable::NoAddress),
            Err(reason) => Err(Unreachable::BadAddress(reason)),
            Ok(target @ Target::Unix(_)) => return Peer::plain_at(address, target),
            Ok(_) if self.has_tls && server_name.is_empty() => Err(Unreachable::MissingTls {
                address: address.clone(),
            }),
            Ok(_) if !self.has_tls && !server_name.is_empty() => Err(Unreachable::UnexpectedTls {
                server_name: server_name.clone(),
                address: address.clone(),
            }),
            Ok(Target::Tcp { host, port } | Target::Tls { host, port }) if self.has_tls => {
                Ok(Target::Tls { host, port })
            }
            Ok(target) => Ok(target),
        };
        Peer {
            address,
            tls_server_name: server_name,
            target,
        }
    }

    /// A peer that was found at an address.
    pub(crate) fn found(&self, name: &str, ip: IpAddr, port: u16) -> Peer {
        self.listed(StaticPeer {
            name: name.to_owned(),
            address: Target::Tcp {
                host: ip.to_string(),
                port,
            },
            tls_server_name: None,
        })
    }
}

impl Peer {
    fn plain(target: Target) -> Self {
        Self::plain_at(target.to_string(), target)
    }

    fn plain_at(address: String, target: Target) -> Self {
        Self {
            address,
            tls_server_name: String::new(),
            target: Ok(target),
        }
    }

    fn encrypted(address: String, host: String, port: u16, tls_server_name: String) -> Self {
        Self {
            address,
            tls_server_name,
            target: Ok(Target::Tls { host, port }),
        }
    }

    fn unreachable(address: String, tls_server_name: String, reason: Unreachable) -> Self {
        Self {
            address,
            tls_server_name,
            target: Err(reason),
        }
    }
}

/// The peers of this moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct PeerSet {
    /// Whether the list is being kept up to date: whoever tells of peers can be asked.
    pub(crate) is_current: bool,
    /// By name.
    pub(crate) peers: Peers,
}

/// Peers by name.
pub(crate) type Peers = BTreeMap<Arc<str>, Peer>;

/// Reads the address of an agent: a [`Target`] whose port is an agent's where none is named, or
/// where it is a service name instead of a number.
pub(crate) fn agent_target(address: &str) -> Result<Target, TargetError> {
    let with_agent_port = |host: &str| Target::Tcp {
        host: host.to_owned(),
        port: AGENT_PORT,
    };
    let unbracketed = address.trim_start_matches('[').trim_end_matches(']');
    if unbracketed.parse::<IpAddr>().is_ok() {
        return Ok(with_agent_port(unbracketed));
    }
    match address.rsplit_once(':') {
        None if !address.starts_with('/') => {
            address.parse::<Target>()?;
            Ok(with_agent_port(address))
        }
        Some((host, port)) if is_address(host) && port.parse::<u16>().is_err() => Ok(
            with_agent_port(host.trim_start_matches('[').trim_end_matches(']')),
        ),
        _ => address.parse(),
    }
}

fn is_address(host: &str) -> bool {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok()
}

#[cfg(test)]
mod tests;
