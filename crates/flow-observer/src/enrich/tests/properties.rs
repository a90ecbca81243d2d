//! Whatever is said in whatever order, what comes out is what comes out of putting everything
//! together anew.

use std::{net::IpAddr, sync::Arc};

use proptest::{prelude::*, sample::select};

use super::{
    super::{
        Directory, Inventory, Snapshot,
        facts::{
            Change, EndpointFact, Fact, IdentityFact, Key, NamesFact, NodeFact, NodePort, Port,
            PrefixFact, Provider, ServiceFact,
        },
        identity,
    },
    oracle::{Oracle, Told},
};
use crate::record::{Service, Workload};

const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.3",
    "10.0.1.1",
    "192.0.2.1",
    "fd00::1",
    "fd00::2",
    "2001:db8::1",
];
const PROVIDERS: [Provider; 3] = [Provider::Nodes, Provider::Pods, Provider::Inventory];

/// So few numbers that sets of labels come to each other's now and then.
fn few(labels: &[String], salt: u8) -> u32 {
    256 + identity::of_labels(labels, salt) % 31
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Apply(Provider, Vec<Change>),
    Replace(Provider, Vec<(Key, Fact)>),
    OwnAddresses(Vec<IpAddr>),
}

fn ips() -> impl Strategy<Value = Vec<IpAddr>> {
    let ip = select(&ADDRESSES[..]).prop_map(|it| it.parse().unwrap());
    prop::collection::vec(ip, 0..3)
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let port = (select(&ADDRESSES[..3]), select(vec![80, 443]));
    let port = port.prop_map(|(ip, port)| Port {
        ip: ip.parse().unwrap(),
        protocol: 6,
        port,
    });
    prop::collection::vec(port, 0..3)
}

fn at_nodes(port: u16) -> NodePort {
    NodePort { protocol: 6, port }
}

fn endpoint() -> impl Strategy<Value = Fact> {
    let labels = select(vec![
        vec![],
        vec!["k8s:app=a"],
        vec!["k8s:app=b", "k8s:pod-template-hash=1"],
        vec!["k8s:app=b", "k8s:pod-template-hash=2"],
        vec!["k8s:tier=x", "k8s:app=c"],
        vec!["k8s:app=d"],
        vec!["k8s:app=e"],
        vec!["reserved:health"],
    ]);
    let who = (
        select(vec!["", "shop", "bank"]),
        select(vec!["", "p-0", "p-1"]),
    );
    let node = select(vec![None, Some("n1"), Some("n2")]);
    let told = (
        prop::option::weighted(0.2, 1_u16..3),
        prop::option::weighted(0.2, 300_u32..303),
    );
    let owned = any::<bool>();
    (ips(), who, labels, node, told, owned).prop_map(
        |(ips, (namespace, pod), labels, node, (id, identity), owned)| {
            Fact::Endpoint(EndpointFact {
                ips,
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                labels: labels.into_iter().map(str::to_owned).collect(),
                node: node.map(str::to_owned),
                workload: owned.then(|| Workload {
                    kind: "Deployment".to_owned(),
                    name: "p".to_owned(),
                }),
                id,
                identity,
                ..EndpointFact::default()
            })
        },
    )
}

fn node() -> impl Strategy<Value = Fact> {
    let labels = prop::collection::btree_set(select(vec!["a=1", "b=2"]), 0..3);
    (select(vec!["n1", "n2"]), ips(), labels, any::<bool>()).prop_map(
        |(name, ips, labels, is_api_server)| {
            Fact::Node(NodeFact {
                name: name.to_owned(),
                ips,
                labels: labels.into_iter().map(str::to_owned).collect(),
                is_api_server,
                ..NodeFact::default()
            })
        },
    )
}

fn service() -> impl Strategy<Value = Fact> {
    let name = select(vec!["web", "db"]);
    let node_ports = prop::collection::vec(select(vec![80, 443]).prop_map(at_nodes), 0..2);
    (name, ports(), ports(), node_ports).prop_map(|(name, frontends, backends, node_ports)| {
        Fact::Service(ServiceFact {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            frontends,
            backends,
            node_ports,
        })
    })
}

fn prefix() -> impl Strategy<Value = Fact> {
    let ranges = select(vec![
        ("10.0.0.0", 23),
        ("10.0.0.2", 31),
        ("0.0.0.0", 0),
        ("fd00::", 8),
    ]);
    (ranges, any::<bool>()).prop_map(|((address, len), named)| {
        Fact::Prefix(PrefixFact {
            address: address.parse().unwrap(),
            len,
            labels: named
                .then(|| "cidrgroup:name=x".to_owned())
                .into_iter()
                .collect(),
        })
    })
}

fn names() -> impl Strategy<Value = Fact> {
    let names = prop::collection::btree_set(select(vec!["a.example", "B.example", "c"]), 1..3);
    (ips(), names).prop_map(|(ips, names)| {
        Fact::Names(NamesFact {
            ips,
            names: names.into_iter().map(str::to_owned).collect(),
        })
    })
}

