//! Cilium's own objects, of `cilium.io/v2`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Address, Metadata, null_is_default};

/// A security identity; its name is the number.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct CiliumIdentity {
    pub(in super::super) metadata: Metadata,
    /// With their source, as in `k8s:app`.
    #[serde(rename = "security-labels", deserialize_with = "null_is_default")]
    pub(in super::super) security_labels: BTreeMap<String, String>,
}

/// A pod as Cilium knows it; it has the pod's name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct CiliumEndpoint {
    pub(in super::super) metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) status: EndpointStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct EndpointStatus {
    /// The number on its node.
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) id: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) identity: EndpointIdentity,
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) networking: Networking,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct EndpointIdentity {
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) id: i64,
    /// `source:key=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) labels: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Networking {
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) addressing: Vec<AddressPair>,
    /// The node's own address.
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) node: String,
}

/// An address of each family; empty for none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct AddressPair {
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) ipv4: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) ipv6: String,
}

/// A node as Cilium knows it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct CiliumNode {
    pub(in super::super) metadata: Metadata,
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) spec: CiliumNodeSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct CiliumNodeSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) addresses: Vec<Address>,
    /// Of the endpoint by which the nodes try each other.
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) health: AddressPair,
    /// Of the proxy that takes what comes from outside.
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) ingress: AddressPair,
}
