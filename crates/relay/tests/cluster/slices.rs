//! Nodes by the slices of a Kubernetes service, asked of an API server over real connections.

use std::fs;
use std::time::Duration;

use flow_api::observer::GetNodesRequest;
use flow_api::relay::NodeState;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::api_server::{ApiServer, objects};

use crate::support::{Client, Cluster, FakePeer, LONG, config};

/// A slice of the service, with an endpoint for each node and address; one that is not ready has a
/// `!` before its node.
fn slice(name: &str, family: &str, port: u16, endpoints: &[(&str, &str)]) -> Value {
    let mut slice = objects::endpoint_slice("kube-system", "hubble-peer", &[]);
    slice["metadata"]["name"] = name.into();
    slice["addressType"] = family.into();
    slice["ports"] = json!([
        {"name": "metrics", "port": 1, "protocol": "TCP"},
        {"name": "peer-service", "port": port, "protocol": "TCP"},
    ]);
    let endpoints = endpoints.iter().map(|(node, ip)| {
        let is_ready = !node.starts_with('!');
        json!({
            "addresses": [ip],
            "nodeName": node.trim_start_matches('!'),
            "conditions": {"ready": is_ready, "serving": is_ready, "terminating": !is_ready},
        })
    });
    slice["endpoints"] = endpoints.collect();
    slice
}

/// Waits until these are the nodes, with their addresses.
async fn until(client: &mut Client, expected: &[(&str, &str)]) {
    let start = std::time::Instant::now();
    loop {
        let answer = client.grpc.get_nodes(GetNodesRequest {}).await.unwrap();
        let nodes = answer.into_inner().nodes;
        let found: Vec<_> = nodes
            .iter()
            .filter(|node| node.state() == NodeState::NodeConnected)
            .map(|node| (node.name.as_str(), node.address.as_str()))
            .collect();
        if found == expected && nodes.len() == expected.len() {
            return;
        }
        assert!(start.elapsed() < LONG, "{nodes:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A relay that asks this server.
async fn asking(server: &ApiServer, dir: &TempDir) -> Cluster {
    let file = dir.path().join("kubeconfig");
    fs::write(&file, server.kubeconfig()).unwrap();
    let mut config = config();
    config.kubeconfig = Some(file);
    config.peer_slices = vec!["kube-system/hubble-peer:peer-service".parse().unwrap()];
    Cluster::start(config).await
}

#[tokio::test]
async fn each_node_behind_the_service_is_one_peer_under_its_own_name() {
    let first = FakePeer::tcp("first", "127.0.0.2:0", None);
    let address = first.address();
    let port = address.rsplit_once(':').unwrap().1;
    let second = FakePeer::tcp("second", &format!("127.0.0.3:{port}"), None);
    let number = port.parse().unwrap();
    let mut server = ApiServer::start().unwrap();
    // Both families of one node, another service, and the same service elsewhere.
    let v4 = |endpoints| slice("hubble-peer-4", "IPv4", number, endpoints);
    server.put(v4(&[("node-1", "127.0.0.2")]));
    server.put(slice("hubble-peer-6", "IPv6", number, &[("node-1", "::1")]));
    server.put(objects::endpoint_slice(
        "kube-system",
        "other",
        &["127.0.0.9"],
    ));
    server.put(objects::endpoint_slice(
        "shop",
        "hubble-peer",
        &["127.0.0.9"],
    ));
    let dir = TempDir::new().unwrap();
    let cluster = asking(&server, &dir).await;
    let mut client = cluster.client().await;
    let (first, second) = (first.address(), second.address());
    until(&mut client, &[("node-1", &first)]).await;

    // A node comes, and while the agent of the first is replaced there are two on it.
    server.put(v4(&[
        ("!node-1", "127.0.0.2"),
        ("node-1", "127.0.0.3"),
        ("node-2", "127.0.0.2"),
    ]));
    until(&mut client, &[("node-1", &second), ("node-2", &first)]).await;

    // Without the API server, all stay; what happened meanwhile is heard when it is back.
    server.stop();
    until(&mut client, &[("node-1", &second), ("node-2", &first)]).await;
    server.put(v4(&[("node-2", "127.0.0.2")]));
    server.delete("endpointslices", "kube-system", "hubble-peer-6");
    server.resume().unwrap();
    until(&mut client, &[("node-2", &first)]).await;

    server.expire_watches();
    server.put(v4(&[("node-3", "127.0.0.3")]));
    until(&mut client, &[("node-3", &second)]).await;
}
