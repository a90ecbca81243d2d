//! What is told of what changes.

use std::net::Ipv4Addr;

use super::*;
use crate::{
    enrich::{
        Inventory,
        facts::{Change, EndpointFact, Fact, Key, Provider, ServiceFact},
        news::Telling,
    },
    ring::Read,
};

const NODE: &str = "node-1";

struct Told {
    directory: Directory,
    events: Arc<AgentEvents>,
    counters: Arc<Counters>,
    position: u64,
}

impl Told {
    fn new() -> Self {
        let directory = Directory::new(NODE, Inventory::default());
        Self::of(directory)
    }

    fn of(directory: Directory) -> Self {
        let events = Arc::new(AgentEvents::default());
        let counters = Arc::new(Counters::default());
        events.start(&directory, Arc::clone(&counters));
        Self {
            directory,
            events,
            counters,
            position: 0,
        }
    }

    fn put(&self, provider: Provider, key: &str, fact: Fact) {
        let key = Key::from(key);
        self.directory.apply(provider, [Change::Put(key, fact)]);
    }

    fn remove(&self, provider: Provider, key: &str) {
        let key = Key::from(key);
        self.directory.apply(provider, [Change::Remove(key)]);
    }

    /// What was told since the last look, as a line each; numbers that are computed are left out.
    fn news(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Read::Batch(batch) = self.events.ring().read(self.position) {
            for slot in batch.from(self.position) {
                if let Event::Agent(event) = &slot.event {
                    lines.push(line(&event.message));
                }
            }
            self.position = batch.end();
        }
        lines
    }
}

#[expect(deprecated, reason = "told all the same")]
fn line(event: &AgentEvent) -> String {
    let kind = event.r#type().as_str_name();
    match event.notification.as_ref().unwrap() {
        Notification::EndpointUpdate(it) => format!("{kind} {}/{}", it.namespace, it.pod_name),
        Notification::EndpointRegenerate(it) => format!("{kind} {}", it.labels.len()),
        Notification::IpcacheUpdate(it) => {
            let before = it.old_identity.map(|_| " before").unwrap_or_default();
            format!(
                "{kind} {} {}/{}{before}",
                it.cidr, it.namespace, it.pod_name
            )
        }
        Notification::ServiceUpsert(it) => {
            format!(
                "{kind} {}/{} {}",
                it.namespace,
                it.name,
                it.backend_addresses.len()
            )
        }
        _ => kind.to_owned(),
    }
}

fn pod(name: &str, ip: [u8; 4], app: &str, node: &str) -> Fact {
    Fact::Endpoint(EndpointFact {
        ips: vec![ip.into()],
        namespace: "shop".to_owned(),
        pod: name.to_owned(),
        labels: vec![format!("k8s:app={app}")],
        node: Some(node.to_owned()),
        ..EndpointFact::default()
    })
}

#[test]
fn the_start_is_told_and_the_endpoints_that_there_are() {
    let directory = Directory::new(NODE, Inventory::default());
    let there = Change::Put("web".into(), pod("web-0", [10, 0, 0, 1], "web", NODE));
    directory.apply(Provider::Pods, [there]);
    let mut told = Told::of(directory);
    assert_eq!(
        told.news(),
        ["AGENT_STARTED", "ENDPOINT_CREATED shop/web-0"]
    );
}

#[test]
fn an_endpoint_here_comes_changes_and_goes_and_so_does_its_address() {
    let mut told = Told::new();
    told.put(
        Provider::Pods,
        "web",
        pod("web-0", [10, 0, 0, 1], "web", NODE),
    );
    told.put(
        Provider::Pods,
        "web",
        pod("web-0", [10, 0, 0, 1], "shop", NODE),
    );
    told.put(
        Provider::Pods,
        "web",
        pod("web-0", [10, 0, 0, 1], "shop", NODE),
    );
    // Somebody else knows it, too: that is no other endpoint.
    told.put(
        Provider::Inventory,
        "web",
        pod("web-0", [10, 0, 0, 1], "shop", NODE),
    );
    told.remove(Provider::Inventory, "web");
    told.remove(Provider::Pods, "web");
    assert_eq!(
        told.news(),
        [
            "AGENT_STARTED",
            "ENDPOINT_CREATED shop/web-0",
            "IPCACHE_UPSERTED 10.0.0.1/32 shop/web-0",
            "ENDPOINT_REGENERATE_SUCCESS 3",
            "IPCACHE_UPSERTED 10.0.0.1/32 shop/web-0 before",
            "ENDPOINT_DELETED shop/web-0",
            "IPCACHE_DELETED 10.0.0.1/32 shop/web-0",
        ]
    );
}

