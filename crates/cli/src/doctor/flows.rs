//! Whether flows arrive: the latest that the server holds, and those of the next second.

use std::time::Duration;

use flow_api::{
    coverage,
    observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
};
use prost_types::FieldMask;
use serde::Serialize;
use tokio::time::Instant;
use tonic::{Code, Request, Status, Streaming};

use super::{
    clock::{Clock, nanoseconds, now_ns},
    report::{Failure, Step},
};
use crate::{
    print::grouped,
    source::server::{RpcError, Server},
};

/// How long to look for new flows.
const LOOK: Duration = Duration::from_secs(1);

/// After so many flows there is no doubt that they arrive, and a busy server need not send more.
const ENOUGH: u64 = 10_000;

/// What arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Flows {
    /// In this time so many came.
    arrived: u64,
    within_ms: u64,
    /// How old the latest of those was that the server held.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_age_ms: Option<i64>,
}

impl Flows {
    pub(super) fn words(&self) -> String {
        match (self.arrived, self.latest_age_ms) {
            (0, Some(age)) => format!("no flow for a second, the latest {} ago", ago(age)),
            (0, None) => "no flow for a second".to_owned(),
            (ENOUGH.., _) => format!("{} flows in {} ms", grouped(self.arrived), self.within_ms),
            (1, _) => "1 flow in the last second".to_owned(),
            (count, _) => format!("{} flows in the last second", grouped(count)),
        }
    }

    /// A server that has nothing to tell.
    pub(super) fn warning(&self) -> Option<String> {
        let is_empty = self.arrived == 0 && self.latest_age_ms.is_none();
        is_empty.then(|| {
            "no flows in its ring, so see 'palomar status' of that node for what it reads"
                .to_owned()
        })
    }
}

/// What flows say of the server's clock.
#[derive(Debug)]
pub(super) struct Clocks {
    /// Told by an agent of ours.
    pub(super) told: Option<Clock>,
    /// Of the flow that came fastest.
    pub(super) shown: Option<Clock>,
}

/// Looks for flows, and at the clock while at it.
pub(super) async fn seen(server: &Server, patience: Duration) -> Result<(Flows, Clocks), Failure> {
    let (latest_ns, told) = within(patience, latest(server)).await?;
    let (arrived, within_ms, shown) = within(patience + LOOK, follow(server)).await?;
    let flows = Flows {
        arrived,
        within_ms,
        latest_age_ms: latest_ns.map(|latest| now_ns().saturating_sub(latest).max(0) / 1_000_000),
    };
    Ok((flows, Clocks { told, shown }))
}

/// The time of the latest flow, and the server's own if it tells it.
async fn latest(server: &Server) -> Result<(Option<i64>, Option<Clock>), Status> {
    let mut request = Request::new(GetFlowsRequest {
        number: 1,
        field_mask: time_only(),
        ..GetFlowsRequest::default()
    });
    coverage::ask(request.metadata_mut());
    let asked_ns = now_ns();
    let mut answer = server.observer().get_flows(request).await?.into_inner();
    let mut latest = None;
    while let Some(response) = answer.message().await? {
        latest = flow_ns(&response).max(latest);
    }
    let answered_ns = now_ns();
    let report = answer.trailers().await?;
    let report = report.as_ref().and_then(coverage::told);
    // What several nodes cover together says nothing about the clock of one.
    let told = report
        .filter(|report| report.nodes.len() == 1 && report.unlisted_nodes == 0)
        .and_then(|report| report.nodes.first()?.to)
        .map(|to| Clock::between(nanoseconds(&to), asked_ns, answered_ns));
    Ok((latest, told))
}

/// How many flows come within a second, in which time, and the clock that the newest of them shows.
async fn follow(server: &Server) -> Result<(u64, u64, Option<Clock>), Status> {
    let request = Request::new(GetFlowsRequest {
        follow: true,
        field_mask: time_only(),
        ..GetFlowsRequest::default()
    });
    let begun = Instant::now();
    let (mut arrived, mut newest) = (0, None::<Clock>);
    let looking = async {
        let mut answer: Streaming<_> = server.observer().get_flows(request).await?.into_inner();
        while let Some(response) = answer.message().await? {
            let Some(time_ns) = flow_ns(&response) else {
                continue;
            };
            arrived += 1;
            let clock = Clock::of_flow(time_ns, now_ns());
            if newest.is_none_or(|newest| newest.offset_ms < clock.offset_ms) {
                newest = Some(clock);
            }
            if arrived == ENOUGH {
                break;
            }
        }
        Ok(())
    };
    match tokio::time::timeout(LOOK, looking).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(status)) => return Err(status),
    }
    let within_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok((arrived, within_ms, newest))
}

/// Flows are counted and not read.
fn time_only() -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec!["time".to_owned()],
    })
}

/// The time of a flow; other messages have none.
fn flow_ns(response: &GetFlowsResponse) -> Option<i64> {
    match &response.response_types {
        Some(ResponseTypes::Flow(flow)) => {
            let time = flow.time.as_ref().or(response.time.as_ref());
            Some(time.map_or(0, nanoseconds))
        }
        _ => None,
    }
}

async fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => {
            let denied = matches!(
                status.code(),
                Code::PermissionDenied | Code::Unauthenticated
            );
            let error = RpcError::from(status);
            let failure = Failure::new(Step::Flows, error.to_string());
            Err(if denied {
                failure.next(super::api::GIVE_PASSWORD)
            } else {
                failure
            })
        }
        Err(_elapsed) => Err(Failure::new(
            Step::Flows,
            format!("GetFlows has no answer within {patience:?}"),
        )
        .next("see the server's log")),
    }
}

fn ago(ms: i64) -> String {
    match ms / 1_000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
