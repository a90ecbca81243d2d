//! The peer service of an agent: asked once, it tells of all nodes, and then what changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flow_api::connect::Target;
use flow_api::peer::peer_client::PeerClient;
use flow_api::peer::{ChangeNotification, ChangeNotificationType, NotifyRequest};
use futures::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::Place;
use crate::defaults::{MAX_PEERS, PEER_TIMEOUT, SNAPSHOT_LONGEST, SNAPSHOT_SETTLE};
use crate::dial::Dialer;
use crate::peers::{Peers, Rules};
use crate::retry::Backoff;
use crate::status;

/// A peer service.
pub(crate) struct Notify {
    /// Who it is, for the log.
    pub(crate) service: Target,
    /// How it is reached.
    pub(crate) dialer: Dialer,
    /// How the nodes are reached that it tells of.
    pub(crate) rules: Rules,
    /// The longest pause before it is asked again.
    pub(crate) retry_timeout: Duration,
}

/// Why a round with the peer service ended. The next one follows after a pause.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("{0}")]
    Unreachable(tonic::transport::Error),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{}", status::plain_text(.0))]
    Status(Status),
    #[error("the peer service closed the stream")]
    Closed,
}

impl Notify {
    /// Asks for as long as anybody wants to know.
    pub(super) async fn run(self, place: Place) {
        let mut book = Book::new(self.rules.clone());
        let mut backoff = Backoff::with_cap(self.retry_timeout);
        let mut was_told = false;
        loop {
            let round = async {
                match self.follow(&mut book, &place, &mut backoff).await {
                    Ok(()) => NotifyError::Closed,
                    Err(error) => error,
                }
            };
            let error = tokio::select! {
                error = round => error,
                () = place.closed() => return,
            };
            let service = &self.service;
            // One warning for each time that it is lost, not for each attempt.
            if place.lost() || !was_told {
                tracing::warn!(%service, %error, "no peer service, keeping the peers known so far");
                was_told = true;
            } else {
                tracing::debug!(%service, %error, "still no peer service");
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = place.closed() => return,
            }
        }
    }

    /// One connection, from the snapshot to the end.
    async fn follow(
        &self,
        book: &mut Book,
        place: &Place,
        backoff: &mut Backoff,
    ) -> Result<(), NotifyError> {
        let channel = self.dialer.channel().map_err(NotifyError::Unreachable)?;
        let mut client = PeerClient::new(channel);
        let mut changes = timeout(PEER_TIMEOUT, client.notify(NotifyRequest {}))
            .await
            .map_err(|_elapsed| NotifyError::Silent(PEER_TIMEOUT))?
            .map_err(NotifyError::Status)?
            .into_inner();
        tracing::info!(service = %self.service, "peer service connected");
        book.start_snapshot();
        place.put(book.peers());
        let latest = Instant::now() + SNAPSHOT_LONGEST;
        let settled = sleep(SNAPSHOT_SETTLE);
        tokio::pin!(settled);
        let mut in_snapshot = true;
        loop {
            tokio::select! {
                change = changes.message() => {
                    let Some(change) = change.map_err(NotifyError::Status)? else {
                        return Ok(());
                    };
                    book.apply(change);
                    // A snapshot comes in one go; the peers are published once for all of it.
                    while let Some(next) = changes.message().now_or_never() {
                        let Some(change) = next.map_err(NotifyError::Status)? else {
                            return Ok(());
                        };
                        book.apply(change);
                    }
                    backoff.reset();
                    settled.as_mut().reset(latest.min(Instant::now() + SNAPSHOT_SETTLE));
                }
                () = &mut settled, if in_snapshot => {
                    book.end_snapshot();
                    in_snapshot = false;
                }
            }
            place.put(book.peers());
        }
    }
}

/// What was told so far.
#[derive(Debug)]
struct Book {
    rules: Rules,
    announced: Peers,
    /// What the connection at hand has named so far.
    named: BTreeSet<Arc<str>>,
}

impl Book {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            announced: Peers::new(),
            named: BTreeSet::new(),
        }
    }

    fn peers(&self) -> Peers {
        self.announced.clone()
    }

    /// A new connection: it will name all its nodes again.
    fn start_snapshot(&mut self) {
        self.named.clear();
    }

    /// The snapshot is complete: who was not named is gone. (Hubble keeps such peers for ever.)
    /// Without a single name there was no snapshot: an agent knows at least its own node.
    fn end_snapshot(&mut self) {
        if !self.named.is_empty() {
            self.announced.retain(|name, _| self.named.contains(name));
        }
    }

    /// Applies one notification. Added and updated mean the same: this is how the node is now.
    fn apply(&mut self, change: ChangeNotification) {
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
                let peer = self.rules.announced(change.address, server_name);
                self.announced.insert(name, peer);
            }
            ChangeNotificationType::PeerDeleted => {
                self.named.remove(&name);
                self.announced.remove(&name);
            }
            ChangeNotificationType::Unknown => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use ChangeNotificationType::{PeerAdded, PeerDeleted, PeerUpdated};

    use super::*;

    fn book() -> Book {
        Book::new(Rules {
            has_tls: false,
            cluster: "default".to_owned(),
        })
    }

    fn change(kind: ChangeNotificationType, name: &str, address: &str) -> ChangeNotification {
        ChangeNotification {
            name: name.into(),
            address: address.into(),
            r#type: kind.into(),
            tls: None,
        }
    }

    fn shown(book: &Book) -> Vec<String> {
        let peers = book.peers();
        let show =
            |(name, peer): (&Arc<str>, &crate::peers::Peer)| format!("{name} {}", peer.address);
        peers.iter().map(show).collect()
    }

    #[test]
    fn notifications_add_replace_and_remove() {
        let mut book = book();
        book.apply(change(PeerAdded, "a", "192.0.2.1:4244"));
        book.apply(change(PeerAdded, "b", "192.0.2.2:4244"));
        book.apply(change(PeerUpdated, "a", "192.0.2.9:4244"));
        book.apply(change(PeerDeleted, "b", "192.0.2.2:4244"));
        assert_eq!(shown(&book), ["a 192.0.2.9:4244"]);
    }

    #[test]
    fn peers_that_a_later_snapshot_does_not_name_go_when_it_ends() {
        let mut book = book();
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
}
