//! A relay that says what a test wants.

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use flow_api::{
    HEALTH_SERVICE,
    flow::Flow,
    observer::{get_flows_response::ResponseTypes, *},
    relay::NodeState,
    service::observer_server::{Observer, ObserverServer},
};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use prost::Message as _;
use prost_types::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Identity, ServerTlsConfig},
};
use tonic_health::ServingStatus;

/// A flow of a node, some seconds after a point in time.
pub(super) fn flow(node: &str, second: i64, uuid: &str) -> GetFlowsResponse {
    let time = Timestamp {
        seconds: 1_772_000_000 + second,
        nanos: 0,
    };
    let flow = Flow {
        uuid: uuid.to_owned(),
        time: Some(time),
        node_name: node.to_owned(),
        ..Flow::default()
    };
    GetFlowsResponse {
        node_name: node.to_owned(),
        time: Some(time),
        response_types: Some(ResponseTypes::Flow(flow)),
    }
}

/// Serves until it is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<GetFlowsRequest>>>,
    _folder: TempDir,
    runtime: Option<Runtime>,
}

impl Relay {
    /// Answers with these flows, and ends.
    pub(super) fn start(flows: Vec<GetFlowsResponse>) -> Self {
        Self::serve(flows, false, None).0
    }

    /// Answers with these flows, and has no more.
    pub(super) fn following(flows: Vec<GetFlowsResponse>) -> Self {
        Self::serve(flows, true, None).0
    }

    /// Serves by TLS only; the file with its authority.
    pub(super) fn with_tls(name: &str) -> (Self, String) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
        let tls = ServerTlsConfig::new().identity(identity);
        let (relay, folder) = Self::serve(vec![], false, Some(tls));
        let file = folder.join("ca.crt");
        fs::write(&file, issuer.pem()).unwrap();
        (relay, file.display().to_string())
    }

    fn serve(
        flows: Vec<GetFlowsResponse>,
        stays_open: bool,
        tls: Option<ServerTlsConfig>,
    ) -> (Self, std::path::PathBuf) {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<_>>> = Arc::default();
        let script = Script {
            flows,
            stays_open,
            asked: Arc::clone(&asked),
        };
        runtime.spawn(async move {
            let (reporter, health) = tonic_health::server::health_reporter();
            reporter
                .set_service_status(HEALTH_SERVICE, ServingStatus::Serving)
                .await;
            let mut server = tonic::transport::Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).unwrap();
            }
            server
                .add_service(health)
                .add_service(ObserverServer::new(script))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let relay = Self {
            address,
            asked,
            _folder: folder,
            runtime: Some(runtime),
        };
        (relay, path)
    }

    /// What it was asked for so far.
    pub(super) fn asked(&self) -> Vec<GetFlowsRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Script {
    flows: Vec<GetFlowsResponse>,
    stays_open: bool,
    asked: Arc<Mutex<Vec<GetFlowsRequest>>>,
}

#[tonic::async_trait]
impl Observer for Script {
    type GetFlowsStream = BoxStream<'static, Result<Bytes, Status>>;
    type GetAgentEventsStream = BoxStream<'static, Result<Bytes, Status>>;
    type GetDebugEventsStream = BoxStream<'static, Result<Bytes, Status>>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        self.asked.lock().unwrap().push(request.into_inner());
        let flows: Vec<_> = self
            .flows
            .iter()
            .map(|flow| Ok(Bytes::from(flow.encode_to_vec())))
            .collect();
        let flows = stream::iter(flows);
        Ok(Response::new(if self.stays_open {
            flows.chain(stream::pending()).boxed()
        } else {
            flows.boxed()
        }))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented("only flows here"))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("only flows here"))
    }

    async fn get_nodes(
        &self,
        _: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let node = Node {
            name: "node-1".to_owned(),
            state: NodeState::NodeConnected.into(),
            ..Node::default()
        };
        Ok(Response::new(GetNodesResponse { nodes: vec![node] }))
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
        Ok(Response::new(ServerStatusResponse {
            num_flows: 10,
            max_flows: 4_095,
            num_connected_nodes: Some(1),
            version: "palomar-relay v0.1.0".to_owned(),
            ..ServerStatusResponse::default()
        }))
    }
}
