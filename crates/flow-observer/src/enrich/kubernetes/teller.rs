//! From what the watches say to what the directory is told.

use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};

use tokio::sync::mpsc;

use super::{
    node_endpoints::NodeEndpoints,
    nodes::Nodes,
    objects::Object,
    pods::Pods,
    resource::Resource,
    services::Services,
    table::ObjectKey,
    watch::{Shared, Update},
};
use crate::enrich::{Directory, facts::Provider, news::Telling};

/// Updates that wait for the teller: a page of a list and what comes meanwhile. When it is full, the
/// watches wait, and so does the API server.
pub(super) const QUEUE: usize = 1024;
/// How many updates become one change of the directory.
const BATCH: usize = 1024;
/// The pause after each: what comes within it is told at once, and a storm of changes does not keep
/// a processor busy. A name comes so much later at the most.
const PAUSE: Duration = Duration::from_millis(10);

/// All objects, as far as anything is known from them.
#[derive(Debug, Default)]
struct Cluster {
    pods: Pods,
    nodes: Nodes,
    node_endpoints: NodeEndpoints,
    services: Services,
    /// What was listed in full once.
    listed: BTreeSet<Resource>,
}

/// Tells until the watches are gone. Runs on a thread of its own, since a directory of a hundred
/// thousand takes its time.
pub(super) fn run(
    mut updates: mpsc::Receiver<Update>,
    directory: &Directory,
    shared: &Arc<Shared>,
) {
    let mut cluster = Cluster::default();
    let mut batch = Vec::with_capacity(BATCH);
    while updates.blocking_recv_many(&mut batch, BATCH) > 0 {
        let listed = cluster.listed.clone();
        for update in batch.drain(..) {
            cluster.hear(update);
        }
        cluster.tell(directory, &listed);
        shared.board.set_objects(|resource| cluster.len(resource));
        shared.board.set_remark(cluster.remark(directory));
        thread::sleep(PAUSE);
    }
}

impl Cluster {
    fn hear(&mut self, update: Update) {
        match update {
            Update::Begin(resource) => {
                self.pods.begin(resource);
                self.nodes.begin(resource);
                self.node_endpoints.begin(resource);
                self.services.begin(resource);
            }
            Update::Put(key, object) => self.put(&key, &object),
            Update::Gone(resource, key) => {
                self.pods.remove(resource, &key);
                self.nodes.remove(resource, &key);
                self.node_endpoints.remove(resource, &key);
                self.services.remove(resource, &key);
                if resource == Resource::EndpointSlices {
                    self.nodes.set_api_servers(&key, Default::default());
                }
            }
            Update::End(resource) => {
                self.listed.insert(resource);
                self.pods.end(resource);
                self.nodes.end(resource);
                self.node_endpoints.end(resource);
                for slice in self.services.end(resource) {
                    self.nodes.set_api_servers(&slice, Default::default());
                }
            }
        }
    }

    fn put(&mut self, key: &ObjectKey, object: &Object) {
        match object {
            Object::Namespace(it) => self.pods.put_namespace(key, it),
            Object::Node(it) => self.nodes.put_node(key, it),
            Object::Pod(it) => self.pods.put_pod(key, it),
            Object::Service(it) => self.services.put_service(key, it),
            Object::EndpointSlice(it) => {
                let api_servers = self.services.put_slice(key, it);
                self.nodes
                    .set_api_servers(key, api_servers.unwrap_or_default());
            }
            Object::CiliumNode(it) => {
                self.nodes.put_cilium_node(key, it);
                self.node_endpoints.put(key, it);
            }
            Object::CiliumIdentity(it) => self.pods.put_identity(key, it),
            Object::CiliumEndpoint(it) => self.pods.put_endpoint(key, it),
        }
    }

