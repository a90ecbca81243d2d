//! Names in DNS: who is behind them is asked again when the answer's time is over.
//!
//! A host's addresses are a peer each, and a service's (`_grpc._tcp.relay-peers.example`, SRV records)
//! targets are. Of a host that has addresses of both families one family is taken: each node would be
//! a peer twice otherwise. An answer that there is nothing means that there are no peers; no answer
//! means nothing.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use tokio::time::sleep;

use super::Place;
use crate::defaults::{AGENT_PORT, DNS_LONGEST, DNS_SHORTEST};
use crate::peers::{Peers, Rules};
use crate::retry::Backoff;

/// A name in DNS behind which there are peers.
///
/// Text form: `HOST`, `HOST:PORT` or `_SERVICE._PROTOCOL.NAME`. A host without port gets an agent's,
/// 4244; a service has ports of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerNames {
    /// The name, as it is asked for.
    name: String,
    /// `None` for a service.
    port: Option<u16>,
}

/// A text that is no name in DNS.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "invalid name of peers {text:?}: expected HOST, HOST:PORT or _SERVICE._PROTOCOL.NAME, as in \
     palomar-agents.palomar.svc:4244"
)]
pub struct PeerNamesError {
    /// The text as given.
    text: String,
}

impl FromStr for PeerNames {
    type Err = PeerNamesError;

    fn from_str(text: &str) -> Result<Self, PeerNamesError> {
        let invalid = || PeerNamesError {
            text: text.to_owned(),
        };
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_service = name.starts_with('_');
        if name.is_empty()
            || !name.chars().all(plain)
            || name.parse::<IpAddr>().is_ok()
            || (is_service && port.is_some())
            || port == Some(0)
        {
            return Err(invalid());
        }
        Ok(Self {
            name: name.to_owned(),
            port: (!is_service).then(|| port.unwrap_or(AGENT_PORT)),
        })
    }
}

/// Nobody can be asked for names.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask for names in DNS: {reason}")]
pub struct NamesError {
    reason: String,
}

/// A name that is followed.
pub(crate) struct Names {
    names: PeerNames,
    resolver: TokioResolver,
    rules: Rules,
    prefers_ipv6: bool,
}

impl Names {
    /// Follows these names, by these servers, or by the system's where there are none.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system's settings cannot be read.
    pub(crate) fn new(
        names: PeerNames,
        servers: &[SocketAddr],
        rules: Rules,
        prefers_ipv6: bool,
    ) -> Result<Self, NamesError> {
        let failed = |error: NetError| NamesError {
            reason: error.to_string(),
        };
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(failed)?
        } else {
            let servers = servers.iter().map(|server| {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                NameServerConfig::new(server.ip(), true, connections)
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        // Asked again exactly when an answer's time is over: there is nothing to keep it for.
        builder.options_mut().cache_size = 0;
        Ok(Self {
            names,
            resolver: builder.build().map_err(failed)?,
            rules,
            prefers_ipv6,
        })
    }

    /// Asks for as long as anybody wants to know.
    pub(super) async fn run(self, place: Place) {
        let name = &self.names.name;
        let mut backoff = Backoff::with_cap(DNS_LONGEST);
        let mut was_told = false;
        loop {
            let pause = match self.ask().await {
                Ok((peers, lasts)) => {
                    backoff.reset();
                    was_told = false;
                    place.put(peers);
                    lasts.clamp(DNS_SHORTEST, DNS_LONGEST)
                }
                Err(error) => {
                    if place.lost() || !was_told {
                        tracing::warn!(%name, %error, "no answer, keeping the peers known so far");
                        was_told = true;
                    } else {
                        tracing::debug!(%name, %error, "still no answer");
                    }
                    backoff.next()
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = place.closed() => return,
            }
        }
    }

    /// The peers, and how long the answer is good for.
    async fn ask(&self) -> Result<(Peers, Duration), NetError> {
        let name = &self.names.name;
        if let Some(port) = self.names.port {
            let (addresses, lasts) = self.addresses(name).await?;
            let peer = |ip: IpAddr| {
                let shown = SocketAddr::new(ip, port).to_string();
                let label = ip.to_string();
                (shown.as_str().into(), self.rules.found(&label, ip, port))
            };
            return Ok((addresses.into_iter().map(peer).collect(), lasts));
        }
        let (records, mut lasts) = self.records(name, RecordType::SRV).await?;
        let mut peers = Peers::new();
        for record in records {
            let RData::SRV(service) = record else {
                continue;
            };
            let target = service.target.to_string();
            let (addresses, lasts_too) = self.addresses(&target).await?;
            lasts = lasts.min(lasts_too);
            // The first, by number, so that it stays the same one.
            let Some(ip) = addresses.into_iter().min() else {
                continue;
            };
            let target = target.trim_end_matches('.');
            // As far as anybody knows, the node's name. Hubble's certificates are for all nodes of a
            // cluster, so that nothing depends on it.
            let label = target.split('.').next().unwrap_or(target);
            let name: Arc<str> = target.into();
            peers.insert(name, self.rules.found(label, ip, service.port));
        }
        Ok((peers, lasts))
    }

    /// A host's addresses of the family that is preferred, or of the other one.
    async fn addresses(&self, host: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
        let families = match self.prefers_ipv6 {
            true => [RecordType::AAAA, RecordType::A],
            false => [RecordType::A, RecordType::AAAA],
        };
        let mut shortest = DNS_LONGEST;
        for family in families {
            let (records, lasts) = self.records(host, family).await?;
            shortest = shortest.min(lasts);
            let address = |record: RData| match record {
                RData::A(address) => Some(IpAddr::V4(address.0)),
                RData::AAAA(address) => Some(IpAddr::V6(address.0)),
                _ => None,
            };
            let addresses: Vec<_> = records.into_iter().filter_map(address).collect();
            if !addresses.is_empty() {
                return Ok((addresses, shortest));
            }
        }
        Ok((Vec::new(), shortest))
    }

    /// The records of a name, which may be none, and how long they hold.
    async fn records(
        &self,
        name: &str,
        kind: RecordType,
    ) -> Result<(Vec<RData>, Duration), NetError> {
        match self.resolver.lookup(name, kind).await {
            Ok(found) => {
                let records = found.answers().iter().map(|record| record.data.clone());
                let lasts = found
                    .valid_until()
                    .saturating_duration_since(Instant::now());
                Ok((records.collect(), lasts))
            }
            Err(error) if error.is_no_records_found() => Ok((Vec::new(), DNS_SHORTEST)),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_or_services() {
        let read = |text: &str| text.parse::<PeerNames>().map(|it| (it.name, it.port));
        assert_eq!(read("agents.example").unwrap().1, Some(4244));
        assert_eq!(read("agents.example:1").unwrap().1, Some(1));
        assert_eq!(read("_grpc._tcp.agents.example").unwrap().1, None);
        for text in ["", ":1", "a:b", "a:0", "192.0.2.1", "_a._tcp.b:1", "a b"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("expected HOST"), "{error}");
        }
    }
}
