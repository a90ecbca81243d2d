//! The slices of a Kubernetes service: which nodes have an agent behind it, and where. Asked of the
//! API server, so that no DNS is needed and nodes have their names.
//!
//! A node that has addresses of both families is one peer. So is one whose agent is being replaced:
//! the new one counts as soon as it is ready.

mod api_server;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use tokio::time::{Instant, sleep};

pub use self::api_server::SlicesError;
use super::Place;
use crate::defaults::{
    AGENT_PORT, MAX_PEERS, SLICES_RETRY_CAP, SLICES_SILENCE, SLICES_WATCH_SECONDS,
};
use crate::peers::{Peers, Rules};
use crate::retry::Backoff;

/// The label by which slices tell whose they are.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Objects that are asked for at once, as other clients do.
const PAGE_OBJECTS: u32 = 500;

/// A watch that the server ends sooner than this did not do its work.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// A Kubernetes service whose endpoints are peers.
///
/// Text form: `NAMESPACE/SERVICE`, or `NAMESPACE/SERVICE:PORT` with the name or number of a port;
/// the first one otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerSlices {
    namespace: String,
    service: String,
    port: Option<String>,
}

/// A text that names no service.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "invalid service {text:?}: expected NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT, as in \
     kube-system/hubble-peer"
)]
pub struct PeerSlicesError {
    /// The text as given.
    text: String,
}

impl FromStr for PeerSlices {
    type Err = PeerSlicesError;

    fn from_str(text: &str) -> Result<Self, PeerSlicesError> {
        let (path, port) = match text.split_once(':') {
            Some((path, port)) => (path, Some(port)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            !name.is_empty() && name.chars().all(plain)
        };
        match path.split_once('/') {
            Some((namespace, service))
                if is_name(namespace) && is_name(service) && port.is_none_or(is_name) =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    service: service.to_owned(),
                    port: port.map(str::to_owned),
                })
            }
            _ => Err(PeerSlicesError {
                text: text.to_owned(),
            }),
        }
    }
}

/// A service that is followed.
pub(crate) struct Slices {
    wanted: PeerSlices,
    slices: Api<EndpointSlice>,
    rules: Rules,
    prefers_ipv6: bool,
}

/// Why a list or a watch has to begin anew.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Request(String),
    #[error("{0}")]
    Refused(String),
    #[error("the server ended the watch at once")]
    EndedAtOnce,
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::Refused(status.message);
        }
        // The outer errors only say that there was one.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Request(cause.to_string())
    }
}

/// The slices that were told, by name.
type Known = BTreeMap<String, EndpointSlice>;

impl Slices {
    /// Follows a service, by a kubeconfig or as the pod that this is. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no API server to ask.
    pub(crate) async fn new(
        wanted: PeerSlices,
        kubeconfig: Option<PathBuf>,
        context: Option<String>,
        rules: Rules,
        prefers_ipv6: bool,
    ) -> Result<Self, SlicesError> {
        let client = api_server::client(kubeconfig.as_deref(), context.as_deref()).await?;
        Ok(Self {
            slices: Api::namespaced(client, &wanted.namespace),
            wanted,
            rules,
            prefers_ipv6,
        })
    }

    /// Asks for as long as anybody wants to know.
    pub(super) async fn run(self, place: Place) {
        let mut backoff = Backoff::with_cap(SLICES_RETRY_CAP);
        let mut was_told = false;
        loop {
            let error = tokio::select! {
                error = self.follow(&place, &mut backoff) => error,
                () = place.closed() => return,
            };
            let service = format!("{}/{}", self.wanted.namespace, self.wanted.service);
            if place.lost() || !was_told {
                tracing::warn!(%service, %error, "no Kubernetes API server, keeping the peers known so far");
                was_told = true;
            } else {
                tracing::debug!(%service, %error, "still no Kubernetes API server");
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = place.closed() => return,
            }
        }
    }

    /// Lists, and watches until something fails.
    async fn follow(&self, place: &Place, backoff: &mut Backoff) -> Failure {
        let followed: Result<(), Failure> = async {
            let (mut known, mut version) = self.list().await?;
            place.put(self.peers(&known));
            loop {
                let began = Instant::now();
                self.watch(&mut known, &mut version, place, backoff).await?;
                if began.elapsed() < SHORT_WATCH {
                    return Err(Failure::EndedAtOnce);
                }
            }
        }
        .await;
        followed.err().unwrap_or(Failure::EndedAtOnce)
    }

