//! The nodes whose agents relays may ask, put together from what the providers say.

use std::{collections::BTreeMap, sync::Arc};

use super::{claims::Said, facts::AgentFact, index::Index};

/// A node's name, apart from those of the same name in other clusters.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct NodeName {
    /// Its cluster; never empty.
    pub(crate) cluster: String,
    /// Its name there.
    pub(crate) name: String,
}

/// Where the agent of each node is.
pub(crate) type Nodes = Arc<BTreeMap<NodeName, AgentFact>>;

impl Index {
    /// All nodes that have an agent. Of what several say about one, the first that says anything is
    /// believed: about its address, and about those of its node.
    pub(super) fn agents(&self) -> Nodes {
        let agents = self.agents.all().map(|(name, claims)| {
            let mut agent = AgentFact::default();
            let said = claims.iter().filter_map(|claim| match &claim.said {
                Said::Node(node) => node.agent.as_ref(),
                _ => None,
            });
            for (_, said) in said {
                if agent.address.is_empty() {
                    agent.address.clone_from(&said.address);
                }
                if agent.ips.is_empty() {
                    agent.ips.clone_from(&said.ips);
                }
            }
            (name.clone(), agent)
        });
        Arc::new(agents.collect())
    }
}
