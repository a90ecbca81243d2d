//! A server of Hubble's own: it offers Hubble's calls, says nothing of its clock, and knows none of
//! our extensions.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flow_api::{
    flow::Flow,
    observer::{get_flows_response::ResponseTypes, *},
    peer::{
        ChangeNotification, ChangeNotificationType, NotifyRequest,
        peer_server::{Peer, PeerServer},
    },
    service::observer_server::{Observer, ObserverServer},
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use super::{listener, told};

const VERSION: &str = "cilium v1.19.4+g1a2b3c4d";

/// What the server sees.
#[derive(Clone, Copy)]
struct Traffic {
    /// How old its latest flow is.
    latest: Duration,
    /// Whether flows happen now.
    goes_on: bool,
}

#[derive(Clone)]
struct Hubble {
    traffic: Traffic,
    peers: Vec<ChangeNotification>,
}

fn flow(time: SystemTime) -> Bytes {
    let time = Some(time.into());
    let flow = Flow {
        time,
        node_name: "node-1".to_owned(),
        ..Flow::default()
    };
    let response = GetFlowsResponse {
        response_types: Some(ResponseTypes::Flow(flow)),
        node_name: "node-1".to_owned(),
        time,
    };
    response.encode_to_vec().into()
}

/// Servers in Go have no date in their answers, and tonic puts one into those without.
fn without_date(metadata: &mut MetadataMap) {
    metadata.insert("date", "-".parse().unwrap());
}

#[tonic::async_trait]
impl Observer for Hubble {
    type GetFlowsStream = BoxStream<'static, Result<Bytes, Status>>;
    type GetAgentEventsStream = BoxStream<'static, Result<Bytes, Status>>;
    type GetDebugEventsStream = BoxStream<'static, Result<Bytes, Status>>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let request = request.into_inner();
        let traffic = self.traffic;
        let stored = (request.number > 0).then(|| Ok(flow(SystemTime::now() - traffic.latest)));
        let stored = stream::iter(stored);
        let news = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok(flow(SystemTime::now())), ()))
        });
        let mut response = Response::new(match (request.follow, traffic.goes_on) {
            (false, _) => stored.boxed(),
            (true, false) => stored.chain(stream::pending()).boxed(),
            (true, true) => stored.chain(news).boxed(),
        });
        without_date(response.metadata_mut());
        let version = "1.19.4".parse().unwrap();
        response
            .metadata_mut()
            .insert("hubble-server-version", version);
        Ok(response)
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        Err(Status::unimplemented("GetNodes not implemented"))
    }

    async fn get_namespaces(
        &self,
        _: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        Ok(Response::new(GetNamespacesResponse::default()))
    }

    async fn server_status(
        &self,
        _: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let mut response = Response::new(ServerStatusResponse {
            version: VERSION.to_owned(),
            num_flows: 4_095,
            max_flows: 4_095,
            seen_flows: 90_000,
            ..ServerStatusResponse::default()
        });
        without_date(response.metadata_mut());
        Ok(response)
    }
}

#[tonic::async_trait]
impl Peer for Hubble {
    type NotifyStream = BoxStream<'static, Result<ChangeNotification, Status>>;

    async fn notify(
        &self,
        _: Request<NotifyRequest>,
    ) -> Result<Response<Self::NotifyStream>, Status> {
        let peers = self.peers.clone().into_iter().map(Ok);
        let peers = stream::iter(peers).chain(stream::pending());
        Ok(Response::new(peers.boxed()))
    }
}

/// A running server. Ends with the test.
struct Running {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

/// A node with this traffic that announces itself and these nodes.
fn serve(traffic: Traffic, others: &[(&str, SocketAddr)]) -> Running {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let own = ("node-1", address);
    let peers = others.iter().chain([&own]);
    let peers = peers.map(|(name, address)| ChangeNotification {
        name: (*name).to_owned(),
        address: address.to_string(),
        r#type: ChangeNotificationType::PeerAdded.into(),
        tls: None,
    });
    let hubble = Hubble {
        traffic,
        peers: peers.collect(),
    };
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(tonic_health::server::health_reporter().1)
            .add_service(PeerServer::new(hubble.clone()))
            .add_service(ObserverServer::new(hubble))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    Running {
        address,
        _runtime: runtime,
    }
}

#[test]
fn a_server_of_hubble_is_well_and_its_flows_tell_its_clock() {
    let busy = Traffic {
        latest: Duration::from_millis(10),
        goes_on: true,
    };
    let server = serve(busy, &[]);
    let line = told(0, &[&server.address.to_string()]);
    let begin = format!("{}  ok  {VERSION}, clock within 1 s, ", server.address);
    assert!(line.starts_with(&begin), "{line}");
    assert!(line.ends_with(" flows in the last second\n"), "{line}");
}

#[test]
fn a_quiet_server_of_hubble_is_well_without_a_clock() {
    let quiet = Traffic {
        latest: Duration::from_secs(3 * 3600),
        goes_on: false,
    };
    let server = serve(quiet, &[]);
    let line = told(0, &[&server.address.to_string()]);
    let begin = format!("{}  ok  {VERSION}, no flow for a second, ", server.address);
    assert!(line.starts_with(&begin), "{line}");
}

#[test]
fn the_nodes_that_a_server_of_hubble_announces_are_looked_at_too() {
    let (free, dead) = listener();
    drop(free);
    let quiet = Traffic {
        latest: Duration::from_secs(1),
        goes_on: false,
    };
    let server = serve(quiet, &[("node-2", dead)]);
    let address = server.address.to_string();
    let lines = told(1, &["--server", &address]);
    let lines: Vec<_> = lines.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{address}  ok  {VERSION}, ")),
        "{lines:?}"
    );
    let width = address.len();
    let dead = format!(
        "{:<width$}  port failed: nobody listens on {dead}; start the agent or relay there, or check \
         the port",
        "node-2"
    );
    assert_eq!(lines[1..], [dead], "{lines:?}");
}
