//! The end of one call: what its answer covers, for clients that want to know.

use std::collections::BTreeMap;

use flow_api::coverage;
use flow_api::palomar::{Coverage, CoverageReport};
use tonic::Status;

use super::Flows;

impl Flows {
    /// The end of the stream for a client that wants to know what it covers.
    pub(super) fn tell_coverage(&mut self) -> Option<Status> {
        let is_first = !std::mem::replace(&mut self.has_told_coverage, true);
        if !self.call.tells_status() && is_first && !self.has_answer {
            let reason = self.peers.values().find_map(|peer| peer.told.as_deref());
            let reason = reason.unwrap_or("none is available");
            return Some(Status::unavailable(format!("no node answers: {reason}")));
        }
        let tells = is_first && self.call.asks_for_coverage();
        tells.then(|| coverage::end(&self.coverage()))
    }

    /// An end with an error.
    pub(super) fn with_coverage(&self, status: Status) -> Status {
        if self.call.asks_for_coverage() {
            coverage::append(status, &self.coverage())
        } else {
            status
        }
    }

    /// What all peers cover, each by its own words.
    fn coverage(&self) -> CoverageReport {
        let late: BTreeMap<_, _> = self
            .peers
            .values()
            .map(|peer| (&peer.name, peer.late))
            .collect();
        let nodes = self.covered.iter().flat_map(|(peer, told)| {
            let late = late.get(peer).copied().unwrap_or_default();
            if let [node] = &*told.nodes {
                return vec![Coverage {
                    late: node.late + late,
                    ..node.clone()
                }];
            }
            if told.unlisted_nodes == 0 && late == 0 {
                return told.nodes.clone();
            }
            // A peer that is a relay, of so many that it lists them only in part, or of which nobody
            // knows whose flows were late.
            let total = told.total.clone().map(|total| Coverage {
                node_name: peer.to_string(),
                late: total.late + late,
                ..total
            });
            total.into_iter().collect()
        });
        let deeper: u32 = self.covered.values().map(|told| told.silent_nodes).sum();
        let silent = self.asked.len().saturating_sub(self.covered.len());
        coverage::report(nodes, deeper + u32::try_from(silent).unwrap_or(u32::MAX))
    }
}
