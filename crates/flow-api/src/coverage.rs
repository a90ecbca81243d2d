//! What an answer covers, for clients that ask: which time, how much, and what was lost where.
//!
//! A client asks with an entry of the request's metadata. A server that knows it ends the stream with
//! a [`CoverageReport`] in the trailers; others leave it alone. The messages of the stream are the
//! same either way.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_types::Timestamp;
use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap},
};

use crate::palomar::{Coverage, CoverageReport, Loss};

/// In the metadata of a `GetFlows` call: its end is to tell what the answer covers.
const ASK: &str = "palomar-coverage";
/// In the trailers of the answer.
const TOLD: &str = "palomar-coverage-bin";

/// A report is at most this long, since clients take 16 KiB of headers and it grows by a third on
/// its way: some two hundred nodes.
const MAX_BYTES: usize = 8 << 10;

/// Asks for a report at the end of the stream.
pub fn ask(metadata: &mut MetadataMap) {
    metadata.insert(ASK, AsciiMetadataValue::from_static("1"));
}

/// Whether a call asks for a report.
#[must_use]
pub fn is_asked(metadata: &MetadataMap) -> bool {
    metadata.contains_key(ASK)
}

/// How a stream ends that ended as it should: with a report.
#[must_use]
pub fn end(report: &CoverageReport) -> Status {
    append(Status::new(Code::Ok, ""), report)
}

/// The end of a stream, with a report.
#[must_use]
pub fn append(mut status: Status, report: &CoverageReport) -> Status {
    let value = BinaryMetadataValue::from_bytes(&report.encode_to_vec());
    status.metadata_mut().insert_bin(TOLD, value);
    status
}

/// The report at the end of a stream, if there is one and it can be read.
#[must_use]
pub fn told(trailers: &MetadataMap) -> Option<CoverageReport> {
    let bytes = trailers.get_bin(TOLD)?.to_bytes().ok()?;
    CoverageReport::decode(bytes).ok()
}

/// What the answers of several nodes cover together; `silent` of them did not say. Nodes that find no
/// room are counted, and are part of the total all the same.
#[must_use]
pub fn report(nodes: impl IntoIterator<Item = Coverage>, silent: u32) -> CoverageReport {
    let mut report = CoverageReport {
        silent_nodes: silent,
        ..CoverageReport::default()
    };
    let mut total: Option<Coverage> = None;
    let mut bytes = 0;
    for node in nodes {
        match &mut total {
            Some(total) => add(total, &node),
            None => {
                total = Some(Coverage {
                    node_name: String::new(),
                    ..node.clone()
                });
            }
        }
        bytes += node.encoded_len() + 4;
        if bytes < MAX_BYTES {
            report.nodes.push(node);
        } else {
            report.unlisted_nodes += 1;
        }
    }
    report.total = total;
    report
}

/// What one more node covers: the time that all of them do, and the sum of everything else.
fn add(total: &mut Coverage, node: &Coverage) {
    let order = |time: &Timestamp| (time.seconds, time.nanos);
    total.from = total.from.into_iter().chain(node.from).max_by_key(order);
    total.to = total.to.into_iter().chain(node.to).min_by_key(order);
    total.oldest = total
        .oldest
        .into_iter()
        .chain(node.oldest)
        .max_by_key(order);
    total.flows = total.flows.saturating_add(node.flows);
    total.late = total.late.saturating_add(node.late);
    let mut losses = BTreeMap::new();
    for Loss { stage, what, count } in total.losses.drain(..).chain(node.losses.iter().cloned()) {
        let sum: &mut u64 = losses.entry((stage, what)).or_default();
        *sum = sum.saturating_add(count);
    }
    let losses = losses.into_iter();
    total.losses = losses
        .map(|((stage, what), count)| Loss { stage, what, count })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn node(name: &str, from: i64, to: i64, lost: u64) -> Coverage {
        Coverage {
            node_name: name.to_owned(),
            from: at(from),
            to: at(to),
            flows: 10,
            late: 4,
            losses: vec![Loss {
                stage: "kernel".to_owned(),
                what: "lost".to_owned(),
                count: lost,
            }],
            ..Coverage::default()
        }
    }

    #[test]
    fn nodes_cover_together_what_each_of_them_covers_and_lose_what_any_of_them_loses() {
        let report = report([node("a", 100, 200, 1), node("b", 150, 190, 2)], 1);
        let total = report.total.clone().unwrap();
        assert_eq!((total.from, total.to), (at(150), at(190)));
        assert_eq!((total.flows, total.losses[0].count), (20, 3));
        assert_eq!(total.late, 8);
        assert_eq!((report.nodes.len(), report.silent_nodes), (2, 1));
        let back = told(end(&report).metadata());
        assert_eq!(back, Some(report));
    }

    #[test]
    fn a_report_of_very_many_nodes_stays_small_and_complete_in_its_total() {
        let nodes = (0..5000).map(|number| node(&format!("node-{number}"), 1, 2, 1));
        let report = report(nodes, 0);
        assert!(report.encoded_len() <= MAX_BYTES + 200);
        let listed = report.nodes.len() as u32;
        assert_eq!(listed + report.unlisted_nodes, 5000);
        assert_eq!(report.total.unwrap().losses[0].count, 5000);
    }
}
