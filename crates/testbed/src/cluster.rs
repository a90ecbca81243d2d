//! A running cluster: its nodes and pods by name, and the end of it all.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    agents::Agents,
    netns::Namespace,
    network,
    node::{Node, Outside, Place as _, Pod},
    requirements,
    service::Service,
    spawn::Spawner,
    spec::Spec,
    sweep::{self, ClusterId},
};

/// Nodes and pods in network namespaces of this machine. Dropping it ends its children and removes
/// its namespaces and its run directory.
#[derive(Debug)]
pub struct Cluster {
    /// First, so that agents end before what they observe goes away.
    pub(crate) agents: Agents,
    id: ClusterId,
    pub(crate) fabric: Namespace,
    nodes: Vec<Node>,
    outside: Vec<Outside>,
    services: Vec<Service>,
    directory: PathBuf,
    pub(crate) spawner: Arc<Spawner>,
}

impl Cluster {
    /// Builds the cluster. Removes first what crashed runs have left.
    ///
    /// # Errors
    /// When `spec` does not fit the address plan, or a program or privilege is missing; the error
    /// names it. Whatever was built by then is removed.
    pub fn start(spec: &Spec) -> Result<Self> {
        spec.check()?;
        requirements::check("a cluster", &requirements::for_cluster())?;
        sweep::sweep().context("cannot remove what an earlier cluster left")?;

        let id = ClusterId::next();
        let directory = id.run_directory();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let spawner = Arc::new(Spawner::start()?);
        let nodes: Vec<Node> = (1..)
            .zip(&spec.nodes)
            .map(|(number, node)| Node::new(&id, number, node, &spawner))
            .collect();
        let outside: Vec<Outside> = (0..)
            .zip(&spec.outside)
            .map(|(index, name)| Outside::new(&id, index, name, &spawner))
            .collect();
        let fabric = Namespace::named(id.namespace_name(".fabric"));
        // Owned from here on, so that an error below removes what there is.
        let mut cluster = Self {
            agents: Agents::default(),
            id,
            fabric,
            nodes,
            outside,
            services: Vec::new(),
            directory,
            spawner,
        };
        network::lay(&cluster.fabric, &cluster.nodes, &cluster.outside)
            .context("cannot lay the cluster's network")?;
        for (index, service) in (0..).zip(&spec.services) {
            let service = Service::new(index, service, cluster.pod(&service.pod)?);
            for node in &cluster.nodes {
                service.translate_on(node)?;
            }
            cluster.services.push(service);
        }
        Ok(cluster)
    }

    /// The nodes, in the order of the spec.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node called `name`.
    ///
    /// # Errors
    /// When there is none; the error lists those there are.
    pub fn node(&self, name: &str) -> Result<&Node> {
        find(&self.nodes, name, Node::name)
    }

    /// Every pod, node by node.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> + Clone {
        self.nodes.iter().flat_map(Node::pods)
    }

    /// The pod called `name`, as in `shop/web-0`.
    ///
    /// # Errors
    /// When there is none; the error lists those there are.
    pub fn pod(&self, name: &str) -> Result<&Pod> {
        find(self.pods(), name, Pod::name)
    }

    /// The host outside the cluster that is called `name`.
    ///
    /// # Errors
    /// When there is none; the error lists those there are.
    pub fn outside(&self, name: &str) -> Result<&Outside> {
        find(&self.outside, name, Outside::name)
    }

    /// The services, in the order of the spec.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The directory that holds sockets, the inventory and what the children said.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.agents.end();
        if let Err(error) = sweep::remove(&self.id) {
            tracing::warn!(%error, "cannot remove a test cluster");
        }
    }
}

fn find<'a, T>(
    all: impl IntoIterator<Item = &'a T> + Clone,
    name: &str,
    name_of: impl Fn(&T) -> &str,
) -> Result<&'a T> {
    let names = all.clone();
    all.into_iter()
        .find(|item| name_of(item) == name)
        .ok_or_else(|| {
            let known: Vec<&str> = names.into_iter().map(&name_of).collect();
            anyhow!("no {name:?} in this cluster: there is {}", known.join(", "))
        })
}
