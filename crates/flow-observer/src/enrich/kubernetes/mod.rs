//! Kubernetes as a provider: in go the objects of an API server, out come facts about pods, nodes
//! and services.
//!
//! ```text
//! watch (one per resource) ─▶ teller ─▶ Directory
//!  list, then events           tables     facts
//!            └──────▶ board ◀── status
//! ```
//!
//! A watch lists its resource, follows the changes, and comes back whatever happens. The teller owns
//! the tables of pods, nodes and services, and tells the directory only what changed. What was told
//! stays as it is while the API server is away; the board says how old it is.

mod access;
mod board;
mod identities;
mod intern;
mod node_endpoints;
mod nodes;
mod objects;
mod pods;
mod request;
mod resource;
mod services;
mod table;
mod teller;
mod watch;
mod workload;

use std::{sync::Arc, thread};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

pub use access::{AccessError, Mode, Settings};
pub use watch::Patience;

use super::{
    Directory,
    provider::{ProviderStatus, Reports},
};
use crate::counters::Counters;
use board::Board;
use objects::{
    CiliumEndpoint, CiliumIdentity, CiliumNode, EndpointSlice, Namespace, Node, Pod, Service,
};
use watch::{Shared, Watch};

/// The provider at work. Dropping it ends the watches; what was told stays.
#[derive(Debug)]
pub struct Kubernetes {
    shared: Arc<Shared>,
    _watches: JoinSet<()>,
}

impl Kubernetes {
    /// Starts to watch, if there is somebody to ask. Does not wait for an answer: the API server may
    /// not even be there yet.
    ///
    /// # Errors
    /// When the access that the settings name cannot be used.
    pub async fn start(
        settings: &Settings,
        directory: Arc<Directory>,
        counters: Arc<Counters>,
    ) -> Result<Option<Self>, AccessError> {
        let Some((client, server)) = access::client(settings).await? else {
            return Ok(None);
        };
        let shared = Arc::new(Shared {
            board: Board::new(server),
            counters,
            patience: settings.patience,
            is_back: Notify::new(),
        });
        let (updates, received) = mpsc::channel(teller::QUEUE);
        let telling = Arc::clone(&shared);
        // It ends with the watches.
        thread::Builder::new()
            .name("kubernetes".to_owned())
            .spawn(move || teller::run(received, &directory, &telling))
            .map_err(AccessError::Thread)?;
        let watch = || Watch {
            client: client.clone(),
            shared: Arc::clone(&shared),
            updates: updates.clone(),
        };
        let mut watches = JoinSet::new();
        watches.spawn(watch().run::<Namespace>());
        watches.spawn(watch().run::<Node>());
        watches.spawn(watch().run::<Pod>());
        watches.spawn(watch().run::<Service>());
        watches.spawn(watch().run::<EndpointSlice>());
        watches.spawn(watch().run::<CiliumNode>());
        watches.spawn(watch().run::<CiliumIdentity>());
        watches.spawn(watch().run::<CiliumEndpoint>());
        Ok(Some(Self {
            shared,
            _watches: watches,
        }))
    }
}

impl Reports for Kubernetes {
    fn report(&self) -> ProviderStatus {
        self.shared.board.status()
    }
}
