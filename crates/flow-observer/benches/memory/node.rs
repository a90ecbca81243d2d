//! A node of a cluster with 2,000 pods.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use flow_observer::{
    assemble::Assembler,
    enrich::{Directory, Inventory, inventory},
    source::{HostFacts, LocalDevices, Namespace},
};

pub(crate) const PODS: usize = 2_000;
const WORKLOADS: usize = 320;
const NAMESPACES: usize = 20;
/// Devices, from index 2 on.
pub(crate) const DEVICES: u32 = 100;

pub(crate) fn pod(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a01_0000 + (number % PODS) as u32)
}

/// An address of nobody in the cluster.
pub(crate) fn outside(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 + (number % 500) as u32)
}

/// What drops are called, and whose.
struct Facts;

impl HostFacts for Facts {
    fn drop_reason(&mut self, _reason: u32) -> Arc<str> {
        "NETFILTER_DROP".into()
    }

    fn function(&mut self, _address: u64) -> Option<Arc<str>> {
        Some("nf_hook_slow".into())
    }

    fn namespace(&mut self, _netns_cookie: u64) -> Option<Arc<Namespace>> {
        Some(Arc::default())
    }
}

pub(crate) fn assembler() -> Assembler {
    let names = (2..2 + DEVICES).map(|index| (index, format!("veth{index:08x}").into()));
    let devices = LocalDevices {
        names: names.collect(),
        ..LocalDevices::default()
    };
    let inventory = Inventory {
        endpoints: (0..PODS).map(endpoint).collect(),
        ..Inventory::default()
    };
    Assembler::new(
        Box::new(Facts),
        Arc::new(Directory::new("node-1", inventory)),
        Arc::new(ArcSwap::from_pointee(devices)),
        Arc::default(),
    )
}

fn endpoint(number: usize) -> inventory::Endpoint {
    let workload = number % WORKLOADS;
    let label = |key: &str, value: String| (key.to_owned(), value);
    inventory::Endpoint {
        ips: vec![IpAddr::V4(pod(number))],
        namespace: format!("namespace-{}", workload % NAMESPACES),
        pod: format!("workload-{workload}-{number}"),
        labels: BTreeMap::from([
            label("app", format!("workload-{workload}")),
            label("tier", "backend".to_owned()),
            label("team", format!("team-{}", workload % 7)),
        ]),
        node: Some("node-1".to_owned()),
        workload: Some(inventory::Workload {
            kind: "Deployment".to_owned(),
            name: format!("workload-{workload}"),
        }),
        ..inventory::Endpoint::default()
    }
}
