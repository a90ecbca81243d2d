//! The inventory file: who is behind which address, where no cluster tells.
//!
//! ```yaml
//! nodes:                        # what the Peer service announces
//!   - name: node-1
//!     address: 192.0.2.11:4244  # or unix:///run/palomar/observer.sock
//!     ips: [192.0.2.11, "2001:db8::11"]
//!     labels: { zone: a }
//! endpoints:
//!   - ips: [10.1.1.10, "fd00:1::10"]
//!     namespace: shop
//!     pod: web-0
//!     labels: { app: web }
//!     node: node-1              # where it runs; without it, here
//!     workload: { kind: Deployment, name: web }
//! prefixes:
//!   - cidr: 198.51.100.0/24
//!     name: office
//! services:
//!   - namespace: kube-system
//!     name: kube-dns
//!     frontends: ["10.96.0.10:53/udp"]
//!     backends: ["10.1.1.20:53/udp"]
//! names:
//!   - ips: [198.51.100.7]
//!     names: [printer.example.com]
//! ```

mod check;
mod parse;
mod say;
mod values;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Deserialize;

pub use self::values::Cidr;
use super::facts::Port;
use crate::bounded::read_text;

/// An inventory of a million endpoints takes about this much.
const MAX_BYTES: u64 = 256 << 20;

/// What the file holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inventory {
    /// The nodes that there are.
    pub nodes: Vec<Node>,
    /// The workloads that there are.
    pub endpoints: Vec<Endpoint>,
    /// Ranges of addresses that belong to somebody.
    pub prefixes: Vec<Prefix>,
    /// The services that there are.
    pub services: Vec<Service>,
    /// Names of addresses that always hold.
    pub names: Vec<Names>,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its cluster; the agent's own when left out.
    #[serde(default)]
    pub cluster: String,
    /// Where its agent listens; empty when relays cannot reach it.
    #[serde(default)]
    pub address: String,
    /// Its own addresses.
    #[serde(default, deserialize_with = "values::ips")]
    pub ips: Vec<IpAddr>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A Kubernetes API server runs on it.
    #[serde(default)]
    pub api_server: bool,
}

/// A workload.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Its addresses.
    #[serde(deserialize_with = "values::ips")]
    pub ips: Vec<IpAddr>,
    /// Its cluster; the agent's own when left out.
    #[serde(default)]
    pub cluster: String,
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
    /// Its number on its node; computed from its name when left out.
    #[serde(default, deserialize_with = "values::endpoint_id")]
    pub id: Option<u16>,
    /// Its security identity; computed from its labels when left out.
    #[serde(default, deserialize_with = "values::identity")]
    pub identity: Option<u32>,
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

/// A range of addresses that belongs to somebody.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The range.
    pub cidr: Cidr,
    /// What it is called; becomes a label.
    #[serde(default)]
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// A service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    #[serde(default, deserialize_with = "values::ports")]
    pub frontends: Vec<Port>,
    /// Where those end up.
    #[serde(default, deserialize_with = "values::ports")]
    pub backends: Vec<Port>,
}

/// Names of addresses that always hold.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// The addresses.
    #[serde(deserialize_with = "values::ips")]
    pub ips: Vec<IpAddr>,
    /// Their names, the best known first.
    #[serde(deserialize_with = "values::names")]
    pub names: Vec<String>,
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
    #[error("inventory {} is too large, expected at most {MAX_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Not YAML, or not an inventory.
    #[error("{}:{line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line that it is about, from 1 on.
        line: u64,
        /// What is wrong.
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
        let Some(text) = read_text(path, MAX_BYTES).map_err(unreadable)? else {
            return Err(InventoryError::TooLarge {
                path: path.to_owned(),
            });
        };
        parse::inventory(&text).map_err(|mistake| InventoryError::Parse {
            path: path.to_owned(),
            line: mistake.line,
            message: mistake.message,
        })
    }
}

#[cfg(test)]
mod tests;
