//! What a cluster should look like: nodes, and the pods on each. Plain data; nothing here touches
//! the machine.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// Nodes that fit into the address plan, with room to spare for any test on one machine.
const MAX_NODES: usize = 64;
/// Pods per node that fit into the address plan.
const MAX_PODS: usize = 100;
/// Services that fit into the address plan.
const MAX_SERVICES: usize = 100;
/// Hosts outside the cluster that fit into the address plan.
const MAX_OUTSIDE: usize = 100;

/// A cluster to be built by [`Cluster::start`](crate::Cluster::start).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spec {
    /// The nodes, in the order that fixes their addresses.
    pub nodes: Vec<NodeSpec>,
    /// Names of hosts outside the cluster, in the order that fixes their addresses.
    pub outside: Vec<String>,
    /// Services, in the order that fixes their addresses.
    pub services: Vec<ServiceSpec>,
}

/// A service that every node translates to one pod, as kube-proxy does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceSpec {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name within that namespace.
    pub name: String,
    /// The TCP port that clients use.
    pub port: u16,
    /// The pod behind it, as in `shop/api-0`.
    pub pod: String,
    /// The TCP port that the pod serves.
    pub pod_port: u16,
}

/// One node and its pods.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeSpec {
    /// The node's name, as agents and the relay report it.
    pub name: String,
    /// The pods, in the order that fixes their addresses.
    pub pods: Vec<PodSpec>,
}

/// One pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PodSpec {
    /// Its Kubernetes namespace.
    pub namespace: String,
    /// Its name within that namespace.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The workload that would have made it: kind and name.
    pub workload: Option<(String, String)>,
}

impl Spec {
    /// A cluster of `nodes` nodes named `node-1`, `node-2`… without pods.
    pub fn with_nodes(nodes: usize) -> Self {
        let nodes = (1..=nodes)
            .map(|number| NodeSpec {
                name: format!("node-{number}"),
                pods: Vec::new(),
            })
            .collect();
        Self {
            nodes,
            outside: Vec::new(),
            services: Vec::new(),
        }
    }

    /// Two nodes with two pods each, enough for traffic within a node and between nodes:
    /// `shop/web-0` and `shop/cart-0` on `node-1`, `shop/api-0` and `shop/db-0` on `node-2`.
    pub fn two_nodes() -> Self {
        Self::with_nodes(2)
            .pod("node-1", PodSpec::new("shop", "web"))
            .pod("node-1", PodSpec::new("shop", "cart"))
            .pod("node-2", PodSpec::new("shop", "api"))
            .pod("node-2", PodSpec::new("shop", "db"))
    }

    /// Adds `pod` to the node called `node`; a node that does not exist yet is added.
    #[must_use]
    pub fn pod(mut self, node: &str, pod: PodSpec) -> Self {
        match self.nodes.iter_mut().find(|spec| spec.name == node) {
            Some(spec) => spec.pods.push(pod),
            None => self.nodes.push(NodeSpec {
                name: node.to_owned(),
                pods: vec![pod],
            }),
        }
        self
    }

    /// Adds a host outside the cluster.
    #[must_use]
    pub fn outside(mut self, name: &str) -> Self {
        self.outside.push(name.to_owned());
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: ServiceSpec) -> Self {
        self.services.push(service);
        self
    }

    /// Checks what the address plan and the names of network namespaces can hold.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(
            (1..=MAX_NODES).contains(&self.nodes.len()),
            "cluster of {} nodes: expected 1 to {MAX_NODES}",
            self.nodes.len()
        );
        ensure!(
            self.outside.len() <= MAX_OUTSIDE,
            "{} hosts outside the cluster, expected at most {MAX_OUTSIDE}",
            self.outside.len()
        );
        ensure!(
            self.services.len() <= MAX_SERVICES,
            "{} services, expected at most {MAX_SERVICES}",
            self.services.len()
        );
        let mut names: Vec<&String> = self.outside.iter().collect();
        for node in &self.nodes {
            ensure!(
                node.pods.len() <= MAX_PODS,
                "node {}: {} pods, expected at most {MAX_PODS}",
                node.name,
                node.pods.len()
            );
            names.push(&node.name);
            for pod in &node.pods {
                names.extend([&pod.namespace, &pod.name]);
            }
        }
        for name in names {
            ensure!(
                !name.is_empty()
                    && name.len() <= 63
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "name {name:?}: expected 1 to 63 lower-case letters, digits and dashes"
            );
        }
        Ok(())
    }
}

impl PodSpec {
    /// The first pod of the deployment `app`: named `app-0`, labelled `app=…`.
    pub fn new(namespace: &str, app: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: format!("{app}-0"),
            labels: BTreeMap::from([("app".to_owned(), app.to_owned())]),
            workload: Some(("Deployment".to_owned(), app.to_owned())),
        }
    }

    /// The same pod under another name, for deployments with more than one.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_cannot_name_a_namespace_is_refused() {
        let spec = Spec::with_nodes(1).pod("node-1", PodSpec::new("shop", "web/../x"));
        let error = spec.check().unwrap_err().to_string();
        assert!(error.contains("web/../x"), "{error}");
    }

    #[test]
    fn the_two_node_cluster_is_sound() {
        Spec::two_nodes().check().unwrap();
    }

    #[test]
    fn an_empty_cluster_is_refused() {
        assert!(Spec::default().check().is_err());
    }
}