#[test]
fn elsewhere_only_addresses_are_told_and_who_had_them_before() {
    let mut told = Told::new();
    told.put(
        Provider::Pods,
        "a",
        pod("web-0", [10, 0, 0, 1], "web", "node-2"),
    );
    told.put(
        Provider::Pods,
        "a",
        pod("web-0", [10, 0, 0, 2], "web", "node-2"),
    );
    told.put(
        Provider::Pods,
        "b",
        pod("db-0", [10, 0, 0, 1], "db", "node-3"),
    );
    told.put(
        Provider::Inventory,
        "c",
        pod("new-0", [10, 0, 0, 1], "web", "node-3"),
    );
    assert_eq!(
        told.news()[1..],
        [
            "IPCACHE_UPSERTED 10.0.0.1/32 shop/web-0",
            "IPCACHE_DELETED 10.0.0.1/32 shop/web-0",
            "IPCACHE_UPSERTED 10.0.0.2/32 shop/web-0",
            "IPCACHE_UPSERTED 10.0.0.1/32 shop/db-0",
            "IPCACHE_UPSERTED 10.0.0.1/32 shop/new-0 before",
        ]
    );
}

#[test]
fn services_are_told_with_their_backends_and_their_end_by_the_same_number() {
    let mut told = Told::new();
    let port = |last, port| Port {
        ip: [10, 96, 0, last].into(),
        protocol: 6,
        port,
    };
    let service = |backends| {
        Fact::Service(ServiceFact {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            frontends: vec![port(1, 80)],
            backends,
            ..ServiceFact::default()
        })
    };
    told.put(Provider::Services, "web", service(vec![port(7, 8080)]));
    told.put(
        Provider::Services,
        "web",
        service(vec![port(7, 8080), port(8, 8080)]),
    );
    told.remove(Provider::Services, "web");
    assert_eq!(
        told.news()[1..],
        [
            "SERVICE_UPSERTED shop/web 1",
            "SERVICE_UPSERTED shop/web 2",
            "SERVICE_DELETED",
        ]
    );
    assert_eq!(service_id(port(1, 80)), service_id(port(1, 80)));
    assert_ne!(service_id(port(1, 80)), service_id(port(1, 81)));
}

#[test]
fn a_first_list_is_no_news_but_for_the_endpoints_here() {
    let mut told = Told::new();
    let pods = [
        ("here", [10, 0, 0, 1], NODE),
        ("there", [10, 0, 0, 2], "node-2"),
    ];
    let pods = pods.map(|(name, ip, node)| Change::Put(name.into(), pod(name, ip, "web", node)));
    told.directory
        .apply_telling(Provider::Pods, pods, Telling::Endpoints);
    assert_eq!(told.news()[1..], ["ENDPOINT_CREATED shop/here"]);
}

#[test]
fn a_change_of_very_many_addresses_is_told_in_part_and_the_rest_counted() {
    let mut told = Told::new();
    let pods = (0..10_000_u32).map(|number| {
        let ip = Ipv4Addr::from(0x0a00_0000 + number).octets();
        let name = format!("pod-{number}");
        Change::Put(name.as_str().into(), pod(&name, ip, "web", "node-2"))
    });
    told.directory.apply(Provider::Pods, pods);
    told.position = told.events.ring().oldest();
    assert_eq!(told.news().len(), CAPACITY);
    let counts = told.counters.stages();
    let left_out = counts.iter().find(|it| it.what == "agent_events_left_out");
    assert_eq!(left_out.unwrap().count, 10_000 - CAPACITY as u64);
}
