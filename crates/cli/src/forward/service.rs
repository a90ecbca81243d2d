//! Where a relay's service leads: to which pods, at which port.

use std::fmt;

use futures::future::join_all;
use k8s_openapi::{
    api::{
        core::v1::{Pod, Service, ServicePort},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{
    Api,
    api::{ListParams, ObjectList},
};

use super::{access::Access, error::ForwardError};

/// The service of Hubble's relay.
pub(super) const HUBBLE: &str = "hubble-relay";

/// A name that certificates of Hubble's relay carry: they are for all names below
/// `hubble-relay.cilium.io`, or for this one.
pub(super) const HUBBLE_CERTIFICATE: &str = "ui.hubble-relay.cilium.io";

/// A relay's service; the first that has a pod wins.
const SERVICES: [&str; 2] = [HUBBLE, "palomar-relay"];

/// Where a relay is where nobody says: Hubble's beside Cilium, ours in a namespace of its own.
pub(super) const NAMESPACES: [&str; 2] = ["kube-system", "palomar"];

/// The label by which slices tell whose they are.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Objects that are asked for at once: a relay has a few pods.
const MAX_OBJECTS: u32 = 500;

/// A service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(super) namespace: String,
    pub(super) service: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)
    }
}

/// A pod that is ready, and the port where the relay listens in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Backend {
    pub(super) pod: String,
    pub(super) port: u16,
}

/// A service, and the pods of it that are ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) backends: Vec<Backend>,
}

/// Finds the first relay that has a pod, in any of these namespaces. They are asked at the same time.
pub(super) async fn find(access: &Access, namespaces: &[String]) -> Result<Found, ForwardError> {
    let looking = namespaces.iter().map(|it| look(access, it));
    let mut failure = None;
    let mut found = Vec::new();
    for seen in join_all(looking).await {
        match seen {
            Ok(services) => found.extend(services),
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    if let Some(at) = found.iter().position(|it| !it.backends.is_empty()) {
        return Ok(found.swap_remove(at));
    }
    if let Some(idle) = found.into_iter().next() {
        return Err(ForwardError::NoReadyPod { place: idle.place });
    }
    Err(failure.unwrap_or_else(|| ForwardError::NoService {
        services: SERVICES.map(str::to_owned).to_vec(),
        namespaces: namespaces.to_vec(),
    }))
}

/// The services of a namespace that are there.
async fn look(access: &Access, namespace: &str) -> Result<Vec<Found>, ForwardError> {
    let selector = format!("{SERVICE_LABEL} in ({})", SERVICES.join(","));
    let slices: Api<EndpointSlice> = Api::namespaced(access.client.clone(), namespace);
    let listed = slices
        .list(&ListParams::default().labels(&selector).limit(MAX_OBJECTS))
        .await
        .map_err(|error| ForwardError::of(&error, &access.server, namespace));
    match listed {
        Ok(slices) if !slices.items.is_empty() => by_slices(access, namespace, &slices).await,
        // Without slices there is no service, or one that nothing makes slices for.
        Ok(_) => by_selectors(access, namespace)
            .await
            .or_else(|error| match error {
                ForwardError::Forbidden { .. } => Ok(Vec::new()),
                error => Err(error),
            }),
        Err(ForwardError::Forbidden { .. }) => by_selectors(access, namespace).await,
        Err(error) => Err(error),
    }
}

async fn by_slices(
    access: &Access,
    namespace: &str,
    slices: &ObjectList<EndpointSlice>,
) -> Result<Vec<Found>, ForwardError> {
    let mut found = Vec::new();
    for service in SERVICES {
        let label = |it: &&EndpointSlice| {
            let labels = it.metadata.labels.as_ref();
            labels
                .and_then(|it| it.get(SERVICE_LABEL))
                .map(String::as_str)
                == Some(service)
        };
        let slices: Vec<_> = slices.iter().filter(label).collect();
        if slices.is_empty() {
            continue;
        }
        let has_choice = slices
            .iter()
            .any(|it| it.ports.as_ref().is_some_and(|ports| ports.len() > 1));
        let name = match has_choice {
            true => first_port_name(access, namespace, service).await,
            false => None,
        };
        let mut backends: Vec<Backend> = Vec::new();
        for slice in slices {
            let Some(port) = port_of(slice, name.as_deref()) else {
                continue;
            };
            for pod in ready_pods(slice) {
                // With two families of addresses, a pod is in two slices.
                if backends.iter().all(|it| it.pod != pod) {
                    let pod = pod.to_owned();
                    backends.push(Backend { pod, port });
                }
            }
        }
        let place = Place::new(namespace, service);
        found.push(Found { place, backends });
    }
    Ok(found)
}

/// The name of the port that the service names first; `None` if nobody tells.
async fn first_port_name(access: &Access, namespace: &str, service: &str) -> Option<String> {
    let services: Api<Service> = Api::namespaced(access.client.clone(), namespace);
    let service = services.get_opt(service).await.ok().flatten()?;
    first_port(&service)?.name.clone()
}

/// The port of that name, else the first.
fn port_of(slice: &EndpointSlice, name: Option<&str>) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let port = ports
        .iter()
        .find(|port| name.is_some() && port.name.as_deref() == name)
        .or_else(|| ports.first())?;
    u16::try_from(port.port?).ok()
}

/// Pods that are ready, or of which nothing is known: that counts as ready.
fn ready_pods(slice: &EndpointSlice) -> impl Iterator<Item = &str> {
    slice.endpoints.iter().filter_map(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        let is_ready = conditions.is_none_or(|it| it.ready.unwrap_or(true));
        let target = endpoint.target_ref.as_ref()?;
        let is_pod = target.kind.as_deref() == Some("Pod");
        target.name.as_deref().filter(|_| is_ready && is_pod)
    })
}

