//! The Observer service of a node.

use std::{sync::Arc, time::Duration};

use flow_api::{
    extension,
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, Namespace, ServerStatusRequest,
        ServerStatusResponse,
    },
    service::observer_server::Observer,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    query::{Kind, Query},
    responses::Responses,
};
use crate::{
    assemble::now_ns, counters::Counters, encode::NodeFacts, namespaces::SeenNamespaces,
    ring::FlowRing,
};

/// Flows per second are counted over this long, or over the history there is.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Answers for one node.
pub(crate) struct ObserverService {
    pub(crate) ring: Arc<FlowRing>,
    pub(crate) node: Arc<NodeFacts>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) namespaces: Arc<SeenNamespaces>,
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Observer for ObserverService {
    type GetFlowsStream = Responses;
    type GetAgentEventsStream = Responses;
    type GetDebugEventsStream = Responses;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = extension::asked(request);
        self.answer(Kind::of_flows(&request), &request)
    }

    async fn get_agent_events(
        &self,
        request: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        let asked = request.get_ref();
        let request = GetFlowsRequest {
            number: asked.number,
            first: asked.first,
            follow: asked.follow,
            since: asked.since,
            until: asked.until,
            ..GetFlowsRequest::default()
        };
        self.answer(Kind::AgentEvents, &request)
    }

    async fn get_debug_events(
        &self,
        request: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        let asked = request.get_ref();
        let request = GetFlowsRequest {
            number: asked.number,
            first: asked.first,
            follow: asked.follow,
            since: asked.since,
            until: asked.until,
            ..GetFlowsRequest::default()
        };
        self.answer(Kind::DebugEvents, &request)
    }

    async fn get_nodes(
        &self,
        _request: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        Err(Status::unimplemented("GetNodes not implemented"))
    }

    async fn get_namespaces(
        &self,
        _request: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        // The default cluster is told as none.
        let namespaces = self
            .namespaces
            .names()
            .into_iter()
            .map(|namespace| Namespace {
                cluster: String::new(),
                namespace,
            })
            .collect();
        Ok(Response::new(GetNamespacesResponse { namespaces }))
    }

    async fn server_status(
        &self,
        _request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let uptime = self.counters.started().elapsed();
        Ok(Response::new(ServerStatusResponse {
            num_flows: self.ring.len(),
            max_flows: self.ring.capacity(),
            seen_flows: self.counters.seen_flows(),
            uptime_ns: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
            version: concat!("palomar v", env!("CARGO_PKG_VERSION")).to_owned(),
            flows_rate: flows_rate(&self.ring, now_ns()),
            ..ServerStatusResponse::default()
        }))
    }
}

impl ObserverService {
    /// Compiles a request, and answers it from the ring.
    fn answer(&self, kind: Kind, request: &GetFlowsRequest) -> Result<Response<Responses>, Status> {
        let query = Query::new(
            kind,
            request,
            Arc::clone(&self.ring),
            Arc::clone(&self.node),
            self.shutdown.clone(),
        )?;
        Ok(Response::new(Responses::of(query)))
    }
}

/// Flows per second over the last minute; over the history there is, where the ring holds less.
fn flows_rate(ring: &FlowRing, now_ns: i64) -> f64 {
    let window_ns = RATE_WINDOW.as_nanos() as i64;
    let begin_ns = now_ns.saturating_sub(window_ns);
    let mut flows = 0u64;
    let mut oldest_ns = now_ns;
    let mut reached_begin = false;
    for batch in ring.batches().iter().rev() {
        for slot in batch.from(ring.oldest()).iter().rev() {
            if !slot.event.is_flow() {
                continue;
            }
            let time_ns = slot.event.time_ns();
            if time_ns < begin_ns {
                reached_begin = true;
                break;
            }
            flows += 1;
            oldest_ns = time_ns;
        }
        if reached_begin {
            break;
        }
    }
    let covered_ns = if reached_begin {
        window_ns
    } else {
        now_ns - oldest_ns
    };
    if covered_ns <= 0 {
        0.0
    } else {
        flows as f64 * 1e9 / covered_ns as f64
    }
}
