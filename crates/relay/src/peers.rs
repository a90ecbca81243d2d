//! Which peers there are: names and addresses in, from a list and from a peer service's
//! notifications; a [`PeerSet`] out. `discovery` publishes it as a `watch` value, so that whoever
//! reads it never waits for a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use flow_api::connect::{Target, TargetError};
use flow_api::peer::{ChangeNotification, ChangeNotificationType};

use crate::defaults::{AGENT_PORT, MAX_PEERS};

/// A node that is always a peer, whatever a peer service says.
///
/// Text form: `NAME=ADDRESS`, as in `node-1=unix:///run/palomar/node-1.sock` or
/// `node-2=192.0.2.7:4244`. An address without port gets an agent's, 4244.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaticPeer {
    /// The node's name, as status events and node lists show it.
    pub name: String,
    /// Where its observer listens.
    pub address: Target,
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
        match text.split_once('=') {
            Some((name, address)) if !name.is_empty() && !address.is_empty() => {
                let address = agent_target(address).map_err(|reason| StaticPeerError::Address {
                    text: text.to_owned(),
                    reason,
                })?;
                Ok(Self {
                    name: name.to_owned(),
                    address,
                })
            }
            _ => Err(StaticPeerError::NotNameAndAddress {
                text: text.to_owned(),
            }),
        }
    }
}

/// What is known of a peer besides its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// The address as announced; empty if there is none.
    pub(crate) address: String,
    /// The name in the node's certificate; empty if it serves without TLS.
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
    /// The node asks for TLS and the relay has none; speaking plaintext to it would not work.
    #[error("unexpected TLS ServerName {server_name} for {address}")]
    UnexpectedTls {
        /// What the node announced.
        server_name: String,
        /// Where it listens.
        address: String,
    },
}

impl From<StaticPeer> for Peer {
    fn from(peer: StaticPeer) -> Self {
        Self {
            address: peer.address.to_string(),
            tls_server_name: String::new(),
            target: Ok(peer.address),
        }
    }
}

impl Peer {
    fn announced(address: String, tls_server_name: String) -> Self {
        let target = if address.is_empty() {
            Err(Unreachable::NoAddress)
        } else if !tls_server_name.is_empty() {
            Err(Unreachable::UnexpectedTls {
                server_name: tls_server_name.clone(),
                address: address.clone(),
            })
        } else {
            agent_target(&address).map_err(Unreachable::BadAddress)
        };
        Self {
            address,
            tls_server_name,
            target,
        }
    }
}

/// Reads the address of an agent: a [`Target`] whose port is an agent's where none is named, or
/// where it is a service name instead of a number.
fn agent_target(address: &str) -> Result<Target, TargetError> {
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

/// The peers of this moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct PeerSet {
    /// Whether the list is being kept up to date: there is no peer service, or it is connected.
    pub(crate) is_current: bool,
    /// By name.
    pub(crate) peers: BTreeMap<Arc<str>, Peer>,
}

/// Builds the [`PeerSet`] out of a fixed list and a peer service's notifications. A peer of the
/// list is never changed or removed by a notification of the same name.
#[derive(Debug)]
pub(crate) struct PeerBook {
    fixed: BTreeMap<Arc<str>, Peer>,
    announced: BTreeMap<Arc<str>, Peer>,
    /// What the connection at hand has named so far.
    named: BTreeSet<Arc<str>>,
}

impl PeerBook {
    /// A book that knows the list only.
    pub(crate) fn new(fixed: Vec<StaticPeer>) -> Self {
        let fixed = fixed
            .into_iter()
            .map(|peer| (peer.name.as_str().into(), peer.into()))
            .collect();
        Self {
            fixed,
            announced: BTreeMap::new(),
            named: BTreeSet::new(),
        }
    }

    /// A new connection to the peer service: it will name all its nodes again.
    pub(crate) fn start_snapshot(&mut self) {
        self.named.clear();
    }

    /// The snapshot is complete: who was not named is gone. (Hubble keeps such peers for ever.)
    /// Without a single name there was no snapshot: an agent knows at least its own node.
    pub(crate) fn end_snapshot(&mut self) {
        if !self.named.is_empty() {
            self.announced.retain(|name, _| self.named.contains(name));
        }
    }

