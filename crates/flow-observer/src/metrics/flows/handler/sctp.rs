//! How connections of SCTP begin and end.
//!
//! Only of this node's own flows: those that others told have no place for the types of chunks.

use flow_filter::Side;
use prometheus_client::metrics::counter::Counter;

use super::{Contexts, Family, Making, Measured, Values, one, ports::passed, tcp::put_family};

#[derive(Debug)]
pub(crate) struct Sctp {
    pub(super) chunks: Family<Counter>,
}

impl Sctp {
    pub(super) fn new(making: &Making<'_>) -> Self {
        let labels = ["chunk_type", "family"];
        let help = "SCTP chunk type occurrences";
        Self {
            chunks: making.counters("hubble_sctp_chunk_types", help, &labels),
        }
    }

    pub(super) fn count(&mut self, flow: &impl Measured, contexts: &Contexts, values: &mut Values) {
        let Some(chunk) = flow.sctp_chunk() else {
            return;
        };
        if !passed(flow) || flow.ip(Side::Source).is_none() {
            return;
        }
        contexts.put(flow, values);
        values.push(chunk);
        put_family(flow, values);
        one(&mut self.chunks, values);
    }
}
