//! A relay that says what a test wants.

use std::fs;

use bytes::Bytes;
use flow_api::{
    flow::{Flow, LostEvent},
    observer::{get_flows_response::ResponseTypes, *},
    relay::NodeState,
};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use prost_types::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::NamedTempFile;
use testbed::observer::{Messages, Script, Server, messages};
use tonic::{
    Request, Response, Status,
    transport::{Identity, ServerTlsConfig},
};

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

/// That flows of a node were lost, told some seconds after the same point in time.
pub(super) fn gap(node: &str, second: i64) -> GetFlowsResponse {
    GetFlowsResponse {
        response_types: Some(ResponseTypes::LostEvents(LostEvent::default())),
        ..flow(node, second, "")
    }
}

/// Answers with flows.
pub(super) struct Relay {
    flows: Vec<GetFlowsResponse>,
    stays_open: bool,
}

impl Relay {
    /// Answers with these flows, and ends.
    pub(super) fn start(flows: Vec<GetFlowsResponse>) -> Server {
        let stays_open = false;
        Server::at_port(Self { flows, stays_open }, None).unwrap()
    }

    /// Answers with these flows, and has no more.
    pub(super) fn following(flows: Vec<GetFlowsResponse>) -> Server {
        let stays_open = true;
        Server::at_port(Self { flows, stays_open }, None).unwrap()
    }

    /// Serves by TLS only; the file with its authority.
    pub(super) fn with_tls(name: &str) -> (Server, NamedTempFile) {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let identity = Identity::from_pem(certificate.pem(), key.serialize_pem());
        let relay = Self {
            flows: Vec::new(),
            stays_open: false,
        };
        let tls = ServerTlsConfig::new().identity(identity);
        let file = NamedTempFile::new().unwrap();
        fs::write(&file, issuer.pem()).unwrap();
        (Server::at_port(relay, Some(tls)).unwrap(), file)
    }
}

#[tonic::async_trait]
impl Script for Relay {
    async fn flows(&self, _: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let flows = self.flows.clone().into_iter();
        let flows = messages(flows.map(|flow| Bytes::from(flow.encode_to_vec())));
        Ok(Response::new(if self.stays_open {
            flows.chain(stream::pending()).boxed()
        } else {
            flows
        }))
    }

    async fn nodes(&self) -> Result<GetNodesResponse, Status> {
        let node = Node {
            name: "node-1".to_owned(),
            state: NodeState::NodeConnected.into(),
            ..Node::default()
        };
        Ok(GetNodesResponse { nodes: vec![node] })
    }

    async fn namespaces(&self) -> Result<GetNamespacesResponse, Status> {
        Ok(GetNamespacesResponse::default())
    }

    async fn status(
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
