//! Flows of those who may see only some namespaces: an encoded response in, the same without what is
//! nobody's business out.
//!
//! What stays of an end that may not be seen is what the other end's own packets have of it: its
//! address and port, and the verdict. So are layer 7 messages, which both ends have. What goes is what
//! only the cluster knows: pod, namespace, workloads, labels, identity, names, service, and the policies
//! that are for this end. Of what belongs to one of both ends, and nothing says to which, nothing stays.
//!
//! An end in no namespace is no pod: the world, a node, the API server. It is shown. Which one it is
//! depends on labels or an identity that says so: an end of which too little is known is not shown.
//!
//! Other calls never come here. Here a flow is decoded, so that fields which this relay does not know are
//! left out, too.

use bytes::Bytes;
use flow_api::flow::{Endpoint, Flow, LostEvent, Policy, Service};
use flow_api::observer::GetFlowsResponse;
use flow_api::observer::get_flows_response::ResponseTypes;
use prost::Message as _;
use prost_types::FieldMask;

use crate::wire::scan;

/// A flow with more is none that a node sends: 200 times what they mostly have. Decoded, it takes up to
/// some twenty times as much.
const LONGEST_FLOW: usize = 128 * 1024;

/// Labels of identities begin with this where they stand for no pods, and for some that are.
pub(super) const RESERVED: &str = "reserved:";

/// What has no namespace because it is no pod.
pub(super) const STRANGERS: [&str; 6] = [
    "reserved:host",
    "reserved:kube-apiserver",
    "reserved:remote-node",
    "reserved:world",
    "reserved:world-ipv4",
    "reserved:world-ipv6",
];

/// Their numbers.
const STRANGERS_IDENTITIES: [u32; 6] = [1, 7, 6, 2, 9, 10];

/// From here on, identities are those of pods.
pub(super) const FIRST_OF_PODS: u32 = 100;

/// Without these, nobody could tell whether an end may be seen.
const NEEDED: [&str; 4] = [
    "source.namespace",
    "source.identity",
    "destination.namespace",
    "destination.identity",
];

/// Has what is needed here sent along.
pub(super) fn complete(mask: Option<&mut FieldMask>) {
    if let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) {
        mask.paths.extend(NEEDED.map(str::to_owned));
    }
}

/// A response as somebody gets it who may see these namespaces. A flow that cannot be read becomes a
/// lost one: nobody can say what is in it.
pub(super) fn response(message: Bytes, namespaces: &[String]) -> Bytes {
    let envelope = scan(&message);
    if envelope.is_ok_and(|envelope| !envelope.is_flow) {
        return message;
    }
    let decoded = (message.len() <= LONGEST_FLOW)
        .then(|| GetFlowsResponse::decode(&*message).ok())
        .flatten();
    let response = match decoded {
        Some(mut response) => {
            if let Some(ResponseTypes::Flow(flow)) = &mut response.response_types {
                redact(flow, namespaces);
            }
            response
        }
        None => GetFlowsResponse {
            response_types: Some(ResponseTypes::LostEvents(LostEvent {
                num_events_lost: 1,
                ..LostEvent::default()
            })),
            node_name: envelope.map_or("", |it| it.node_name).to_owned(),
            time: envelope.ok().and_then(|it| it.time).map(Into::into),
        },
    };
    response.encode_to_vec().into()
}

fn redact(flow: &mut Flow, namespaces: &[String]) {
    let is_seen = |end: &Option<Endpoint>| end.as_ref().is_none_or(|it| may_see(it, namespaces));
    let (sees_source, sees_destination) = (is_seen(&flow.source), is_seen(&flow.destination));
    if !sees_source {
        redact_end(&mut flow.source);
        redact_service(&mut flow.source_service, namespaces);
        flow.source_names.clear();
        flow.egress_allowed_by.clear();
        flow.egress_denied_by.clear();
    }
    if !sees_destination {
        redact_end(&mut flow.destination);
        redact_service(&mut flow.destination_service, namespaces);
        flow.destination_names.clear();
        flow.ingress_allowed_by.clear();
        flow.ingress_denied_by.clear();
    }
    if sees_source && sees_destination {
        return;
    }
    // Of whichever end: the process, its cgroup and socket, what policies wanted to have logged. The
    // outer headers of a tunnel have the nodes' addresses.
    flow.extensions = None;
    flow.cgroup_id = 0;
    flow.socket_cookie = 0;
    flow.policy_log.clear();
    flow.tunnel = None;
    // Policies of the end that is seen may be those of others than its owners.
    for policies in [
        &mut flow.egress_allowed_by,
        &mut flow.egress_denied_by,
        &mut flow.ingress_allowed_by,
        &mut flow.ingress_denied_by,
    ] {
        policies.retain(|policy: &Policy| is_one_of(&policy.namespace, namespaces));
    }
}