    async fn list(&self) -> Result<(Known, String), Failure> {
        let mut parameters = ListParams::default()
            .labels(&self.selector())
            .limit(PAGE_OBJECTS);
        let mut known = Known::new();
        loop {
            let asking = self.slices.list(&parameters);
            let page = tokio::time::timeout(SLICES_SILENCE, asking)
                .await
                .map_err(|_elapsed| Failure::Silent(SLICES_SILENCE))??;
            for slice in page.items {
                self.put(&mut known, slice);
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok((known, page.metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// One watch, until the server ends it in its own time.
    async fn watch(
        &self,
        known: &mut Known,
        version: &mut String,
        place: &Place,
        backoff: &mut Backoff,
    ) -> Result<(), Failure> {
        let parameters = WatchParams {
            label_selector: Some(self.selector()),
            timeout: Some(SLICES_WATCH_SECONDS),
            ..WatchParams::default()
        };
        let asking = self.slices.watch(&parameters, version);
        let events = tokio::time::timeout(SLICES_SILENCE, asking)
            .await
            .map_err(|_elapsed| Failure::Silent(SLICES_SILENCE))??;
        let mut events = std::pin::pin!(events);
        // The server ends a watch in time; one that is longer is on a dead connection.
        let dead = sleep(Duration::from_secs(SLICES_WATCH_SECONDS.into()) + SLICES_SILENCE);
        tokio::pin!(dead);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = &mut dead => return Err(Failure::Silent(SLICES_SILENCE)),
            };
            let Some(event) = event.transpose()? else {
                return Ok(());
            };
            backoff.reset();
            match event {
                WatchEvent::Added(slice) | WatchEvent::Modified(slice) => {
                    heard(&slice, version);
                    self.put(known, slice);
                }
                WatchEvent::Deleted(slice) => {
                    heard(&slice, version);
                    known.remove(&slice.metadata.name.unwrap_or_default());
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                // Mostly since the version is too old: a list makes up for it.
                WatchEvent::Error(status) => return Err(Failure::Refused(status.message)),
            }
            place.put(self.peers(known));
        }
    }

    fn selector(&self) -> String {
        format!("{SERVICE_LABEL}={}", self.wanted.service)
    }

    fn put(&self, known: &mut Known, mut slice: EndpointSlice) {
        let labels = slice.metadata.labels.unwrap_or_default();
        if labels.get(SERVICE_LABEL) != Some(&self.wanted.service) {
            return;
        }
        let name = slice.metadata.name.take().unwrap_or_default();
        slice.metadata = Default::default();
        if known.len() < MAX_PEERS || known.contains_key(&name) {
            known.insert(name, slice);
        }
    }

    /// One peer for each node; for each address where nodes have no names.
    fn peers(&self, known: &Known) -> Peers {
        let mut best: BTreeMap<String, (Rank, IpAddr, u16)> = BTreeMap::new();
        for slice in known.values() {
            let Some(port) = self.port(slice) else {
                continue;
            };
            for endpoint in &slice.endpoints {
                let Some(ip) = endpoint.addresses.first().and_then(|it| it.parse().ok()) else {
                    continue;
                };
                let name = match endpoint.node_name.as_deref() {
                    Some(node) if !node.is_empty() => node.to_owned(),
                    _ => std::net::SocketAddr::new(ip, port).to_string(),
                };
                let rank = self.rank(endpoint, ip);
                let new = (rank, ip, port);
                let place = best.entry(name).or_insert(new);
                *place = new.min(*place);
            }
        }
        best.into_iter()
            .map(|(name, (_, ip, port))| {
                let peer = self.rules.found(&name, ip, port);
                (name.into(), peer)
            })
            .collect()
    }

    fn rank(&self, endpoint: &Endpoint, ip: IpAddr) -> Rank {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        Rank {
            is_leaving: conditions.terminating == Some(true),
            is_unready: conditions.ready == Some(false),
            is_other_family: ip.is_ipv6() != self.prefers_ipv6,
        }
    }

    fn port(&self, slice: &EndpointSlice) -> Option<u16> {
        let ports = slice.ports.iter().flatten();
        let Some(wanted) = &self.wanted.port else {
            let first = ports.filter_map(|port| port.port).next();
            return Some(
                first
                    .and_then(|it| it.try_into().ok())
                    .unwrap_or(AGENT_PORT),
            );
        };
        if let Ok(number) = wanted.parse() {
            return Some(number);
        }
        let named = ports.filter(|port| port.name.as_ref() == Some(wanted));
        named.filter_map(|port| port.port?.try_into().ok()).next()
    }
}

/// Which of a node's endpoints is taken: the least. The address breaks ties, so that it stays the
/// same one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    is_leaving: bool,
    is_unready: bool,
    is_other_family: bool,
}

fn heard(slice: &EndpointSlice, version: &mut String) {
    if let Some(new) = &slice.metadata.resource_version {
        version.clone_from(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_namespace_and_maybe_a_port() {
        let read = |text: &str| text.parse::<PeerSlices>();
        assert_eq!(read("kube-system/hubble-peer").unwrap().port, None);
        let port = read("kube-system/hubble-peer:peer-service").unwrap().port;
        assert_eq!(port.as_deref(), Some("peer-service"));
        for text in ["", "hubble-peer", "/a", "a/", "a/b/c", "a/b:"] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("expected NAMESPACE/SERVICE"), "{error}");
        }
    }
}
