//! From addresses to who they are.
//!
//! Providers (the inventory file, this host's devices, and others) tell facts to the [`Directory`];
//! it puts them together to an immutable [`Snapshot`], in which flows are looked up, and makes a new
//! one when something changes.

mod cilium;
mod claims;
mod containers;
mod describe;
mod directory;
pub mod facts;
mod identity;
mod index;
pub mod inventory;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
mod label_sets;
mod labels;
mod local_numbers;
mod misses;
mod names;
pub(crate) mod news;
mod nodes;
mod prefixes;
mod provider;
mod reload;
mod resolve;
mod settings;
mod shards;
mod snapshot;
mod standing;
mod state;
#[cfg(test)]
mod tests;
mod units;
mod warm;

pub(crate) use cilium::{CiliumEndpoints, End, Told};
pub use containers::ContainerMode;
pub(crate) use containers::Containers;
pub use directory::Directory;
pub(crate) use identity::HOST;
pub use inventory::{Inventory, InventoryError};
pub use labels::{LabelFilter, LabelFilterError};
pub use misses::Misses;
pub use names::{Answer, Identities, NameTable};
pub(crate) use nodes::{NodeName, Nodes};
pub use provider::{ProviderState, ProviderStatus, Reports};
pub(crate) use reload::WatchedFile;
pub use settings::{DualStack, Settings};
pub use snapshot::{Known, Snapshot};
pub(crate) use units::HostUnits;
pub(crate) use warm::is_worth_warming;
pub use warm::{WARMED, warm};
