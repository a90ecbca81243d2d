//! Services and what is behind them: in go services and slices, out come facts about services.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{
    objects,
    resource::Resource,
    table::{ObjectKey, Put, Table},
};
use crate::enrich::facts::{Change, Fact, NodePort, Port, Provider, ServiceFact};

/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The service that the API server keeps for itself.
const API_SERVER: &str = "default/kubernetes";

#[derive(Debug, Default)]
pub(super) struct Services {
    services: Table<Service>,
    slices: Table<Slice>,
    slices_of: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    dirty: BTreeSet<ObjectKey>,
}

#[derive(Debug, Eq, PartialEq)]
struct Service {
    frontends: Box<[Port]>,
    node_ports: Box<[NodePort]>,
}

#[derive(Debug, Eq, PartialEq)]
struct Slice {
    service: ObjectKey,
    backends: Box<[Port]>,
}

impl Services {
    pub(super) fn put_service(&mut self, key: &ObjectKey, service: &objects::Service) {
        let spec = &service.spec;
        let mut ips: Vec<IpAddr> = Vec::new();
        let texts = spec.cluster_ips.iter().chain([&spec.cluster_ip]);
        let ingress = service.status.load_balancer.ingress.iter();
        let texts = texts
            .chain(&spec.external_ips)
            .chain(ingress.map(|it| &it.ip));
        for text in texts {
            // A headless service has the word None for an address.
            ips.extend(text.parse().ok().filter(|ip| !ips.contains(ip)));
        }
        let row = Service {
            frontends: ports(&ips, &spec.ports),
            node_ports: node_ports(&spec.ports),
        };
        if self.services.put(key, row) != Put::Same {
            self.dirty.insert(Arc::clone(key));
        }
    }

    /// Returns where the API server is, if the slice tells.
    pub(super) fn put_slice(
        &mut self,
        key: &ObjectKey,
        slice: &objects::EndpointSlice,
    ) -> Option<BTreeSet<IpAddr>> {
        let metadata = &slice.metadata;
        let Some(name) = metadata.labels.get(SERVICE_NAME) else {
            self.remove_slice(key);
            return None;
        };
        let service: ObjectKey = format!("{}/{name}", metadata.namespace).into();
        let texts = slice.endpoints.iter().flat_map(|it| &it.addresses);
        // Those of type FQDN are no addresses.
        let ips: Vec<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
        let row = Slice {
            service: Arc::clone(&service),
            backends: ports(&ips, &slice.ports),
        };
        let is_api_server = *service == *API_SERVER;
        match self.slices.put(key, row) {
            Put::Same => {}
            Put::Changed(old) => {
                if let Some(old) = old.filter(|old| old.service != service) {
                    self.forget_slice(key, old);
                }
                let slices = self.slices_of.entry(Arc::clone(&service)).or_default();
                slices.insert(Arc::clone(key));
                self.dirty.insert(service);
            }
        }
        is_api_server.then(|| ips.into_iter().collect())
    }

    fn remove_slice(&mut self, key: &str) {
        if let Some(slice) = self.slices.remove(key) {
            self.forget_slice(key, slice);
        }
    }

    fn forget_slice(&mut self, key: &str, slice: Slice) {
        if let Some(slices) = self.slices_of.get_mut(&slice.service) {
            slices.remove(key);
            if slices.is_empty() {
                self.slices_of.remove(&slice.service);
            }
        }
        self.dirty.insert(slice.service);
    }

    pub(super) fn remove(&mut self, resource: Resource, key: &str) {
        match resource {
            Resource::Services => {
                let gone = self.services.remove(key);
                self.dirty.extend(gone.map(|_| ObjectKey::from(key)));
            }
            Resource::EndpointSlices => self.remove_slice(key),
            _ => {}
        }
    }

    pub(super) fn begin(&mut self, resource: Resource) {
        match resource {
            Resource::Services => self.services.begin(),
            Resource::EndpointSlices => self.slices.begin(),
            _ => {}
        }
    }

    /// Returns the slices that are gone.
    pub(super) fn end(&mut self, resource: Resource) -> Vec<ObjectKey> {
        let mut gone = Vec::new();
        match resource {
            Resource::Services => {
                let services = self.services.end().into_iter();
                self.dirty.extend(services.map(|(key, _)| key));
            }
            Resource::EndpointSlices => {
                for (key, slice) in self.slices.end() {
                    self.forget_slice(&key, slice);
                    gone.push(key);
                }
            }
            _ => {}
        }
        gone
    }

    pub(super) fn len(&self, resource: Resource) -> usize {
        match resource {
            Resource::Services => self.services.len(),
            Resource::EndpointSlices => self.slices.len(),
            _ => 0,
        }
    }

    /// What is to be told since the last call.
    pub(super) fn take_changes(&mut self) -> (Provider, Vec<Change>) {
        let changes = std::mem::take(&mut self.dirty).into_iter().map(|key| {
            let fact_key = Box::from(&*key);
            match self.fact(&key) {
                Some(fact) => Change::Put(fact_key, Fact::Service(fact)),
                None => Change::Remove(fact_key),
            }
        });
        (Provider::Services, changes.collect())
    }