    /// What is `listed` is news when it changes. What a first list says was so before.
    fn tell(&mut self, directory: &Directory, listed: &BTreeSet<Resource>) {
        let [identities, pods, endpoints] = self.pods.take_changes();
        // Identities first, so that pods have theirs from the start.
        let told: [(Provider, Vec<_>); 6] = [
            identities,
            self.nodes.take_changes(),
            self.node_endpoints.take_changes(),
            pods,
            endpoints,
            self.services.take_changes(),
        ];
        for (provider, changes) in told {
            if !changes.is_empty() {
                let resource = match provider {
                    Provider::Nodes => Resource::Nodes,
                    Provider::CiliumIdentities => Resource::CiliumIdentities,
                    Provider::CiliumNodes => Resource::CiliumNodes,
                    Provider::Services => Resource::Services,
                    Provider::CiliumEndpoints => Resource::CiliumEndpoints,
                    _ => Resource::Pods,
                };
                let telling = match listed.contains(&resource) {
                    true => Telling::Everything,
                    false => Telling::Endpoints,
                };
                directory.apply_telling(provider, changes, telling);
            }
        }
    }

    /// What is wrong with what the server tells, although it tells everything.
    fn remark(&self, directory: &Directory) -> Option<String> {
        let own = directory.cluster_name();
        let other = self.pods.other_cluster(own)?;
        Some(format!(
            "Cilium's identities are of cluster {other:?}, not {own:?}: \
             start the agent with --cluster-name {other}"
        ))
    }

    fn len(&self, resource: Resource) -> usize {
        self.pods.len(resource) + self.nodes.len(resource) + self.services.len(resource)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::json;

    use super::*;
    use crate::enrich::Inventory;

    fn resident_bytes() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// Deployments of ten pods, on nodes of a hundred.
    fn pod(number: u32) -> Update {
        let name = format!("web-{}-5d78c9869d-{number:05x}", number / 10);
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        let pod = json!({
            "metadata": {
                "name": name, "namespace": format!("shop-{}", number / 1000),
                "generateName": format!("web-{}-5d78c9869d-", number / 10),
                "labels": {
                    "app": format!("web-{}", number / 10), "pod-template-hash": "5d78c9869d",
                    "app.kubernetes.io/managed-by": "Helm",
                },
                "ownerReferences": [{
                    "kind": "ReplicaSet", "name": format!("web-{}-5d78c9869d", number / 10),
                    "controller": true,
                }],
            },
            "spec": {"nodeName": format!("node-{}", number / 100), "serviceAccountName": "web"},
            "status": {"phase": "Running", "podIP": ip, "startTime": "2026-01-01T00:00:00Z"},
        });
        let pod: crate::enrich::kubernetes::objects::Pod = serde_json::from_value(pod).unwrap();
        let key = pod.metadata.key().into();
        Update::Put(key, Box::new(Object::Pod(pod)))
    }

    #[test]
    fn a_hundred_thousand_pods_take_a_few_hundred_bytes_each() {
        const PODS: u32 = 100_000;
        const ALONE: &str = "PALOMAR_TEST_ALONE";
        if std::env::var_os(ALONE).is_none() {
            // Other tests of this process take memory, too.
            let (_, module) = module_path!().split_once("::").unwrap();
            let name = format!("{module}::a_hundred_thousand_pods_take_a_few_hundred_bytes_each");
            let mut alone = Command::new(std::env::current_exe().unwrap());
            alone
                .args([&*name, "--exact", "--nocapture"])
                .env(ALONE, "1");
            assert!(alone.status().unwrap().success());
            return;
        }
        let directory = Directory::new("node-0", Inventory::default());
        let before = resident_bytes();
        let mut cluster = Cluster::default();
        for number in 0..PODS {
            cluster.hear(pod(number));
        }
        let tables = (resident_bytes() - before) / PODS as usize;
        cluster.tell(&directory, &BTreeSet::new());
        let all = (resident_bytes() - before) / PODS as usize;
        println!("{tables} bytes a pod in the tables, {all} with the directory");
        assert!(tables < 700, "{tables} bytes");
    }
}
