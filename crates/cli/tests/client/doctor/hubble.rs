//! A server of Hubble's own: it offers Hubble's calls, says nothing of its clock, and knows none of
//! our extensions.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flow_api::{
    flow::Flow,
    observer::{get_flows_response::ResponseTypes, *},
    peer::{ChangeNotification, ChangeNotificationType},
};
use futures::{StreamExt as _, stream};
use prost::Message as _;
use testbed::observer::{Messages, Script, Server, messages};
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

struct Hubble {
    traffic: Traffic,
    /// Known once it is known where the server itself is.
    peers: Arc<OnceLock<Vec<ChangeNotification>>>,
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
impl Script for Hubble {
    async fn flows(&self, request: Request<GetFlowsRequest>) -> Result<Response<Messages>, Status> {
        let request = request.into_inner();
        let traffic = self.traffic;
        let stored = (request.number > 0).then(|| flow(SystemTime::now() - traffic.latest));
        let stored = messages(stored);
        let news = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok(flow(SystemTime::now())), ()))
        });
        let mut response = Response::new(match (request.follow, traffic.goes_on) {
            (false, _) => stored,
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

    async fn namespaces(&self) -> Result<GetNamespacesResponse, Status> {
        Ok(GetNamespacesResponse::default())
    }

    async fn status(
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

    fn peers(&self) -> Result<Vec<ChangeNotification>, Status> {
        Ok(self.peers.get().cloned().unwrap_or_default())
    }
}

/// A node with this traffic that announces itself and these nodes.
fn serve(traffic: Traffic, others: &[(&str, SocketAddr)]) -> Server {
    let peers: Arc<OnceLock<_>> = Arc::default();
    let hubble = Hubble {
        traffic,
        peers: Arc::clone(&peers),
    };
    let server = Server::at_port(hubble, None).unwrap();
    let peer = |name: &str, address: &str| ChangeNotification {
        name: name.to_owned(),
        address: address.to_owned(),
        r#type: ChangeNotificationType::PeerAdded.into(),
        tls: None,
    };
    let others = others
        .iter()
        .map(|(name, address)| peer(name, &address.to_string()));
    let own = peer("node-1", server.address());
    peers.set(others.chain([own]).collect()).unwrap();
    server
}

#[test]
fn a_server_of_hubble_is_well_and_its_flows_tell_its_clock() {
    let busy = Traffic {
        latest: Duration::from_millis(10),
        goes_on: true,
    };
    let server = serve(busy, &[]);
    let line = told(0, &[server.address()]);
    let begin = format!("{}  ok  {VERSION}, clock within 1 s, ", server.address());
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
    let line = told(0, &[server.address()]);
    let begin = format!(
        "{}  ok  {VERSION}, no flow for a second, ",
        server.address()
    );
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
    let address = server.address();
    let lines = told(1, &["--server", address]);
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
