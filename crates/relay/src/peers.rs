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
mod tests {
    use super::*;

    fn rules(has_tls: bool) -> Rules {
        Rules {
            has_tls,
            cluster: "default".to_owned(),
        }
    }

    fn shown(peer: &Peer) -> String {
        match &peer.target {
            Ok(target) if peer.tls_server_name.is_empty() => target.to_string(),
            Ok(target) => format!("{target} as {}", peer.tls_server_name),
            Err(reason) => format!("({reason})"),
        }
    }

    #[test]
    fn addresses_are_read_as_hubble_reads_them() {
        let cases = [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("/run/x.sock", "unix:///run/x.sock"),
            ("192.0.2.1:4999", "192.0.2.1:4999"),
            ("192.0.2.1:hubble", "192.0.2.1:4244"),
            ("192.0.2.1", "192.0.2.1:4244"),
            ("fd00::1", "[fd00::1]:4244"),
            ("[fd00::1]:1", "[fd00::1]:1"),
            ("[fd00::1]:hubble", "[fd00::1]:4244"),
            ("node-1", "node-1:4244"),
            ("node-1:1", "node-1:1"),
        ];
        for (address, expected) in cases {
            let target = rules(false).announced(address.into(), String::new()).target;
            assert_eq!(target.unwrap().to_string(), expected, "{address}");
        }
    }

    #[test]
    fn an_announced_name_and_the_relays_certificates_go_together_or_there_is_no_connection() {
        let name = "b.default.hubble-grpc.cilium.io";
        let cases = [
            (false, "", "", "(no address is known)"),
            (false, "192.0.2.1", "", "192.0.2.1:4244"),
            (
                false,
                "192.0.2.1",
                name,
                "(unexpected TLS ServerName b.default.hubble-grpc.cilium.io for 192.0.2.1)",
            ),
            (
                true,
                "192.0.2.1",
                name,
                "tls://192.0.2.1:4244 as b.default.hubble-grpc.cilium.io",
            ),
            (
                true,
                "192.0.2.1",
                "",
                "(missing TLS ServerName for 192.0.2.1)",
            ),
            (true, "unix:///run/x.sock", name, "unix:///run/x.sock"),
        ];
        for (has_tls, address, server_name, expected) in cases {
            let peer = rules(has_tls).announced(address.into(), server_name.into());
            assert_eq!(shown(&peer), expected, "{has_tls} {address} {server_name}");
        }
    }

    #[test]
    fn a_listed_peer_is_verified_by_the_rule_unless_it_says_its_name() {
        let cases = [
            (false, "a=192.0.2.1", "192.0.2.1:4244"),
            (
                false,
                "a=tls://a.example:1",
                "tls://a.example:1 as a.example",
            ),
            (
                true,
                "a.b=192.0.2.1",
                "tls://192.0.2.1:4244 as a-b.default.hubble-grpc.cilium.io",
            ),
            (
                true,
                "east/a=tls://a.example:1",
                "tls://a.example:1 as a.east.hubble-grpc.cilium.io",
            ),
            (
                true,
                "east=relay.east:4245,server-name=ui.hubble-relay.cilium.io",
                "tls://relay.east:4245 as ui.hubble-relay.cilium.io",
            ),
            (true, "a=unix:///run/x.sock", "unix:///run/x.sock"),
        ];
        for (has_tls, text, expected) in cases {
            let peer = rules(has_tls).listed(text.parse().unwrap());
            assert_eq!(shown(&peer), expected, "{has_tls} {text}");
        }
    }

    #[test]
    fn an_address_that_stands_for_a_name_is_one_label_of_a_server_name() {
        let expected = "fd00--1.default.hubble-grpc.cilium.io";
        assert_eq!(server_name("fd00::1", "default"), expected);
        let expected = "192-0-2-1.a-b.hubble-grpc.cilium.io";
        assert_eq!(server_name("192.0.2.1", "a.b"), expected);
    }

    #[test]
    fn a_refused_peer_text_says_what_was_expected() {
        for text in ["", "node-1", "=192.0.2.1", "node-1=", "a=b,server-name="] {
            let error = text.parse::<StaticPeer>().unwrap_err().to_string();
            assert!(error.contains("expected NAME=ADDRESS"), "{error}");
        }
        let error = "a=b:http".parse::<StaticPeer>().unwrap_err().to_string();
        assert!(
            error.contains("\"a=b:http\"") && error.contains("\"http\""),
            "{error}"
        );
    }
}
