//! What is watched, and where the API server has it.

/// A kind of object that is watched in the whole cluster.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Resource {
    Namespaces,
    Nodes,
    Pods,
    Services,
    EndpointSlices,
    CiliumNodes,
    CiliumIdentities,
    CiliumEndpoints,
}

impl Resource {
    pub(super) const ALL: [Self; 8] = [
        Self::Namespaces,
        Self::Nodes,
        Self::Pods,
        Self::Services,
        Self::EndpointSlices,
        Self::CiliumNodes,
        Self::CiliumIdentities,
        Self::CiliumEndpoints,
    ];

    /// Its name in status, counters and RBAC.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Services => "services",
            Self::EndpointSlices => "endpointslices",
            Self::CiliumNodes => "ciliumnodes",
            Self::CiliumIdentities => "ciliumidentities",
            Self::CiliumEndpoints => "ciliumendpoints",
        }
    }

    /// The path under which all of them are listed.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Namespaces => "/api/v1/namespaces",
            Self::Nodes => "/api/v1/nodes",
            Self::Pods => "/api/v1/pods",
            Self::Services => "/api/v1/services",
            Self::EndpointSlices => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::CiliumNodes => "/apis/cilium.io/v2/ciliumnodes",
            Self::CiliumIdentities => "/apis/cilium.io/v2/ciliumidentities",
            Self::CiliumEndpoints => "/apis/cilium.io/v2/ciliumendpoints",
        }
    }

    /// The cluster may do without: only where Cilium runs, the API server knows of these.
    pub(super) fn is_optional(self) -> bool {
        matches!(
            self,
            Self::CiliumNodes | Self::CiliumIdentities | Self::CiliumEndpoints
        )
    }

    /// What is to be listed before these, so that they are described in full from the start: a pod's
    /// identity depends on the labels of its namespace.
    pub(super) fn prerequisites(self) -> &'static [Self] {
        match self {
            Self::Pods => &[Self::Namespaces, Self::CiliumEndpoints],
            Self::CiliumEndpoints => &[Self::CiliumIdentities],
            Self::Nodes => &[Self::EndpointSlices, Self::CiliumNodes],
            _ => &[],
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}
