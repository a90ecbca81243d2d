//! Keeps the [`PeerSet`] up to date: the list from the configuration, and what the peer service's
//! `Notify` says. One task, one `watch` value.

use std::time::Duration;

use flow_api::connect::{ConnectOptions, Target, connect};
use flow_api::peer::NotifyRequest;
use flow_api::peer::peer_client::PeerClient;
use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::defaults::{CONNECT_TIMEOUT, PEER_TIMEOUT, SNAPSHOT_SETTLE};
use crate::peers::{PeerBook, PeerSet, StaticPeer};
use crate::retry::Backoff;

/// Where peers come from.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// Always peers.
    pub(crate) fixed: Vec<StaticPeer>,
    /// Who is asked for more.
    pub(crate) service: Option<Target>,
    /// The longest pause before the service is asked again.
    pub(crate) retry_timeout: Duration,
}

/// Why a round with the peer service ended. The next one follows after a pause.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("{0}")]
    Connect(#[from] flow_api::connect::ConnectError),
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Status),
    #[error("the peer service closed the stream")]
    Closed,
}

impl Discovery {
    /// The peers that are known before anybody was asked.
    pub(crate) fn initial(&self) -> PeerSet {
        let book = PeerBook::new(self.fixed.clone());
        PeerSet {
            is_current: self.service.is_none(),
            peers: book.peers(),
        }
    }

    /// Publishes the peers for as long as anybody looks at them.
    pub(crate) async fn run(self, set: watch::Sender<PeerSet>) {
        let mut book = PeerBook::new(self.fixed);
        let Some(service) = self.service else {
            // Nothing ever changes; the value must stay readable.
            return set.closed().await;
        };
        let mut backoff = Backoff::with_cap(self.retry_timeout);
        let mut was_told = false;
        loop {
            let error = tokio::select! {
                error = follow(&service, &mut book, &set, &mut backoff) => error,
                () = set.closed() => return,
            };
            // One warning for each time that it is lost, not for each attempt.
            if set.borrow().is_current || !was_told {
                tracing::warn!(%service, %error, "no peer service, keeping the peers known so far");
                was_told = true;
            } else {
                tracing::debug!(%service, %error, "still no peer service");
            }
            publish(&set, &book, false);
            sleep(backoff.next()).await;
        }
    }
}

/// One connection to the peer service, from the snapshot to the end.
async fn follow(
    service: &Target,
    book: &mut PeerBook,
    set: &watch::Sender<PeerSet>,
    backoff: &mut Backoff,
) -> NotifyError {
    match try_follow(service, book, set, backoff).await {
        Ok(()) => NotifyError::Closed,
        Err(error) => error,
    }
}

async fn try_follow(
    service: &Target,
    book: &mut PeerBook,
    set: &watch::Sender<PeerSet>,
    backoff: &mut Backoff,
) -> Result<(), NotifyError> {
    let options = ConnectOptions {
        connect_timeout: CONNECT_TIMEOUT,
        ..ConnectOptions::default()
    };
    let mut client = PeerClient::new(connect(service, &options).await?);
    let mut changes = timeout(PEER_TIMEOUT, client.notify(NotifyRequest {}))
        .await
        .map_err(|_elapsed| NotifyError::Silent(PEER_TIMEOUT))?
        .map_err(NotifyError::Status)?
        .into_inner();
    tracing::info!(%service, "peer service connected");
    book.start_snapshot();
    publish(set, book, true);
    let settled = sleep(SNAPSHOT_SETTLE);
    tokio::pin!(settled);
    let mut in_snapshot = true;
    loop {
        tokio::select! {
            change = changes.message() => {
                let Some(change) = change.map_err(NotifyError::Status)? else { return Ok(()) };
                book.apply(change);
                // A snapshot comes in one go; the peers are published once for all of it.
                while let Some(next) = changes.message().now_or_never() {
                    let Some(change) = next.map_err(NotifyError::Status)? else { return Ok(()) };
                    book.apply(change);
                }
                backoff.reset();
                settled.as_mut().reset(Instant::now() + SNAPSHOT_SETTLE);
            }
            () = &mut settled, if in_snapshot => {
                book.end_snapshot();
                in_snapshot = false;
            }
        }
        publish(set, book, true);
    }
}

/// Sends the peers on if they are other ones than before.
fn publish(set: &watch::Sender<PeerSet>, book: &PeerBook, is_current: bool) {
    let new = PeerSet {
        is_current,
        peers: book.peers(),
    };
    set.send_if_modified(|old| {
        let changed = *old != new;
        if changed {
            *old = new;
        }
        changed
    });
}
