//! Services: addresses on no device, which every node translates to those of a pod.

use std::net::IpAddr;

use anyhow::{Context as _, Result};

use crate::{
    address::{self, Pair},
    node::{Node, Pod},
    spec::ServiceSpec,
    tools,
};

/// A service of a cluster.
#[derive(Clone, Debug)]
pub struct Service {
    spec: ServiceSpec,
    addresses: Pair,
    pod: Pod,
}

impl Service {
    pub(crate) fn new(index: u8, spec: &ServiceSpec, pod: &Pod) -> Self {
        Self {
            spec: spec.clone(),
            addresses: address::service(index),
            pod: pod.clone(),
        }
    }

    /// What it was made from.
    pub fn spec(&self) -> &ServiceSpec {
        &self.spec
    }

    /// Both addresses, IPv4 first.
    pub fn ips(&self) -> [IpAddr; 2] {
        [self.addresses.v4.into(), self.addresses.v6.into()]
    }

    /// The pod behind it.
    pub fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Makes `node` translate what its pods send to the service.
    pub(crate) fn translate_on(&self, node: &Node) -> Result<()> {
        let ServiceSpec { port, pod_port, .. } = self.spec;
        let (service, pod) = (self.addresses, self.pod.addresses());
        let script = format!(
            "add table inet palomar_services\n\
             add chain inet palomar_services translate {{ type nat hook prerouting priority dstnat; }}\n\
             add rule inet palomar_services translate ip daddr {} tcp dport {port} dnat ip to {}:{pod_port}\n\
             add rule inet palomar_services translate ip6 daddr {} tcp dport {port} dnat ip6 to [{}]:{pod_port}\n",
            service.v4, pod.v4, service.v6, pod.v6
        );
        tools::nft(node.namespace(), &script)
            .with_context(|| format!("cannot translate a service on {}", node.name()))
    }
}
