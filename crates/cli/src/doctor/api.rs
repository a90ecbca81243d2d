//! Whether the server answers Hubble's calls, and what it says of itself.

use std::time::Duration;

use flow_api::observer::{ServerStatusRequest, ServerStatusResponse};
use tonic::Code;

use super::{
    clock::{Clock, http_date, now_ns},
    report::{Failure, Step},
};
use crate::source::server::{RpcError, Server};

/// What to do where a server wants to know who asks.
pub(super) const GIVE_PASSWORD: &str =
    "add --basic-auth-username and --basic-auth-password, or check them";

/// The status of the server, and its clock if it tells the time.
pub(super) async fn status(
    server: &Server,
    patience: Duration,
) -> Result<(ServerStatusResponse, Option<Clock>), Failure> {
    let mut request = tonic::Request::new(ServerStatusRequest {});
    // A relay asks its nodes, and answers in time if it knows how much there is.
    request.set_timeout(patience);
    let mut observer = server.observer();
    let asked_ns = now_ns();
    let answer = tokio::time::timeout(patience, observer.server_status(request)).await;
    let answered_ns = now_ns();
    let failed = |cause: String| Failure::new(Step::Api, cause);
    match answer {
        Ok(Ok(answer)) => {
            let date = answer.metadata().get("date");
            let clock = date
                .and_then(|date| http_date(date.to_str().ok()?))
                .map(|second| Clock::of_second(second, asked_ns, answered_ns));
            Ok((answer.into_inner(), clock))
        }
        Ok(Err(status)) => Err(match status.code() {
            Code::Unimplemented => failed("it speaks HTTP/2, but not Hubble's API".to_owned())
                .next("this is no agent or relay: check the port"),
            Code::Unauthenticated | Code::PermissionDenied => {
                failed(format!("access denied: {}", status.message())).next(GIVE_PASSWORD)
            }
            _ => failed(RpcError::from(status).to_string()).next("see the server's log"),
        }),
        Err(_elapsed) => Err(
            failed(format!("ServerStatus has no answer within {patience:?}"))
                .next("see the server's log"),
        ),
    }
}
