//! The Observer service of a node.

use std::{sync::Arc, time::Duration};

use flow_api::{
    coverage, extension,
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, Namespace, ServerStatusRequest,
        ServerStatusResponse,
    },
    progress, resume,
    service::observer_server::Observer,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    coverage::Begun,
    query::{Kind, Query},
    rate::FlowRate,
    responses::Responses,
};
use crate::{
    agent::DEFAULT_LOST_EVENT_INTERVAL, assemble::now_ns, counters::Counters, encode::NodeFacts,
    namespaces::SeenNamespaces, ring::FlowRing,
};

/// Answers for one node.
pub(crate) struct ObserverService {
    pub(crate) ring: Arc<FlowRing>,
    /// Where agent events are.
    pub(crate) agent_events: Arc<FlowRing>,
    pub(crate) rate: FlowRate,
    pub(crate) node: Arc<NodeFacts>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) namespaces: Arc<SeenNamespaces>,
    /// How long losses of a reader are gathered before it is told of them.
    pub(crate) lost_event_interval: Duration,
    /// The agent's own cluster; empty for the default one.
    pub(crate) cluster: String,
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
        let tells_coverage = coverage::is_asked(request.metadata());
        let progress = progress::asked(request.metadata());
        let after = resume::asked(request.metadata());
        let request = extension::asked(request);
        let after = after.filter(|_| request.follow);
        let begun = tells_coverage.then(|| Begun::new(&request, &self.ring, &self.counters));
        let query = self.query(Kind::of_flows(&request), &request)?;
        let query = query.telling_progress(progress).going_on_after(after);
        let mut response = self.answer(query, begun);
        if after.is_some() {
            resume::accept(response.metadata_mut());
        }
        Ok(response)
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
        Ok(self.answer(self.query(Kind::AgentEvents, &request)?, None))
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
        Ok(self.answer(self.query(Kind::DebugEvents, &request)?, None))
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
        // As in Hubble, namespaces at the other end are told as of this cluster, too.
        let namespaces = self
            .namespaces
            .names()
            .into_iter()
            .map(|namespace| Namespace {
                cluster: self.cluster.clone(),
                namespace,
            })
            .collect();
        Ok(Response::new(GetNamespacesResponse { namespaces }))
    }

    async fn server_status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let uptime = self.counters.started().elapsed();
        let mut response = Response::new(ServerStatusResponse {
            num_flows: self.ring.len(),
            max_flows: self.ring.capacity(),
            seen_flows: self.counters.seen_flows(),
            uptime_ns: u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX),
            version: concat!("palomar v", env!("CARGO_PKG_VERSION")).to_owned(),
            flows_rate: self.rate.per_second(&self.ring, now_ns()),
            ..ServerStatusResponse::default()
        });
        flow_api::clock::answer(request.metadata(), response.metadata_mut());
        Ok(response)
    }
}

impl ObserverService {
    /// Answers for a ring that somebody else fills.
    pub(crate) fn of(ring: Arc<FlowRing>, node: NodeFacts, shutdown: CancellationToken) -> Self {
        Self {
            ring,
            agent_events: Arc::new(FlowRing::new(1)),
            rate: FlowRate::default(),
            node: Arc::new(node),
            counters: Arc::default(),
            namespaces: Arc::default(),
            lost_event_interval: DEFAULT_LOST_EVENT_INTERVAL,
            cluster: String::new(),
            shutdown,
        }
    }

    /// Compiles a request to the ring that has what it asks for.
    fn query(&self, kind: Kind, request: &GetFlowsRequest) -> Result<Query, Status> {
        let ring = match kind {
            Kind::AgentEvents => &self.agent_events,
            Kind::Flows | Kind::DetailedFlows | Kind::DebugEvents => &self.ring,
        };
        let (ring, node) = (Arc::clone(ring), Arc::clone(&self.node));
        let query = Query::new(kind, request, ring, node, self.shutdown.clone())?;
        Ok(query.telling_losses_every(self.lost_event_interval))
    }

    /// Answers a request. Who wants to know what that covers is told at the end.
    fn answer(&self, query: Query, begun: Option<Begun>) -> Response<Responses> {
        let Some(begun) = begun else {
            return Response::new(Responses::of(query));
        };
        let (node, counters) = (Arc::clone(&self.node), Arc::clone(&self.counters));
        let report = move |query: &Query| {
            let coverage = begun.coverage(&node.name, query.tally(), &counters);
            coverage::report([coverage], 0)
        };
        Response::new(Responses::with_coverage(query, report))
    }
}
