//! The health service: serving while the peer list is current and at least one peer is available.
//!
//! Hubble looks every five seconds; here it follows each change. Written out instead of taken from
//! `tonic_health::server`, which answers a watch of an unknown service with an error where the
//! protocol asks for SERVICE_UNKNOWN and an open stream.

use flow_api::HEALTH_SERVICE;
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::peers::PeerSet;
use crate::pool::Pool;

/// Keeps `serving` true to its name until the pool ends.
pub(crate) async fn evaluate(
    peers: watch::Receiver<PeerSet>,
    mut pool: Pool,
    serving: watch::Sender<bool>,
) {
    loop {
        pool.changes.mark_unchanged();
        let is_serving = peers.borrow().is_current
            && pool.members().values().any(|member| member.is_available());
        let changed =
            serving.send_if_modified(|old| std::mem::replace(old, is_serving) != is_serving);
        if changed {
            tracing::info!(is_serving, "health changed");
        }
        if pool.changes.changed().await.is_err() {
            return;
        }
    }
}

/// Answers for the server as a whole (the empty name) and under the name that Hubble's clients use.
#[derive(Debug)]
pub(crate) struct HealthService {
    /// See [`evaluate`].
    pub(crate) serving: watch::Receiver<bool>,
    /// Ends watches.
    pub(crate) shutdown: CancellationToken,
}

fn is_known(service: &str) -> bool {
    matches!(service, "" | HEALTH_SERVICE)
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
        if !is_known(&service) {
            return Err(Status::not_found(format!("unknown service {service:?}")));
        }
        Ok(Response::new(serving_response(*self.serving.borrow())))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let states = if is_known(&request.into_inner().service) {
            WatchStream::new(self.serving.clone())
                .map(serving_response)
                .boxed()
        } else {
            let unknown = futures::stream::iter([response(ServingStatus::ServiceUnknown)]);
            unknown.chain(futures::stream::pending()).boxed()
        };
        let ended = self.shutdown.clone().cancelled_owned();
        Ok(Response::new(states.map(Ok).take_until(ended).boxed()))
    }
}
