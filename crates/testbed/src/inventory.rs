//! Cluster -> the inventory file that gives its agents names for addresses.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::{Cluster, Node, Pod, Service};

/// The inventory as text. It is JSON, which every YAML reader takes, so that quoting is never in
/// doubt.
pub(crate) fn render(cluster: &Cluster) -> String {
    let nodes: Vec<Value> = cluster.nodes().iter().map(|it| node(cluster, it)).collect();
    let endpoints: Vec<Value> = cluster.pods().map(endpoint).collect();
    let services: Vec<Value> = cluster.services().iter().map(service).collect();
    let inventory = json!({ "nodes": nodes, "endpoints": endpoints, "services": services });
    format!("{inventory:#}\n")
}

fn service(service: &Service) -> Value {
    let at = |port: u16| move |ip: IpAddr| format!("{}/tcp", SocketAddr::new(ip, port));
    let spec = service.spec();
    json!({
        "namespace": spec.namespace,
        "name": spec.name,
        "frontends": service.ips().map(at(spec.port)),
        "backends": service.pod().ips().map(at(spec.pod_port)),
    })
}

fn node(cluster: &Cluster, node: &Node) -> Value {
    json!({
        "name": node.name(),
        "address": format!("unix://{}", cluster.agent_socket(node.name()).display()),
        "ips": node.ips(),
    })
}

fn endpoint(pod: &Pod) -> Value {
    let spec = pod.spec();
    let mut endpoint = json!({
        "ips": pod.ips(),
        "namespace": spec.namespace,
        "pod": spec.name,
        "labels": spec.labels,
        "node": pod.node(),
    });
    if let Some((kind, name)) = &spec.workload {
        endpoint["workload"] = json!({ "kind": kind, "name": name });
    }
    endpoint
}