/// Numbers that sets come to by themselves as well.
fn identity() -> impl Strategy<Value = Fact> {
    const CLUSTER: &str = "k8s:io.cilium.k8s.policy.cluster=default";
    const SHOP: &str = "k8s:io.kubernetes.pod.namespace=shop";
    let labels = select(vec![
        vec!["k8s:app=a", CLUSTER],
        vec![CLUSTER, "k8s:app=b"],
        vec!["k8s:app=d", CLUSTER, SHOP],
        vec!["k8s:app=e", CLUSTER, SHOP],
    ]);
    (256_u32..270, labels).prop_map(|(number, labels)| {
        Fact::Identity(IdentityFact {
            number,
            labels: labels.into_iter().map(str::to_owned).collect(),
        })
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        5 => endpoint(),
        2 => node(),
        2 => service(),
        1 => prefix(),
        1 => names(),
        2 => identity(),
    ]
}

fn key() -> impl Strategy<Value = Key> {
    (0..10_u8).prop_map(|it| it.to_string().into())
}

fn step() -> impl Strategy<Value = Step> {
    let provider = || select(&PROVIDERS[..]);
    let change = prop_oneof![
        3 => (key(), fact()).prop_map(|(key, fact)| Change::Put(key, fact)),
        1 => key().prop_map(Change::Remove),
    ];
    prop_oneof![
        6 => (provider(), prop::collection::vec(change, 0..5))
            .prop_map(|(provider, changes)| Step::Apply(provider, changes)),
        1 => (provider(), prop::collection::btree_map(key(), fact(), 0..8))
            .prop_map(|(provider, facts)| Step::Replace(provider, facts.into_iter().collect())),
        1 => ips().prop_map(Step::OwnAddresses),
    ]
}

impl Oracle {
    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Apply(provider, changes) => {
                for change in changes {
                    match change {
                        Change::Put(key, fact) => drop(self.facts.insert((provider, key), fact)),
                        Change::Remove(key) => drop(self.facts.remove(&(provider, key))),
                    }
                }
            }
            Step::Replace(provider, facts) => {
                self.facts.retain(|(of, _), _| *of != provider);
                let facts = facts.into_iter().map(|(key, fact)| ((provider, key), fact));
                self.facts.extend(facts);
            }
            Step::OwnAddresses(addresses) => self.own_addresses = addresses,
        }
    }
}

fn take(directory: &Directory, step: Step) {
    match step {
        Step::Apply(provider, changes) => directory.apply(provider, changes),
        Step::Replace(provider, facts) => directory.replace(provider, facts),
        Step::OwnAddresses(addresses) => directory.set_own_addresses(&addresses),
    }
}

fn directory() -> Directory {
    Directory::new("n1", Inventory::default()).numbered_by(few)
}

fn addresses() -> impl Iterator<Item = IpAddr> {
    ADDRESSES.iter().map(|it| it.parse().unwrap())
}

fn compare(snapshot: &Snapshot, oracle: &Oracle) -> Result<(), TestCaseError> {
    for ip in addresses() {
        prop_assert_eq!(Told::by(snapshot, ip), oracle.told(ip, few), "{}", ip);
        for number in [80, 443] {
            let port = Port {
                ip,
                protocol: 6,
                port: number,
            };
            let services: Vec<Service> = oracle.services(|it| it.frontends.contains(&port));
            let frontend = snapshot.frontend(port).map(|it| Service::clone(it));
            prop_assert_eq!(frontend.as_ref(), services.first());
            let backends = snapshot.backends(port).iter().map(|it| Service::clone(it));
            let behind = oracle.services(|it| it.backends.contains(&port));
            prop_assert_eq!(backends.collect::<Vec<_>>(), behind);
        }
    }
    for port in [80, 443].map(at_nodes) {
        let services = oracle.services(|it| it.node_ports.contains(&port));
        let told = snapshot.node_port(port).map(|it| Service::clone(it));
        prop_assert_eq!(told.as_ref(), services.first());
    }
    prop_assert_eq!(snapshot.own_labels().to_vec(), oracle.own_labels());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn step_by_step_is_the_same_as_everything_anew(steps in prop::collection::vec(step(), 1..25)) {
        let (directory, mut oracle) = (directory(), Oracle::default());
        let mut before = (directory.snapshot(), oracle.clone());
        for step in steps {
            oracle.take(&step);
            take(&directory, step);
            compare(&directory.snapshot(), &oracle)?;
            // Whoever still has the one before sees what it saw.
            compare(&before.0, &before.1)?;
            before = (directory.snapshot(), oracle.clone());
        }
    }

    #[test]
    fn nodes_that_know_the_same_give_the_same_identities(
        facts in prop::collection::btree_map(key(), endpoint(), 1..10),
        order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
        earlier in prop::collection::vec(step(), 0..8),
    ) {
        let (one, other) = (directory(), directory());
        one.replace(Provider::Pods, facts.clone());
        // The other one knew other things before, and heard of these one by one.
        for step in earlier {
            take(&other, step);
        }
        let facts: Vec<_> = facts.into_iter().collect();
        for (key, fact) in order.iter().filter_map(|&it| facts.get(it).cloned()) {
            other.apply(Provider::Pods, [Change::Put(key, fact)]);
        }
        for provider in PROVIDERS {
            let kept = if provider == Provider::Pods { facts.clone() } else { Vec::new() };
            other.replace(provider, kept);
        }
        other.set_own_addresses(&[]);
        for ip in addresses() {
            prop_assert_eq!(
                Told::by(&one.snapshot(), ip),
                Told::by(&other.snapshot(), ip)
            );
        }
    }

    #[test]
    fn what_is_told_again_stays_where_it_is(
        facts in prop::collection::btree_map(key(), fact(), 1..10),
    ) {
        let directory = directory();
        directory.replace(Provider::Pods, facts.clone());
        let before = directory.snapshot();
        directory.replace(Provider::Pods, facts.clone());
        directory.apply(
            Provider::Pods,
            facts.into_iter().map(|(key, fact)| Change::Put(key, fact)),
        );
        prop_assert!(Arc::ptr_eq(&before, &directory.snapshot()));
    }
}
