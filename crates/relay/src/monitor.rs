//! One task per member: connects, notices when the connection is lost, connects again.
//!
//! A channel of tonic connects when it is used and does not say how it is doing, so the task uses
//! it: it watches the peer's health, a stream that costs nothing while it is open and that ends
//! with the connection. What the peer says of its health does not matter here. A peer without the
//! health service is asked for its status now and then instead.

use std::error::Error as _;
use std::sync::Arc;

use flow_api::observer::ServerStatusRequest;
use flow_api::service::observer_client::ObserverClient;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::defaults::{CONNECT_TIMEOUT, POLL_INTERVAL, RETRY_CAP};
use crate::pool::{Member, State};
use crate::retry::Backoff;
use crate::status;

/// Keeps one member connected until the task is aborted.
pub(crate) async fn keep_connected(member: Arc<Member>) {
    let mut link = member.link();
    loop {
        let generation = link.borrow_and_update().generation;
        let moved = async {
            // An error means that the member is gone, and this task with it.
            link.wait_for(|link| link.generation != generation)
                .await
                .is_ok()
        };
        tokio::select! {
            still_there = moved => if !still_there { return },
            () = keep_address_connected(&member) => return,
        }
    }
}

/// The same for one address; never returns.
async fn keep_address_connected(member: &Member) {
    let (connections, generation) = member.connections();
    let Some(connections) = connections else {
        return std::future::pending().await;
    };
    let mut backoff = Backoff::with_cap(RETRY_CAP);
    // Not set while a peer is known to fail: it stays unavailable until an attempt succeeds.
    member.set_state(generation, State::Connecting);
    loop {
        let attempt = async {
            let channel = connections.channel().map_err(|error| error.to_string())?;
            Contact::make(channel).await
        };
        let error = match attempt.await {
            Ok(contact) => {
                let since = Instant::now();
                member.set_state(generation, State::Ready);
                let error = contact.lost(member).await;
                tracing::info!(peer = %member.name, %error, "connection to peer lost");
                member.set_state(generation, State::Connecting);
                if since.elapsed() > RETRY_CAP {
                    // It was a good connection, so the first new attempt is made at once.
                    backoff.reset();
                    continue;
                }
                error
            }
            Err(error) => {
                member.set_state(generation, State::Failed(error.clone()));
                error
            }
        };
        tracing::trace!(peer = %member.name, %error, "waiting before the next attempt");
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = member.nudged() => {}
        }
    }
}

/// A connection that stands, and how its end will be noticed.
enum Contact {
    /// The peer's health, watched.
    Watched(Streaming<HealthCheckResponse>),
    /// A peer without health service, to be asked over this.
    Polled(Channel),
}

impl Contact {
    async fn make(channel: Channel) -> Result<Self, String> {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let mut client = HealthClient::new(channel.clone());
        match timeout(CONNECT_TIMEOUT, client.watch(request)).await {
            Ok(Ok(response)) => Ok(Self::Watched(response.into_inner())),
            // Any answer of the peer's own is an answer.
            Ok(Err(status)) if is_answer(&status) => Ok(Self::Polled(channel)),
            Ok(Err(status)) => Err(status::plain_text(&status)),
            Err(_elapsed) => Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
        }
    }

    /// Waits until the connection is lost; says why.
    async fn lost(self, member: &Member) -> String {
        match self {
            Self::Watched(mut health) => loop {
                match health.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return "the peer ended the connection".to_owned(),
                    Err(status) => return status::plain_text(&status),
                }
            },
            Self::Polled(channel) => {
                let mut client = ObserverClient::new(channel);
                loop {
                    tokio::select! {
                        () = sleep(POLL_INTERVAL) => {}
                        () = member.nudged() => {}
                    }
                    match timeout(
                        CONNECT_TIMEOUT,
                        client.server_status(ServerStatusRequest {}),
                    )
                    .await
                    {
                        Ok(Err(status)) if !is_answer(&status) => {
                            return status::plain_text(&status);
                        }
                        Ok(_) => {}
                        Err(_elapsed) => return format!("no answer within {CONNECT_TIMEOUT:?}"),
                    }
                }
            }
        }
    }
}

/// Whether the peer said this, and not the transport on the way to it.
fn is_answer(status: &Status) -> bool {
    status.source().is_none() && status.code() != Code::Unavailable
}
