//! From addresses to who they are.
//!
//! Look-ups read one immutable [`Snapshot`]. The [`Directory`] holds what the providers know (the
//! inventory file, this host's addresses) and makes a new snapshot when that changes.

mod cilium;
mod identity;
pub mod inventory;
mod snapshot;

use std::{net::IpAddr, sync::Arc};

pub(crate) use cilium::CiliumEndpoints;
pub use inventory::{Inventory, InventoryError};
pub use snapshot::Snapshot;

/// What is known about addresses, and where it is known from.
#[derive(Debug)]
pub struct Directory {
    node_name: String,
    inventory: Inventory,
    own_addresses: Vec<IpAddr>,
    snapshot: Arc<Snapshot>,
}

impl Directory {
    /// Starts from an inventory.
    #[must_use]
    pub fn new(node_name: &str, inventory: Inventory) -> Self {
        let snapshot = Arc::new(Snapshot::new(node_name, &inventory, &[]));
        Self {
            node_name: node_name.to_owned(),
            inventory,
            own_addresses: Vec::new(),
            snapshot,
        }
    }

    /// The node whose agent this is.
    pub(crate) fn node_name(&self) -> &str {
        &self.node_name
    }

    /// What is known now, given this host's addresses.
    pub fn snapshot(&mut self, own_addresses: &[IpAddr]) -> Arc<Snapshot> {
        if self.own_addresses != own_addresses {
            own_addresses.clone_into(&mut self.own_addresses);
            self.snapshot = Arc::new(Snapshot::new(
                &self.node_name,
                &self.inventory,
                own_addresses,
            ));
        }
        Arc::clone(&self.snapshot)
    }
}