fn is_one_of(namespace: &str, namespaces: &[String]) -> bool {
    namespaces.iter().any(|it| it == namespace)
}

fn may_see(end: &Endpoint, namespaces: &[String]) -> bool {
    if !end.namespace.is_empty() {
        return is_one_of(&end.namespace, namespaces);
    }
    let is_stranger = STRANGERS_IDENTITIES.contains(&end.identity)
        || end.labels.iter().any(|it| STRANGERS.contains(&&**it));
    is_stranger && end.pod_name.is_empty() && end.workloads.is_empty()
}

/// What remains of an end is where it is, and what kind of an end it is.
fn redact_end(end: &mut Option<Endpoint>) {
    if let Some(end) = end {
        let old = std::mem::take(end);
        end.cluster_name = old.cluster_name;
        end.labels = old.labels;
        end.labels.retain(|label| label.starts_with(RESERVED));
        if old.identity < FIRST_OF_PODS {
            end.identity = old.identity;
        }
    }
}

fn redact_service(service: &mut Option<Service>, namespaces: &[String]) {
    *service = service
        .take()
        .filter(|service| is_one_of(&service.namespace, namespaces));
}

#[cfg(test)]
mod tests {
    use flow_api::flow::{Dns, Layer7, Tunnel, Verdict, Workload, layer7};
    use flow_api::flow::{Ip, layer4};

    use super::*;

    fn pod(namespace: &str, name: &str) -> Endpoint {
        Endpoint {
            id: 7,
            identity: 5000,
            cluster_name: "default".into(),
            namespace: namespace.into(),
            pod_name: name.into(),
            labels: vec![format!("k8s:app={name}"), "reserved:init".into()],
            workloads: vec![Workload {
                name: name.into(),
                kind: "Deployment".into(),
            }],
        }
    }

    fn world() -> Endpoint {
        Endpoint {
            identity: 2,
            labels: vec!["reserved:world".into()],
            ..Endpoint::default()
        }
    }

    fn policy(namespace: &str, name: &str) -> Policy {
        Policy {
            name: name.into(),
            namespace: namespace.into(),
            ..Policy::default()
        }
    }

    fn service(namespace: &str, name: &str) -> Option<Service> {
        Some(Service {
            name: name.into(),
            namespace: namespace.into(),
        })
    }

    /// With all that there is to hide.
    fn flow(source: Endpoint, destination: Endpoint) -> Flow {
        Flow {
            uuid: "1".into(),
            verdict: Verdict::Dropped.into(),
            ip: Some(Ip {
                source: "10.0.0.1".into(),
                destination: "10.0.0.2".into(),
                ..Ip::default()
            }),
            l4: Some(flow_api::flow::Layer4 {
                protocol: Some(layer4::Protocol::Tcp(flow_api::flow::Tcp {
                    destination_port: 443,
                    ..flow_api::flow::Tcp::default()
                })),
            }),
            l7: Some(Layer7 {
                record: Some(layer7::Record::Dns(Dns {
                    query: "db.bank.svc.".into(),
                    ..Dns::default()
                })),
                ..Layer7::default()
            }),
            source: Some(source),
            destination: Some(destination),
            source_names: vec!["name-of-source".into()],
            destination_names: vec!["name-of-destination".into()],
            source_service: service("bank", "service-of-source"),
            destination_service: service("bank", "service-of-destination"),
            egress_denied_by: vec![policy("bank", "egress")],
            ingress_denied_by: vec![policy("shop", "ingress"), policy("", "of-the-cluster")],
            policy_log: vec!["logged".into()],
            cgroup_id: 5,
            socket_cookie: 6,
            tunnel: Some(Tunnel::default()),
            extensions: Some(prost_types::Any::default()),
            ..Flow::default()
        }
    }

