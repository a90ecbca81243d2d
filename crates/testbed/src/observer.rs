//! Servers of Hubble's calls that say what a test tells them.
//!
//! A [`Script`] answers the calls that a test is about; those that it leaves out are not implemented.
//! A [`Server`] serves a script over real connections until it is dropped. A test with a server of its
//! own puts a [`Scripted`] there.

mod scripted;
mod server;

use bytes::Bytes;
use flow_api::{
    observer::{
        GetAgentEventsRequest, GetFlowsRequest, GetNamespacesResponse, GetNodesResponse,
        ServerStatusRequest, ServerStatusResponse,
    },
    peer::ChangeNotification,
};
use futures::{StreamExt as _, stream, stream::BoxStream};
use tonic::{Request, Response, Status, async_trait};

pub use scripted::Scripted;
pub use server::Server;

/// Encoded responses, as they come.
pub type Messages = BoxStream<'static, Result<Bytes, Status>>;

/// What a server says to each call.
#[async_trait]
pub trait Script: Send + Sync + 'static {
    /// Flows.
    async fn flows(&self, _: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        Err(left_out("GetFlows"))
    }

    /// What the agent did.
    async fn agent_events(&self, _: GetAgentEventsRequest) -> Result<Messages, Status> {
        Err(left_out("GetAgentEvents"))
    }

    /// The nodes that a relay knows.
    async fn nodes(&self) -> Result<GetNodesResponse, Status> {
        Err(left_out("GetNodes"))
    }

    /// The namespaces that were seen.
    async fn namespaces(&self) -> Result<GetNamespacesResponse, Status> {
        Err(left_out("GetNamespaces"))
    }

    /// How the server is.
    async fn status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Err(left_out("ServerStatus"))
    }

    /// The nodes that are announced at once; others never come.
    fn peers(&self) -> Result<Vec<ChangeNotification>, Status> {
        Err(left_out("Notify"))
    }
}

fn left_out(call: &str) -> Status {
    Status::unimplemented(format!("{call} not implemented"))
}

/// These messages, then the end.
pub fn messages(messages: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Messages {
    stream::iter(messages.into_iter().map(Ok)).boxed()
}

/// Sends its messages, as many as the request's `number` says.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    /// Encoded responses.
    pub messages: Vec<Bytes>,
}

#[async_trait]
impl Script for Ready {
    async fn flows(&self, request: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let number = usize::try_from(request.get_ref().number).unwrap_or(usize::MAX);
        let first = self.messages.clone().into_iter().take(number);
        Ok(Response::new(messages(first)))
    }

    async fn status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        Ok(Response::new(ServerStatusResponse {
            num_flows: self.messages.len() as u64,
            ..ServerStatusResponse::default()
        }))
    }
}