/// The same by the services and their pods, for those who may see these and no slices.
async fn by_selectors(access: &Access, namespace: &str) -> Result<Vec<Found>, ForwardError> {
    let failed = |error: kube::Error| ForwardError::of(&error, &access.server, namespace);
    let services: Api<Service> = Api::namespaced(access.client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(access.client.clone(), namespace);
    let mut found = Vec::new();
    for name in SERVICES {
        let Some(service) = services.get_opt(name).await.map_err(failed)? else {
            continue;
        };
        let place = Place::new(namespace, name);
        let selector = selector(&service);
        let mut backends = Vec::new();
        if !selector.is_empty() {
            let wanted = ListParams::default().labels(&selector).limit(MAX_OBJECTS);
            let pods = pods.list(&wanted).await.map_err(failed)?;
            let ready: Vec<_> = pods.into_iter().filter(is_ready).collect();
            backends.extend(ready.iter().filter_map(|pod| {
                let port = target_port(first_port(&service)?, pod)?;
                let pod = pod.metadata.name.clone()?;
                Some(Backend { pod, port })
            }));
            if backends.is_empty() && !ready.is_empty() {
                return Err(ForwardError::NoPort { place });
            }
        }
        found.push(Found { place, backends });
    }
    Ok(found)
}

impl Place {
    fn new(namespace: &str, service: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
        }
    }
}

fn first_port(service: &Service) -> Option<&ServicePort> {
    service.spec.as_ref()?.ports.as_ref()?.first()
}

fn selector(service: &Service) -> String {
    let labels = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let labels: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    labels.join(",")
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|it| it.conditions.as_ref());
    let says_so = conditions
        .into_iter()
        .flatten()
        .any(|it| it.type_ == "Ready" && it.status == "True");
    says_so && pod.metadata.deletion_timestamp.is_none()
}

/// The number of the port in the pod, which the service may know by its name only.
fn target_port(port: &ServicePort, pod: &Pod) -> Option<u16> {
    let number = match &port.target_port {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => pod
            .spec
            .as_ref()?
            .containers
            .iter()
            .flat_map(|container| container.ports.iter().flatten())
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.container_port)?,
        None => port.port,
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_port_is_found_by_number_by_name_or_is_the_services_own() {
        let pod: Pod = from_value(json!({
            "metadata": {"name": "relay-0"},
            "spec": {"containers": [
                {"name": "sidecar", "ports": [{"name": "metrics", "containerPort": 9966}]},
                {"name": "relay", "ports": [{"name": "grpc", "containerPort": 4245}]},
            ]},
        }))
        .unwrap();
        for (port, expected) in [
            (json!({"port": 80, "targetPort": 4245}), Some(4245)),
            (json!({"port": 80, "targetPort": "grpc"}), Some(4245)),
            (json!({"port": 80, "targetPort": "http"}), None),
            (json!({"port": 80}), Some(80)),
            (json!({"port": 80, "targetPort": 70000}), None),
        ] {
            let port = from_value(port).unwrap();
            assert_eq!(target_port(&port, &pod), expected, "{port:?}");
        }
    }

    #[test]
    fn only_pods_that_are_ready_or_of_which_nothing_is_known_count() {
        let slice: EndpointSlice = from_value(json!({
            "addressType": "IPv4", "metadata": {},
            "ports": [{"name": "grpc", "port": 4245}, {"name": "peer", "port": 4244}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": "going"}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "there"}},
                {"addresses": ["10.0.0.3"], "conditions": {}, "targetRef": {"kind": "Pod", "name": "unknown"}},
                {"addresses": ["10.0.0.4"], "conditions": {"ready": true}},
            ],
        }))
        .unwrap();
        assert_eq!(ready_pods(&slice).collect::<Vec<_>>(), ["there", "unknown"]);
        assert_eq!(port_of(&slice, Some("peer")), Some(4244));
        assert_eq!(port_of(&slice, None), Some(4245));
    }
}
