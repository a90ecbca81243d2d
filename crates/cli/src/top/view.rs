//! What there is to look at.

use crate::group::{Fields, Observed};
use flow_api::flow::Verdict;

/// A way to look at flows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum View {
    Drops,
    Edges,
    /// By the fields of `--group-by`.
    Groups,
    Names,
    Nodes,
    Verdicts,
}

impl View {
    /// All that are always there, in the order of their keys.
    pub(super) const ALL: [Self; 5] = [
        Self::Edges,
        Self::Drops,
        Self::Names,
        Self::Nodes,
        Self::Verdicts,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Drops => "drops",
            Self::Edges => "edges",
            Self::Groups => "groups",
            Self::Names => "names",
            Self::Nodes => "nodes",
            Self::Verdicts => "verdicts",
        }
    }

    /// The fields that tell its rows apart.
    pub(super) const fn fields(self) -> &'static str {
        match self {
            Self::Drops => "drop-reason",
            Self::Edges => "client,server,port,protocol",
            // Named by the user.
            Self::Groups => "",
            Self::Names => "name,name-origin",
            Self::Nodes => "node",
            Self::Verdicts => "verdict",
        }
    }

    /// Whether a flow is counted there. `key` has the values of its fields.
    pub(super) fn counts(self, observed: &Observed<'_>, key: &str) -> bool {
        match self {
            Self::Drops => observed.flow.verdict() == Verdict::Dropped,
            // Without a name there is only what lies between the values.
            Self::Names => !key.starts_with(crate::group::SEPARATOR),
            Self::Edges | Self::Groups | Self::Nodes | Self::Verdicts => true,
        }
    }
}

/// A view with its fields.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) view: View,
    pub(super) fields: Fields,
}