    fn fact(&self, key: &str) -> Option<ServiceFact> {
        let service = self.services.get(key);
        let slices = self.slices_of.get(key);
        if service.is_none() && slices.is_none() {
            return None;
        }
        let slices = slices.into_iter().flatten();
        let backends = slices
            .filter_map(|slice| self.slices.get(slice))
            .flat_map(|slice| slice.backends.iter().copied());
        // A slice that is being replaced may say the same as its successor.
        let backends: BTreeSet<Port> = backends.collect();
        let (namespace, name) = key.split_once('/').unwrap_or(("", key));
        Some(ServiceFact {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            frontends: service.map(|it| it.frontends.to_vec()).unwrap_or_default(),
            backends: backends.into_iter().collect(),
            node_ports: service.map(|it| it.node_ports.to_vec()).unwrap_or_default(),
        })
    }
}

/// Each port at each address.
fn ports(ips: &[IpAddr], ports: &[objects::ServicePort]) -> Box<[Port]> {
    let numbered = ports.iter().filter(|port| port.port != 0);
    numbered
        .filter_map(|port| Some((protocol(port)?, port.port)))
        .flat_map(|(protocol, port)| ips.iter().map(move |&ip| Port { ip, protocol, port }))
        .collect()
}

fn node_ports(ports: &[objects::ServicePort]) -> Box<[NodePort]> {
    let numbered = ports.iter().filter(|port| port.node_port != 0);
    let node_port = |port: &objects::ServicePort| {
        Some(NodePort {
            protocol: protocol(port)?,
            port: port.node_port,
        })
    };
    numbered.filter_map(node_port).collect()
}

fn protocol(port: &objects::ServicePort) -> Option<u8> {
    match port.protocol.as_str() {
        "" | "TCP" => Some(6),
        "UDP" => Some(17),
        "SCTP" => Some(132),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(spec: Value) -> objects::Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
            "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "203.0.113.1"}]}},
        }))
        .unwrap()
    }

    fn slice(addresses: &[&str]) -> objects::EndpointSlice {
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|it| json!({"addresses": [it]}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {
                "name": "web-abc", "namespace": "shop", "labels": {SERVICE_NAME: "web"},
            },
            "endpoints": endpoints, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }))
        .unwrap()
    }

    fn told(services: &mut Services) -> Option<ServiceFact> {
        match services.take_changes().1.pop()? {
            Change::Put(_, Fact::Service(fact)) => Some(fact),
            _ => None,
        }
    }

    fn texts(ports: &[Port]) -> Vec<String> {
        let text = |it: &Port| format!("{}/{}/{}", it.ip, it.protocol, it.port);
        ports.iter().map(text).collect()
    }

    #[test]
    fn a_service_is_reached_at_each_of_its_addresses_and_ports() {
        let mut services = Services::default();
        let web = service(json!({
            "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd96::7"],
            "externalIPs": ["198.51.100.1"],
            "ports": [
                {"port": 80, "targetPort": "http", "nodePort": 30080},
                {"port": 53, "protocol": "UDP"},
            ],
        }));
        services.put_service(&"shop/web".into(), &web);
        services.put_slice(&"shop/web-abc".into(), &slice(&["10.0.1.1", "10.0.1.2"]));
        let fact = told(&mut services).unwrap();
        let tcp = [
            "10.96.0.7/6/80",
            "fd96::7/6/80",
            "198.51.100.1/6/80",
            "203.0.113.1/6/80",
        ];
        assert_eq!(texts(&fact.frontends)[..4], tcp);
        assert_eq!(texts(&fact.frontends)[4], "10.96.0.7/17/53");
        let (protocol, port) = (6, 30080);
        assert_eq!(fact.node_ports, [NodePort { protocol, port }]);
        assert_eq!(
            texts(&fact.backends),
            ["10.0.1.1/6/8080", "10.0.1.2/6/8080"]
        );
    }

    #[test]
    fn a_headless_service_has_backends_only() {
        let mut services = Services::default();
        let headless =
            json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]});
        let mut headless = service(headless);
        headless.status = objects::ServiceStatus::default();
        services.put_service(&"shop/web".into(), &headless);
        services.put_slice(&"shop/web-abc".into(), &slice(&["10.0.1.1"]));
        let fact = told(&mut services).unwrap();
        assert_eq!((fact.frontends.len(), fact.backends.len()), (0, 1));
    }

    #[test]
    fn backends_go_with_their_slice() {
        let mut services = Services::default();
        services.put_slice(&"shop/web-abc".into(), &slice(&["10.0.1.1"]));
        assert_eq!(told(&mut services).unwrap().backends.len(), 1);
        services.begin(Resource::EndpointSlices);
        assert_eq!(services.end(Resource::EndpointSlices).len(), 1);
        assert_eq!(told(&mut services), None);
        assert!(services.slices_of.is_empty());
    }

    #[test]
    fn the_api_servers_own_slice_tells_where_it_is() {
        let mut services = Services::default();
        let mut own = slice(&["192.0.2.1"]);
        own.metadata.namespace = "default".to_owned();
        own.metadata
            .labels
            .insert(SERVICE_NAME.to_owned(), "kubernetes".to_owned());
        let found = services.put_slice(&"default/kubernetes".into(), &own);
        assert_eq!(found.unwrap().len(), 1);
        assert_eq!(
            services.put_slice(&"shop/x".into(), &slice(&["10.0.1.1"])),
            None
        );
    }
}
