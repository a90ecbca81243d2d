//! A script in the form that servers take.

use std::sync::{Arc, Mutex, PoisonError};

use flow_api::{
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, ServerStatusRequest,
        ServerStatusResponse,
    },
    peer::{ChangeNotification, NotifyRequest, peer_server::Peer},
    service::observer_server::Observer,
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tonic::{Request, Response, Status, async_trait};

use super::{Messages, Script, left_out};

/// The services of a [`Script`]. Clones are of the same one.
#[derive(Debug)]
pub struct Scripted<S> {
    script: Arc<S>,
    asked: Arc<Mutex<Vec<GetFlowsRequest>>>,
}

impl<S> Scripted<S> {
    /// Serves what a script says.
    pub fn new(script: S) -> Self {
        Self {
            script: Arc::new(script),
            asked: Arc::default(),
        }
    }

    /// The requests for flows so far.
    pub(super) fn asked(&self) -> Arc<Mutex<Vec<GetFlowsRequest>>> {
        Arc::clone(&self.asked)
    }
}

impl<S> Clone for Scripted<S> {
    fn clone(&self) -> Self {
        Self {
            script: Arc::clone(&self.script),
            asked: Arc::clone(&self.asked),
        }
    }
}

#[async_trait]
impl<S: Script> Observer for Scripted<S> {
    type GetFlowsStream = Messages;
    type GetAgentEventsStream = Messages;
    type GetDebugEventsStream = Messages;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Messages>, Status> {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.push(request.get_ref().clone());
        }
        self.script.flows(request).await
    }

    async fn get_agent_events(
        &self,
        request: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Messages>, Status> {
        let events = self.script.agent_events(request.into_inner()).await?;
        Ok(Response::new(events))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Messages>, Status> {
        Err(left_out("GetDebugEvents"))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        self.script.nodes().await.map(Response::new)
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        self.script.namespaces().await.map(Response::new)
    }

    async fn server_status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        self.script.status(request).await
    }
}

#[async_trait]
impl<S: Script> Peer for Scripted<S> {
    type NotifyStream = BoxStream<'static, Result<ChangeNotification, Status>>;

    async fn notify(
        &self,
        _: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let peers = stream::iter(self.script.peers()?.into_iter().map(Ok));
        Ok(Response::new(peers.chain(stream::pending()).boxed()))
    }
}
