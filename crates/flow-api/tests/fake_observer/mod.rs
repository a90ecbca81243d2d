//! A server that answers `GetFlows` with ready bytes and nothing else.

use bytes::Bytes;
use flow_api::{
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, ServerStatusRequest,
        ServerStatusResponse,
    },
    service::observer_server::Observer,
};
use tokio_stream::Iter;
use tonic::{Request, Response, Status, async_trait};

/// Sends its messages, as many as the request's `number` says.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeObserver {
    pub(crate) messages: Vec<Bytes>,
}

type Answers = Iter<std::vec::IntoIter<Result<Bytes, Status>>>;

#[async_trait]
impl Observer for FakeObserver {
    type GetFlowsStream = Answers;
    type GetAgentEventsStream = Answers;
    type GetDebugEventsStream = Answers;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let number = usize::try_from(request.into_inner().number).unwrap();
        let messages: Vec<_> = self.messages.iter().take(number).cloned().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(messages)))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("no agent events"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("no debug events"))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        Err(Status::unimplemented("no nodes"))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        Err(Status::unimplemented("no namespaces"))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(Response::new(ServerStatusResponse {
            num_flows: self.messages.len() as u64,
            ..ServerStatusResponse::default()
        }))
    }
}
