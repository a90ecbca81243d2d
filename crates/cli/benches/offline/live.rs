//! Printing what a server sends, as fast as it comes.

use std::{process::Command, thread, time::Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flow_api::{
    observer::{
        GetAgentEventsRequest, GetDebugEventsRequest, GetFlowsRequest, GetNamespacesRequest,
        GetNamespacesResponse, GetNodesRequest, GetNodesResponse, ServerStatusRequest,
        ServerStatusResponse,
    },
    service::observer_server::{Observer, ObserverServer},
};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, async_trait};

use crate::{BINARY, child, flows::Flows};

/// Flows per second that printing has to keep up with, on one core.
const GOAL: f64 = 200_000.0;
/// Different messages, sent over and over.
const MESSAGES: usize = 1_000;

/// Sends so many flows, then ends.
struct Server {
    messages: Vec<Bytes>,
    flows: u64,
}

type Answers = stream::BoxStream<'static, Result<Bytes, Status>>;

#[async_trait]
impl Observer for Server {
    type GetFlowsStream = Answers;
    type GetAgentEventsStream = Answers;
    type GetDebugEventsStream = Answers;

    async fn get_flows(
        &self,
        _: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let count = usize::try_from(self.flows).unwrap_or(usize::MAX);
        let messages = self.messages.clone().into_iter().cycle().take(count);
        Ok(Response::new(stream::iter(messages.map(Ok)).boxed()))
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
        Err(Status::unimplemented("no status"))
    }
}

pub(crate) fn run(flows: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("observer.sock");
    let runtime = tokio::runtime::Runtime::new()?;
    let mut source = Flows::new();
    let messages: Vec<Bytes> = (0..MESSAGES)
        .map(|_| Bytes::from(source.next().encode_to_vec()))
        .collect();
    let bytes: usize = messages.iter().map(Bytes::len).sum();
    let incoming = {
        let _inside = runtime.enter();
        UnixListenerStream::new(UnixListener::bind(&socket)?)
    };
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(ObserverServer::new(Server { messages, flows }))
            .serve_with_incoming(incoming),
    );
    println!("live: {} bytes a message", bytes / MESSAGES);
    for format in ["compact", "json"] {
        let mut command = Command::new(BINARY);
        command
            .args(["observe", "--follow", "-o", format, "--server"])
            .arg(format!("unix://{}", socket.display()))
            .env("HOME", "/nonexistent");
        let begun = Instant::now();
        // A thread of its own: the runtime serves meanwhile.
        let cost = thread::spawn(move || child::cost(&mut command));
        let cost = cost.join().ok().context("the run panicked")??;
        let per_core = flows as f64 / cost.cpu.as_secs_f64();
        println!(
            "live, {format:<22} {:>7.2} s  {:>7.2} CPU s  {:>7.0} k flows/s on one core, asked for: {:.0}",
            begun.elapsed().as_secs_f64(),
            cost.cpu.as_secs_f64(),
            per_core / 1000.0,
            GOAL / 1000.0
        );
        ensure!(cost.peak_kib > 0, "no memory was seen");
    }
    Ok(())
}
