//! One task per member: connects, notices when the connection is lost, connects again.
//!
//! A channel of tonic connects when it is used and does not say how it is doing, so the task uses
//! it: it watches the peer's health, a stream that costs nothing while it is open and that ends
//! with the connection. What the peer says of its health does not matter here. Now and then it asks
//! the peer for its status as well. That tells the peer's version and clock, and it is how a peer is
//! noticed that is frozen, or whose link is cut: its connection does not break. A peer without the
//! health service is asked more often.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flow_api::clock;
use flow_api::observer::ServerStatusRequest;
use flow_api::service::observer_client::ObserverClient;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::defaults::{CONNECT_TIMEOUT, POLL_INTERVAL, RETRY_CAP};
use crate::pool::{Clock, Member, State};
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
    if member.state() == State::Idle {
        member.set_state(generation, State::Connecting);
    }
    loop {
        let attempt = async {
            let channel = connections.channel().map_err(|error| error.to_string())?;
            Contact::make(channel, member).await
        };
        let error = match attempt.await {
            Ok(contact) => {
                let since = Instant::now();
                member.set_state(generation, State::Ready);
                let error = match contact.lost(member).await {
                    Lost::Broken(error) => error,
                    Lost::Silent(error) => {
                        // Whoever reads from it should not wait for it any longer.
                        member.give_up(generation, error);
                        return std::future::pending().await;
                    }
                };
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

/// How a connection ended.
enum Lost {
    /// It broke, and everybody who used it knows.
    Broken(String),
    /// It stands, and nobody answers.
    Silent(String),
}

/// A connection that stands, and how its end will be noticed.
struct Contact {
    channel: Channel,
    /// The peer's health, watched; `None` for a peer that does not tell it.
    health: Option<Streaming<HealthCheckResponse>>,
}

impl Contact {
    async fn make(channel: Channel, member: &Member) -> Result<Self, String> {
        let request = HealthCheckRequest {
            service: String::new(),
        };
        let mut client = HealthClient::new(channel.clone());
        let health = match timeout(CONNECT_TIMEOUT, client.watch(request)).await {
            Ok(Ok(response)) => Some(response.into_inner()),
            // Any answer of the peer's own is an answer.
            Ok(Err(status)) if is_answer(&status) => None,
            Ok(Err(status)) => return Err(status::plain_text(&status)),
            Err(_elapsed) => return Err(format!("no answer within {CONNECT_TIMEOUT:?}")),
        };
        match probe(channel.clone(), member).await {
            Ok(()) => Ok(Self { channel, health }),
            Err(Lost::Broken(error) | Lost::Silent(error)) => Err(error),
        }
    }

    /// Waits until the connection is lost; says why.
    async fn lost(mut self, member: &Member) -> Lost {
        loop {
            match &mut self.health {
                Some(health) => {
                    // Not all peers at the same moment.
                    let pause = member.probe_interval().mul_f64(1.0 - fastrand::f64() / 4.0);
                    tokio::select! {
                        error = ended(health) => return Lost::Broken(error),
                        () = sleep(pause) => {}
                    }
                }
                None => tokio::select! {
                    () = sleep(POLL_INTERVAL) => {}
                    () = member.nudged() => {}
                },
            }
            if let Err(lost) = probe(self.channel.clone(), member).await {
                return lost;
            }
        }
    }
}

/// Waits for the end of a connection on which health is watched.
async fn ended(health: &mut Streaming<HealthCheckResponse>) -> String {
    loop {
        match health.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return "the peer ended the connection".to_owned(),
            Err(status) => return status::plain_text(&status),
        }
    }
}

/// Asks the peer for its status, to know that it lives, and what it is.
async fn probe(channel: Channel, member: &Member) -> Result<(), Lost> {
    let mut request = Request::new(ServerStatusRequest {});
    clock::ask(request.metadata_mut());
    let mut client = ObserverClient::new(channel);
    let (began, sent) = (Instant::now(), SystemTime::now());
    match timeout(CONNECT_TIMEOUT, client.server_status(request)).await {
        Ok(Ok(response)) => {
            let took = began.elapsed();
            let clock = clock::told(response.metadata()).map(|told| clock_of(told, sent, took));
            member.learn(response.into_inner().version, clock);
            Ok(())
        }
        Ok(Err(status)) if is_answer(&status) => Ok(()),
        Ok(Err(status)) => Err(Lost::Broken(status::plain_text(&status))),
        Err(_elapsed) => Err(Lost::Silent(format!(
            "no answer within {CONNECT_TIMEOUT:?}"
        ))),
    }
}

/// How far a clock is off that was read somewhere between a question and its answer.
fn clock_of(told: SystemTime, sent: SystemTime, took: Duration) -> Clock {
    let middle = sent + took / 2;
    let ahead_seconds = match told.duration_since(middle) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    };
    Clock {
        ahead_seconds,
        within_seconds: took.as_secs_f64() / 2.0,
    }
}

/// Whether the peer said this, and not the transport on the way to it.
fn is_answer(status: &Status) -> bool {
    status.source().is_none() && status.code() != Code::Unavailable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_question_and_answer() {
        let sent = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let took = Duration::from_secs(2);
        let ahead = clock_of(sent + Duration::from_secs(4), sent, took);
        assert_eq!(ahead.ahead_seconds, 3.0);
        assert_eq!(ahead.within_seconds, 1.0);
        assert!(ahead.is_off());
        let behind = clock_of(sent - Duration::from_secs(4), sent, took);
        assert_eq!(behind.ahead_seconds, -5.0);
        let right = clock_of(sent + Duration::from_millis(500), sent, took);
        assert!(!right.is_off(), "as far as anybody can tell");
    }
}
