//! How the relay is doing, for those who ask by gRPC and by HTTP.
//!
//! Three rules, each for its own reader:
//! - *serving* is Hubble's, for its clients: somebody tells of peers now, and one of them is available;
//! - *ready* is for load balancers: some peer is connected. A relay that was ready stays so for a
//!   while without, since one that is taken away cannot even tell its clients what is wrong, and all
//!   of its agents may just be replaced;
//! - *alive* is for whoever restarts it: it answers.
//!
//! Hubble looks every five seconds; here it follows each change. Written out instead of taken from
//! `tonic_health::server`, which answers a watch of an unknown service with an error where the
//! protocol asks for SERVICE_UNKNOWN and an open stream.

use std::fmt;

use flow_api::HEALTH_SERVICE;
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::defaults::READY_GRACE;
use crate::peers::PeerSet;
use crate::pool::{Pool, State};

/// Asked by those who restart what hangs.
const LIVENESS: &str = "liveness";

/// Asked by those who send clients here.
const READINESS: &str = "readiness";

/// How the relay is doing; see the [module](self).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Condition {
    /// By Hubble's rule.
    pub(crate) is_serving: bool,
    /// By our own.
    pub(crate) is_ready: bool,
    /// Peers that are known.
    pub(crate) peers: usize,
    /// Peers that are connected.
    pub(crate) connected: usize,
    /// Whether somebody tells of peers now.
    pub(crate) is_current: bool,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            peers, connected, ..
        } = self;
        let list = if self.is_current { "" } else { ", not current" };
        write!(f, "{connected} of {peers} nodes connected{list}")
    }
}

/// Keeps `condition` true to its name until the pool ends, or the relay does.
pub(crate) async fn evaluate(
    peers: watch::Receiver<PeerSet>,
    mut pool: Pool,
    condition: watch::Sender<Condition>,
    shutdown: CancellationToken,
) {
    let mut connected_at: Option<Instant> = None;
    loop {
        pool.changes.mark_unchanged();
        let is_current = peers.borrow().is_current;
        let members = pool.members();
        let connected = members.values().filter(|it| it.state() == State::Ready);
        let connected = connected.count();
        let now = Instant::now();
        if connected > 0 {
            connected_at = Some(now);
        }
        let grace_ends = connected_at.map(|at| at + READY_GRACE);
        let new = Condition {
            is_serving: is_current && members.values().any(|it| it.is_available()),
            is_ready: grace_ends.is_some_and(|end| now < end),
            peers: members.len(),
            connected,
            is_current,
        };
        condition.send_if_modified(|old| {
            if (old.is_serving, old.is_ready) != (new.is_serving, new.is_ready) {
                let (is_serving, is_ready) = (new.is_serving, new.is_ready);
                tracing::info!(is_serving, is_ready, nodes = %new, "health changed");
            }
            std::mem::replace(old, new) != new
        });
        let grace = async {
            match grace_ends {
                Some(end) if connected == 0 && now < end => sleep_until(end).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = pool.changes.changed() => if changed.is_err() { return },
            () = grace => {}
            () = shutdown.cancelled() => {
                condition.send_modify(|it| {
                    it.is_serving = false;
                    it.is_ready = false;
                });
                return;
            }
        }
    }
}

/// Answers for the server as a whole (the empty name) and under the name that Hubble's clients use,
/// by Hubble's rule; under `readiness` and `liveness` by those.
#[derive(Clone, Debug)]
pub(crate) struct HealthService {
    /// See [`evaluate`].
    pub(crate) condition: watch::Receiver<Condition>,
    /// Ends watches.
    pub(crate) shutdown: CancellationToken,
}

/// What a service's name asks for; `None` for one that is not known.
fn rule(service: &str) -> Option<fn(Condition) -> bool> {
    match service {
        "" | HEALTH_SERVICE => Some(|it| it.is_serving),
        READINESS => Some(|it| it.is_ready),
        LIVENESS => Some(|_| true),
        _ => None,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

fn serving_response(is_serving: bool) -> HealthCheckResponse {
    response(if is_serving {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    })
}

#[tonic::async_trait]
impl Health for HealthService {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let Some(rule) = rule(&service) else {
            return Err(Status::not_found(format!("unknown service {service:?}")));
        };
        Ok(Response::new(serving_response(rule(
            *self.condition.borrow(),
        ))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let states = match rule(&request.into_inner().service) {
            Some(rule) => {
                let mut told = None;
                // Numbers change more often than what they come to.
                WatchStream::new(self.condition.clone())
                    .filter_map(move |condition| {
                        let is_serving = rule(condition);
                        let is_news = told.replace(is_serving) != Some(is_serving);
                        futures::future::ready(is_news.then(|| serving_response(is_serving)))
                    })
                    .boxed()
            }
            None => {
                let unknown = futures::stream::iter([response(ServingStatus::ServiceUnknown)]);
                unknown.chain(futures::stream::pending()).boxed()
            }
        };
        let ended = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(states.map(Ok).take_until(ended).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Keeper, Ways};

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_never_reached_a_peer_is_not_ready_and_one_that_did_stays_so_for_a_while()
    {
        let rules = crate::peers::Rules {
            has_tls: false,
            cluster: "default".to_owned(),
        };
        let peer = rules.listed("a=unix:///nonexistent/a.sock".parse().unwrap());
        let peers = watch::Sender::new(PeerSet {
            is_current: true,
            peers: [("a".into(), peer)].into(),
        });
        let (keeper, pool) = Keeper::new(peers.subscribe(), Ways::default());
        let condition = watch::Sender::new(Condition::default());
        let mut seen = condition.subscribe();
        let shutdown = CancellationToken::new();
        tokio::spawn(evaluate(
            peers.subscribe(),
            pool.clone(),
            condition,
            shutdown.clone(),
        ));
        let first = *seen.wait_for(|it| it.peers == 1).await.unwrap();
        assert!(!first.is_ready);

        let member = pool.members().get("a").cloned().unwrap();
        member.set_state(0, State::Ready);
        seen.wait_for(|it| it.is_ready && it.is_serving)
            .await
            .unwrap();
        let lost_at = Instant::now();
        member.set_state(0, State::Failed("gone".to_owned()));
        seen.wait_for(|it| !it.is_serving).await.unwrap();
        assert!(seen.borrow().is_ready);
        seen.wait_for(|it| !it.is_ready).await.unwrap();
        // From when it was seen connected last.
        assert!(lost_at.elapsed() <= READY_GRACE);
        assert!(lost_at.elapsed() > READY_GRACE / 2);

        member.set_state(0, State::Ready);
        seen.wait_for(|it| it.is_ready).await.unwrap();
        shutdown.cancel();
        seen.wait_for(|it| !it.is_ready).await.unwrap();
        drop(keeper);
    }
}