    /// Applies one notification. Added and updated mean the same: this is how the node is now.
    pub(crate) fn apply(&mut self, change: ChangeNotification) {
        if change.name.is_empty() {
            return;
        }
        let name: Arc<str> = change.name.as_str().into();
        match change.r#type() {
            ChangeNotificationType::PeerAdded | ChangeNotificationType::PeerUpdated => {
                if self.announced.len() >= MAX_PEERS && !self.announced.contains_key(&name) {
                    tracing::error!(peer = %name, limit = MAX_PEERS, "too many peers, one ignored");
                    return;
                }
                let server_name = change.tls.map(|tls| tls.server_name).unwrap_or_default();
                self.named.insert(Arc::clone(&name));
                self.announced
                    .insert(name, Peer::announced(change.address, server_name));
            }
            ChangeNotificationType::PeerDeleted => {
                self.named.remove(&name);
                self.announced.remove(&name);
            }
            ChangeNotificationType::Unknown => {}
        }
    }

    /// The peers that result.
    pub(crate) fn peers(&self) -> BTreeMap<Arc<str>, Peer> {
        let mut peers = self.announced.clone();
        peers.extend(self.fixed.clone());
        peers
    }
}

#[cfg(test)]
mod tests {
    use ChangeNotificationType::{PeerAdded, PeerDeleted, PeerUpdated};
    use flow_api::peer::Tls;

    use super::*;

    fn change(kind: ChangeNotificationType, name: &str, address: &str) -> ChangeNotification {
        ChangeNotification {
            name: name.into(),
            address: address.into(),
            r#type: kind.into(),
            tls: None,
        }
    }

    fn shown(book: &PeerBook) -> Vec<String> {
        let show = |(name, peer): (&Arc<str>, &Peer)| match &peer.target {
            Ok(target) => format!("{name} {target}"),
            Err(reason) => format!("{name} ({reason})"),
        };
        book.peers().iter().map(show).collect()
    }

    #[test]
    fn notifications_add_replace_and_remove() {
        let mut book = PeerBook::new(Vec::new());
        book.apply(change(PeerAdded, "a", "192.0.2.1:4244"));
        book.apply(change(PeerAdded, "b", "192.0.2.2:4244"));
        book.apply(change(PeerUpdated, "a", "192.0.2.9:4244"));
        book.apply(change(PeerDeleted, "b", "192.0.2.2:4244"));
        assert_eq!(shown(&book), ["a 192.0.2.9:4244"]);
    }

    #[test]
    fn peers_that_a_later_snapshot_does_not_name_go_when_it_ends() {
        let mut book = PeerBook::new(Vec::new());
        book.apply(change(PeerAdded, "a", "192.0.2.1:4244"));
        book.apply(change(PeerAdded, "b", "192.0.2.2:4244"));
        book.start_snapshot();
        book.apply(change(PeerAdded, "b", "192.0.2.2:4244"));
        assert_eq!(shown(&book).len(), 2, "not before it ends");
        book.end_snapshot();
        assert_eq!(shown(&book), ["b 192.0.2.2:4244"]);
        book.start_snapshot();
        book.end_snapshot();
        assert_eq!(
            shown(&book),
            ["b 192.0.2.2:4244"],
            "an empty snapshot is none"
        );
    }

    #[test]
    fn a_listed_peer_stays_whatever_is_announced() {
        let mut book = PeerBook::new(vec!["a=192.0.2.1".parse().unwrap()]);
        book.apply(change(PeerUpdated, "a", "192.0.2.9:1"));
        book.apply(change(PeerDeleted, "a", ""));
        assert_eq!(shown(&book), ["a 192.0.2.1:4244"]);
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
            let target = Peer::announced(address.into(), String::new()).target;
            assert_eq!(target.unwrap().to_string(), expected, "{address}");
        }
    }

    #[test]
    fn peers_without_address_or_with_tls_are_known_but_not_connected() {
        let mut book = PeerBook::new(Vec::new());
        book.apply(change(PeerAdded, "a", ""));
        let mut secured = change(PeerAdded, "b", "192.0.2.1:4244");
        secured.tls = Some(Tls {
            server_name: "b.default.hubble-grpc.cilium.io".into(),
        });
        book.apply(secured);
        let refused = "b (unexpected TLS ServerName b.default.hubble-grpc.cilium.io for \
                       192.0.2.1:4244)";
        assert_eq!(shown(&book), ["a (no address is known)", refused]);
    }

    #[test]
    fn a_refused_peer_text_says_what_was_expected() {
        for text in ["", "node-1", "=192.0.2.1", "node-1="] {
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
