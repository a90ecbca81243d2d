//! Objects with everything in them that real servers send, and that nobody here reads.

use std::sync::LazyLock;

use serde_json::{Value, json};

macro_rules! template {
    ($name:literal) => {{
        static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
            serde_json::from_str(include_str!(concat!("objects/", $name, ".json")))
                .unwrap_or_else(|error| panic!("{}: {error}", $name))
        });
        TEMPLATE.clone()
    }};
}

/// A running pod of a deployment.
#[must_use]
pub fn pod(namespace: &str, name: &str, ip: &str, node: &str) -> Value {
    let mut pod = template!("pod");
    pod["metadata"]["namespace"] = namespace.into();
    pod["metadata"]["name"] = name.into();
    pod["metadata"]["uid"] = uid(namespace, name).into();
    pod["spec"]["nodeName"] = node.into();
    pod["status"]["podIP"] = ip.into();
    pod["status"]["podIPs"] = json!([{"ip": ip}]);
    pod
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut namespace = template!("namespace");
    namespace["metadata"]["name"] = name.into();
    namespace["metadata"]["uid"] = uid("", name).into();
    namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    for (key, value) in labels {
        namespace["metadata"]["labels"][*key] = (*value).into();
    }
    namespace
}

/// A node.
#[must_use]
pub fn node(name: &str, ip: &str) -> Value {
    let mut node = template!("node");
    node["metadata"]["name"] = name.into();
    node["metadata"]["uid"] = uid("", name).into();
    node["metadata"]["labels"]["kubernetes.io/hostname"] = name.into();
    node["status"]["addresses"] = json!([
        {"type": "InternalIP", "address": ip},
        {"type": "Hostname", "address": name},
    ]);
    node
}

/// A service with a cluster address, port 80 over 8080.
#[must_use]
pub fn service(namespace: &str, name: &str, ip: &str) -> Value {
    let mut service = template!("service");
    service["metadata"]["namespace"] = namespace.into();
    service["metadata"]["name"] = name.into();
    service["metadata"]["uid"] = uid(namespace, name).into();
    service["spec"]["clusterIP"] = ip.into();
    service["spec"]["clusterIPs"] = json!([ip]);
    service
}

/// What is behind a service.
#[must_use]
pub fn endpoint_slice(namespace: &str, service: &str, ips: &[&str]) -> Value {
    let mut slice = template!("endpointslice");
    let name = format!("{service}-7xk2p");
    slice["metadata"]["namespace"] = namespace.into();
    slice["metadata"]["name"] = name.clone().into();
    slice["metadata"]["uid"] = uid(namespace, &name).into();
    slice["metadata"]["generateName"] = format!("{service}-").into();
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = service.into();
    slice["metadata"]["ownerReferences"][0]["name"] = service.into();
    let endpoint = slice["endpoints"][0].clone();
    let endpoints = ips.iter().map(|ip| {
        let mut endpoint = endpoint.clone();
        endpoint["addresses"] = json!([ip]);
        endpoint
    });
    slice["endpoints"] = endpoints.collect();
    slice
}

/// Cilium's endpoint of a pod.
#[must_use]
pub fn cilium_endpoint(namespace: &str, pod: &str, ip: &str, id: u16, identity: u32) -> Value {
    let mut endpoint = template!("ciliumendpoint");
    endpoint["metadata"]["namespace"] = namespace.into();
    endpoint["metadata"]["name"] = pod.into();
    endpoint["metadata"]["uid"] = uid(namespace, pod).into();
    endpoint["status"]["id"] = id.into();
    endpoint["status"]["identity"]["id"] = identity.into();
    endpoint["status"]["identity"]["labels"] = json!([
        "k8s:app=web",
        "k8s:io.cilium.k8s.policy.cluster=default",
        "k8s:io.cilium.k8s.policy.serviceaccount=web",
        format!("k8s:io.kubernetes.pod.namespace={namespace}"),
    ]);
    endpoint["status"]["networking"]["addressing"] = json!([{"ipv4": ip}]);
    endpoint
}

/// Cilium's identity of a set of labels, as in `k8s:app=web`.
///
/// # Panics
/// When a label has no value.
#[must_use]
pub fn cilium_identity(number: u32, labels: &[&str]) -> Value {
    let mut identity = template!("ciliumidentity");
    identity["metadata"]["name"] = number.to_string().into();
    identity["metadata"]["uid"] = uid("", &number.to_string()).into();
    let labels = labels.iter().map(|label| {
        let (key, value) = label.split_once('=').expect("a label with a value");
        (key.to_owned(), value.into())
    });
    identity["security-labels"] = Value::Object(labels.collect());
    identity
}

/// Cilium's node, with the addresses that Cilium has there for itself, its health and its ingress.
#[must_use]
pub fn cilium_node(name: &str, ip: &str, [own, health, ingress]: [&str; 3]) -> Value {
    let mut node = template!("ciliumnode");
    node["metadata"]["name"] = name.into();
    node["metadata"]["uid"] = uid("cilium", name).into();
    node["metadata"]["labels"]["kubernetes.io/hostname"] = name.into();
    node["spec"]["addresses"] = json!([
        {"ip": ip, "type": "InternalIP"},
        {"ip": own, "type": "CiliumInternalIP"},
    ]);
    node["spec"]["health"] = json!({"ipv4": health});
    node["spec"]["ingress"] = json!({"ipv4": ingress});
    node
}

/// A number that is the same each time, in the form of a UUID.
fn uid(namespace: &str, name: &str) -> String {
    let hash = namespace
        .bytes()
        .chain([0])
        .chain(name.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        hash >> 32,
        hash & 0xffff,
        hash >> 52,
        hash & 0xfff,
        hash & 0xffff_ffff_ffff
    )
}
