//! The API server's objects, as far as anything here reads them.
//!
//! Every field may be missing or null; what is not named here is skipped while parsing, so that an
//! object of ten kilobytes costs a few hundred bytes.

mod cilium;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

pub(super) use cilium::{AddressPair, CiliumEndpoint, CiliumIdentity, CiliumNode, CiliumNodeSpec};

use super::resource::Resource;

/// A type of objects that is watched.
pub(super) trait Watched: DeserializeOwned + Send + 'static {
    const RESOURCE: Resource;
    fn metadata(&self) -> &Metadata;
    fn into_object(self) -> Object;
}

macro_rules! watched {
    ($($kind:ident: $resource:ident),* $(,)?) => {
        /// An object of any of the watched types.
        #[derive(Debug)]
        pub(super) enum Object {
            $($kind($kind),)*
        }

        $(
            impl Watched for $kind {
                const RESOURCE: Resource = Resource::$resource;

                fn metadata(&self) -> &Metadata {
                    &self.metadata
                }

                fn into_object(self) -> Object {
                    Object::$kind(self)
                }
            }
        )*
    };
}

watched! {
    Namespace: Namespaces,
    Node: Nodes,
    Pod: Pods,
    Service: Services,
    EndpointSlice: EndpointSlices,
    CiliumNode: CiliumNodes,
    CiliumIdentity: CiliumIdentities,
    CiliumEndpoint: CiliumEndpoints,
}

/// What all objects have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) namespace: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) resource_version: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) generate_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) owner_references: Vec<OwnerReference>,
    pub(super) creation_timestamp: Option<String>,
    pub(super) deletion_timestamp: Option<String>,
}

impl Metadata {
    /// `namespace/name`, or the name alone.
    pub(super) fn key(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReference {
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) controller: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Namespace {
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) spec: PodSpec,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) node_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) host_network: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) service_account_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) phase: String,
    #[serde(rename = "podIP", deserialize_with = "null_is_default")]
    pub(super) pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "null_is_default")]
    pub(super) pod_ips: Vec<Address>,
    pub(super) start_time: Option<String>,
}

/// An object that holds an address under `ip`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Address {
    /// As in `InternalIP`, where there are several kinds.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub(super) kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) addresses: Vec<NodeAddress>,
}

/// An address, or a name: then it does not parse as an address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeAddress {
    /// As in `InternalIP`.
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub(super) kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) spec: ServiceSpec,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) status: ServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "clusterIP", deserialize_with = "null_is_default")]
    pub(super) cluster_ip: String,
    #[serde(rename = "clusterIPs", deserialize_with = "null_is_default")]
    pub(super) cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "null_is_default")]
    pub(super) external_ips: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ports: Vec<ServicePort>,
}

/// A port of a service, or of what is behind it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServicePort {
    /// 0 for all ports.
    #[serde(deserialize_with = "null_is_default")]
    pub(super) port: u16,
    /// The port at all nodes; 0 for none.
    #[serde(deserialize_with = "null_is_default")]
    pub(super) node_port: u16,
    /// TCP if empty.
    #[serde(deserialize_with = "null_is_default")]
    pub(super) protocol: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadBalancer {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ingress: Vec<Address>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EndpointSlice {
    pub(super) metadata: Metadata,
    /// Null for none.
    #[serde(deserialize_with = "null_is_default")]
    pub(super) endpoints: Vec<SliceEndpoint>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ports: Vec<ServicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SliceEndpoint {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) addresses: Vec<String>,
}

/// Go writes an empty list as null in places.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_what_is_missing_are_nothing() {
        let slice: EndpointSlice = serde_json::from_str(
            r#"{"metadata":{"name":"a","labels":null,"creationTimestamp":null},
                "endpoints":null,"ports":[{"name":"","port":null,"protocol":null}]}"#,
        )
        .unwrap();
        assert!(slice.endpoints.is_empty());
        assert_eq!(slice.ports[0].port, 0);
        let pod: Pod = serde_json::from_str(r#"{"metadata":{"name":"a"},"status":null}"#).unwrap();
        assert_eq!(pod.status.phase, "");
        assert_eq!(pod.metadata.key(), "a");
    }
}
