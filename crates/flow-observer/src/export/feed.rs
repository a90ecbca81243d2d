//! What exporters need to begin, and why they cannot.

use std::{io, sync::Arc};

use super::{counts::ExportCounts, spec::SpecError};
use crate::{encode::NodeFacts, ring::FlowRing};

/// What exporters read, and of whom.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// Flows first; agent events may have a ring of their own.
    pub(crate) rings: Vec<Arc<FlowRing>>,
    /// Of flows.
    pub(crate) node: Arc<NodeFacts>,
    /// The node without its cluster.
    pub(crate) plain_node_name: String,
    pub(crate) counts: Arc<ExportCounts>,
}

impl Feed {
    /// Where all that was ever published begins: who starts with the rings misses nothing.
    pub(super) fn beginning(&self) -> Vec<u64> {
        vec![0; self.rings.len()]
    }
}

/// Why an exporter cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What it is to do means nothing.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The system has no thread or no file left.
    #[error("cannot start an exporter")]
    System(#[from] io::Error),
}
