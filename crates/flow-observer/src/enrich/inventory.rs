//! The inventory file: who is behind which address, where no cluster tells.
//!
//! ```yaml
//! nodes:                        # what the Peer service announces
//!   - name: node-1
//!     address: 192.0.2.11:4244  # or unix:///run/palomar/observer.sock
//!     ips: [192.0.2.11, "2001:db8::11"]
//! endpoints:
//!   - ips: [10.1.1.10, "fd00:1::10"]
//!     namespace: shop
//!     pod: web-0
//!     labels: { app: web }
//!     node: node-1              # where it runs; without it, here
//!     workload: { kind: Deployment, name: web }
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::facts::{EndpointFact, Fact, Key, NodeFact};
use crate::record;

/// An inventory of a million endpoints takes about this much.
const MAX_BYTES: u64 = 256 << 20;

/// What the file holds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The nodes that there are.
    #[serde(default)]
    pub nodes: Vec<Node>,
    /// The workloads that there are.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where its agent listens; empty when relays cannot reach it.
    #[serde(default)]
    pub address: String,
    /// Its own addresses.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
}

/// A workload.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its addresses.
    pub ips: Vec<IpAddr>,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// Its pod.
    #[serde(default)]
    pub pod: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The node it runs on; the agent's own when left out.
    #[serde(default)]
    pub node: Option<String>,
    /// What owns it.
    #[serde(default)]
    pub workload: Option<Workload>,
}

/// What owns a workload.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// As in `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Why the inventory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InventoryError {
    /// Missing, or not readable.
    #[error("cannot read inventory {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Larger than any inventory.
    #[error("inventory {} has {bytes} bytes, expected at most {MAX_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not YAML, or not an inventory; the text names the line.
    #[error("inventory {}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
}

impl Inventory {
    /// Reads an inventory file.
    ///
    /// # Errors
    /// When the file cannot be read or is not an inventory.
    pub fn read(path: &Path) -> Result<Self, InventoryError> {
        let unreadable = |source| InventoryError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = fs::metadata(path).map_err(unreadable)?.len();
        if bytes > MAX_BYTES {
            return Err(InventoryError::TooLarge {
                path: path.to_owned(),
                bytes,
            });
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|message| InventoryError::Parse {
            path: path.to_owned(),
            message,
        })
    }

    /// What it says, as any provider would.
    pub(super) fn into_facts(self) -> Vec<(Key, Fact)> {
        let nodes = self.nodes.into_iter().map(|node| {
            let key = format!("node/{}", node.name).into();
            let fact = NodeFact {
                name: node.name,
                ips: node.ips,
                address: node.address,
                ..NodeFact::default()
            };
            (key, Fact::Node(fact))
        });
        let endpoints = (0..).zip(self.endpoints).map(|(index, endpoint)| {
            let key = format!("endpoint/{index:09}").into();
            let fact = EndpointFact {
                ips: endpoint.ips,
                namespace: endpoint.namespace,
                pod: endpoint.pod,
                labels: endpoint
                    .labels
                    .iter()
                    .map(|(key, value)| format!("k8s:{key}={value}"))
                    .collect(),
                node: endpoint.node,
                workload: endpoint.workload.map(|workload| record::Workload {
                    kind: workload.kind,
                    name: workload.name,
                }),
                ..EndpointFact::default()
            };
            (key, Fact::Endpoint(fact))
        });
        nodes.chain(endpoints).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| {
            // The library draws the offending lines below the message; one line is enough here.
            error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_lists_nodes_and_endpoints() {
        let inventory = Inventory::parse(
            "nodes:\n  - name: n1\n    address: unix:///run/n1.sock\n    ips: [192.0.2.1]\n\
             endpoints:\n  - ips: [10.0.0.1, \"fd00::1\"]\n    namespace: shop\n    pod: web-0\n    \
             labels: { app: web }\n    node: n1\n    workload: { kind: Deployment, name: web }\n",
        )
        .unwrap();
        assert_eq!(
            inventory.nodes[0].ips,
            ["192.0.2.1".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(
            inventory.endpoints[0].ips[1],
            "fd00::1".parse::<IpAddr>().unwrap()
        );
        assert_eq!(
            inventory.endpoints[0].workload.as_ref().unwrap().kind,
            "Deployment"
        );
    }

    #[test]
    fn an_empty_file_is_an_empty_inventory() {
        assert_eq!(Inventory::parse("\n"), Ok(Inventory::default()));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = Inventory::parse("endpoints:\n  - ips: [10.0.0.300]\n").unwrap_err();
        assert!(error.contains("line 2") || error.contains("2:"), "{error}");
        let error = Inventory::parse("endpoints:\n  - ips: []\n    nmae: x\n").unwrap_err();
        assert!(error.contains("nmae"), "{error}");
    }
}
