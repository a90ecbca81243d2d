use serde_json::{Value, json};

use super::*;

const WEB: &str = "10.0.1.1";

fn pod(name: &str, change: impl FnOnce(&mut Value)) -> objects::Pod {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "shop", "labels": {"app": "web"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": "n1", "serviceAccountName": "web"},
        "status": {
            "phase": "Running", "podIP": WEB, "podIPs": [{"ip": WEB}, {"ip": "fd00::1"}],
            "startTime": "2026-01-01T00:00:01Z",
        },
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn namespace(labels: Value) -> objects::Namespace {
    serde_json::from_value(json!({"metadata": {"name": "shop", "labels": labels}})).unwrap()
}

/// Puts a pod there, and tells nothing else.
fn put(pods: &mut Pods, name: &str, change: impl FnOnce(&mut Value)) {
    pods.put_pod(&format!("shop/{name}").into(), &pod(name, change));
}

/// Who has which address after what is told now, by what was told before.
#[derive(Default)]
struct Told(std::collections::BTreeMap<Box<str>, EndpointFact>);

impl Told {
    fn hear(&mut self, pods: &mut Pods) -> usize {
        let [_, (_, changes), _] = pods.take_changes();
        let told = changes.len();
        for change in changes {
            match change {
                Change::Put(key, Fact::Endpoint(fact)) => drop(self.0.insert(key, fact)),
                Change::Put(..) => panic!("no endpoint"),
                Change::Remove(key) => drop(self.0.remove(&key)),
            }
        }
        told
    }

    fn owner(&self, ip: &str) -> Vec<&str> {
        let ip: IpAddr = ip.parse().unwrap();
        let owners = self.0.values().filter(|fact| fact.ips.contains(&ip));
        owners.map(|fact| fact.pod.as_str()).collect()
    }
}

#[test]
fn a_pod_has_its_labels_those_of_its_namespace_and_its_account() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    pods.put_namespace(&"shop".into(), &namespace(json!({"team": "a"})));
    put(&mut pods, "web", |_| {});
    told.hear(&mut pods);
    let fact = &told.0["shop/web"];
    assert_eq!(
        fact.labels,
        [
            "k8s:app=web",
            "k8s:io.cilium.k8s.namespace.labels.team=a",
            "k8s:io.cilium.k8s.policy.serviceaccount=web"
        ]
    );
    assert_eq!(fact.node.as_deref(), Some("n1"));
    assert_eq!(fact.ips.len(), 2);
}

#[test]
fn labels_of_a_namespace_change_those_of_its_pods() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "web", |_| {});
    told.hear(&mut pods);
    pods.put_namespace(&"shop".into(), &namespace(json!({"team": "b"})));
    assert_eq!(told.hear(&mut pods), 1);
    assert!(
        told.0["shop/web"]
            .labels
            .iter()
            .any(|it| it.ends_with("labels.team=b"))
    );
    pods.remove(Resource::Namespaces, "shop");
    told.hear(&mut pods);
    assert_eq!(told.0["shop/web"].labels.len(), 2);
}

#[test]
fn a_pod_on_the_hosts_network_has_no_address_of_its_own() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "web", |pod| {
        pod["spec"]["hostNetwork"] = json!(true)
    });
    told.hear(&mut pods);
    assert_eq!(told.0["shop/web"].ips, [] as [IpAddr; 0]);
}

#[test]
fn a_pod_that_ended_is_nobody() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "web", |_| {});
    told.hear(&mut pods);
    put(&mut pods, "web", |pod| {
        pod["status"]["phase"] = json!("Succeeded")
    });
    told.hear(&mut pods);
    assert!(told.0.is_empty());
}

#[test]
fn a_pod_that_is_being_deleted_keeps_its_address_until_it_is_gone() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    let deleted = |pod: &mut Value| {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
    };
    put(&mut pods, "web", deleted);
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["web"]);
    pods.remove(Resource::Pods, "shop/web");
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), [] as [&str; 0]);
}

#[test]
fn an_address_that_two_claim_belongs_to_the_younger() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    let younger = |pod: &mut Value| pod["status"]["startTime"] = json!("2026-01-01T00:00:02Z");
    put(&mut pods, "a-young", younger);
    put(&mut pods, "old", |_| {});
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["a-young"]);
    pods.remove(Resource::Pods, "shop/a-young");
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["old"]);
    put(&mut pods, "new", younger);
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["new"]);
    pods.remove(Resource::Pods, "shop/old");
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["new"]);
}

#[test]
fn one_that_stays_has_the_address_rather_than_a_younger_one_that_goes() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "going", |pod| {
        pod["status"]["startTime"] = json!("2026-01-01T00:00:02Z");
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
    });
    put(&mut pods, "staying", |_| {});
    told.hear(&mut pods);
    assert_eq!(told.owner(WEB), ["staying"]);
}

#[test]
fn what_nobody_reads_is_no_change() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "web", |_| {});
    assert_eq!(told.hear(&mut pods), 1);
    put(&mut pods, "web", |pod| {
        pod["status"]["conditions"] = json!([])
    });
    assert_eq!(told.hear(&mut pods), 0);
}

#[test]
fn ciliums_numbers_and_labels_are_believed() {
    let (mut pods, mut told) = (Pods::default(), Told::default());
    put(&mut pods, "web", |_| {});
    let endpoint = |labels: Value| -> objects::CiliumEndpoint {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "status": {"id": 1234, "identity": {"id": 4306, "labels": labels}},
        }))
        .unwrap()
    };
    let identity: objects::CiliumIdentity = serde_json::from_value(json!({
        "metadata": {"name": "4306"},
        "security-labels": {
            "k8s:app": "web", "k8s:io.cilium.k8s.policy.cluster": "east",
            "k8s:io.kubernetes.pod.namespace": "shop",
        },
    }))
    .unwrap();
    pods.put_identity(&"4306".into(), &identity);
    // Its labels come from the identity where the endpoint names none.
    for labels in [
        json!(null),
        json!(["k8s:app=web", "k8s:io.cilium.k8s.policy.cluster=east"]),
    ] {
        pods.put_endpoint(&"shop/web".into(), &endpoint(labels));
        told.hear(&mut pods);
        let fact = &told.0["shop/web"];
        assert_eq!((fact.id, fact.identity), (Some(1234), Some(4306)));
        assert_eq!(fact.labels, ["k8s:app=web"]);
        assert_eq!(
            fact.cluster, "",
            "this one, by the name that the agent has for it"
        );
    }
    pods.remove(Resource::CiliumEndpoints, "shop/web");
    told.hear(&mut pods);
    assert_eq!(told.0["shop/web"].identity, None);
}

#[test]
fn nothing_is_left_of_what_is_gone() {
    let mut pods = Pods::default();
    for number in 0..100 {
        put(&mut pods, &format!("web-{number}"), |_| {});
    }
    pods.begin(Resource::Pods);
    pods.end(Resource::Pods);
    let [_, (_, changes), _] = pods.take_changes();
    assert_eq!(changes.len(), 100);
    assert_eq!(pods.pods.len(), 0);
    assert!(pods.claims.is_empty());
}