    fn seen(mut flow: Flow) -> Flow {
        redact(&mut flow, &["shop".to_owned()]);
        flow
    }

    #[test]
    fn flows_within_the_namespaces_and_with_what_is_no_pod_are_whole() {
        let apiserver = Endpoint {
            labels: vec!["reserved:kube-apiserver".into()],
            ..Endpoint::default()
        };
        for other in [pod("shop", "db"), world(), apiserver] {
            let whole = flow(pod("shop", "web"), other);
            assert_eq!(seen(whole.clone()), whole);
        }
    }

    #[test]
    fn of_an_end_elsewhere_remains_what_its_packets_have() {
        let whole = flow(pod("bank", "vault"), pod("shop", "web"));
        let expected = Flow {
            source: Some(Endpoint {
                cluster_name: "default".into(),
                labels: vec!["reserved:init".into()],
                ..Endpoint::default()
            }),
            source_names: vec![],
            source_service: None,
            egress_denied_by: vec![],
            ingress_denied_by: vec![policy("shop", "ingress")],
            policy_log: vec![],
            cgroup_id: 0,
            socket_cookie: 0,
            tunnel: None,
            extensions: None,
            ..whole.clone()
        };
        assert_eq!(seen(whole), expected);

        let mut whole = flow(pod("shop", "web"), pod("bank", "vault"));
        whole.destination_service = service("shop", "front");
        let seen = seen(whole);
        assert_eq!(seen.source, Some(pod("shop", "web")));
        assert_eq!(seen.source_names, ["name-of-source"]);
        assert_eq!(seen.destination.unwrap().pod_name, "");
        assert_eq!(seen.destination_service, service("shop", "front"));
        assert!(seen.destination_names.is_empty() && seen.ingress_denied_by.is_empty());
    }

    #[test]
    fn an_end_of_which_too_little_is_known_is_not_shown() {
        let unknown = Endpoint {
            pod_name: "vault".into(),
            identity: 5000,
            ..Endpoint::default()
        };
        let disguised = Endpoint {
            pod_name: "vault".into(),
            ..world()
        };
        let elsewhere = Endpoint {
            namespace: "bank".into(),
            ..world()
        };
        for end in [unknown, disguised, elsewhere, Endpoint::default()] {
            let seen = seen(flow(pod("shop", "web"), end));
            let destination = seen.destination.unwrap();
            assert_eq!((&*destination.pod_name, &*destination.namespace), ("", ""));
            assert!(seen.destination_names.is_empty());
        }
    }

    #[test]
    fn what_is_no_flow_passes_and_what_cannot_be_read_is_lost() {
        let namespaces = ["shop".to_owned()];
        let lost = GetFlowsResponse {
            response_types: Some(ResponseTypes::LostEvents(LostEvent::default())),
            ..GetFlowsResponse::default()
        };
        let bytes = Bytes::from(lost.encode_to_vec());
        assert_eq!(response(bytes.clone(), &namespaces), bytes);

        let mut long = flow(pod("shop", "web"), world());
        long.uuid = "x".repeat(LONGEST_FLOW);
        let long = GetFlowsResponse {
            response_types: Some(ResponseTypes::Flow(long)),
            node_name: "node-1".into(),
            time: Some(prost_types::Timestamp::default()),
        };
        // A flow with a field that ends too late.
        let broken = [&[0x0a, 2, 0x0a, 9], &long.encode_to_vec()[..0]].concat();
        for (bytes, node_name) in [(long.encode_to_vec(), "node-1"), (broken, "")] {
            let told = GetFlowsResponse::decode(response(bytes.into(), &namespaces)).unwrap();
            assert_eq!(told.node_name, node_name);
            let Some(ResponseTypes::LostEvents(lost)) = told.response_types else {
                panic!("it is lost: {told:?}");
            };
            assert_eq!(lost.num_events_lost, 1);
        }
    }

    #[test]
    fn a_mask_gets_what_is_needed_to_tell_who_may_be_seen() {
        let mut mask = FieldMask {
            paths: vec!["destination".into()],
        };
        complete(Some(&mut mask));
        assert_eq!(mask.paths.len(), 1 + NEEDED.len());
        let mut everything = FieldMask::default();
        complete(Some(&mut everything));
        assert!(everything.paths.is_empty());
    }
}
