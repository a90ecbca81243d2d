//! The health service: serving, until the agent begins to end.

use flow_api::HEALTH_SERVICE;
use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
};

/// The names that health is asked for; empty is the server as a whole.
const NAMES: [&str; 2] = ["", HEALTH_SERVICE];

/// A service that tells `NOT_SERVING` from `ending` on. At `closing`, those who watch are let go: they
/// would hold the server open.
pub(super) async fn service(
    ending: CancellationToken,
    closing: CancellationToken,
) -> HealthServer<impl Health> {
    let (mut reporter, service) = tonic_health::server::health_reporter();
    for name in NAMES {
        reporter
            .set_service_status(name, ServingStatus::Serving)
            .await;
    }
    tokio::spawn(async move {
        tokio::select! {
            () = ending.cancelled() => {}
            () = closing.cancelled() => {}
        }
        for name in NAMES {
            reporter
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        closing.cancelled().await;
        for name in NAMES {
            reporter.clear_service_status(name).await;
        }
    });
    service
}
