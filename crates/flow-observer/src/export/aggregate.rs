//! Flows counted by some of their fields, instead of told one by one.
//!
//! In: flows. Out, at each interval: an event for each combination of the fields that came up, with
//! how many flows had it, by direction.

use std::collections::HashMap;

use flow_api::flow::{Aggregate, TrafficDirection};

use super::lines::{Unreadable, put_line};
use crate::{
    encode::{Surroundings, Writer, put_message, put_record, put_recorded},
    ring::Event,
    serve::{Choice, Mask},
};

/// Combinations that are counted at a time: some 20 MB. One more, and what was counted is told before
/// its time, so that no count is wrong.
const MOST_GROUPS: usize = 65_536;

/// `GetFlowsResponse.flow` and `Flow.aggregate`.
const FLOW: u32 = 1;
const AGGREGATE: u32 = 21_007;

/// Counts flows by fields.
#[derive(Debug)]
pub(super) struct Aggregator {
    mask: Mask,
    /// Flows on their way in, on their way out, and others; by the encoded event.
    groups: HashMap<Vec<u8>, Aggregate, foldhash::fast::RandomState>,
    encoded: Vec<u8>,
}

impl Aggregator {
    pub(super) fn new(mask: Mask) -> Self {
        Self {
            mask,
            groups: HashMap::default(),
            encoded: Vec::new(),
        }
    }

    /// Counts a flow. What is none is left to others: says no.
    pub(super) fn count(&mut self, event: &Event, around: &Surroundings<'_>) -> bool {
        let choice = Choice::Parts(&self.mask);
        let apply = |bytes: Vec<u8>| self.mask.apply(&bytes);
        self.encoded.clear();
        let writer = &mut Writer::new(&mut self.encoded);
        let direction = match event {
            Event::Flow(record) => {
                put_record(record, around, choice, &[], writer);
                record.direction
            }
            Event::Message(flow) => {
                put_message(flow, choice, false, apply, writer);
                flow.message.traffic_direction()
            }
            Event::Recorded(response) => match response.flow() {
                Some(flow) => {
                    put_recorded(response, choice, false, apply, writer);
                    flow.traffic_direction()
                }
                None => return false,
            },
            Event::Agent(_) | Event::Debug(_) | Event::Lost(_) => return false,
        };
        let counts = match self.groups.get_mut(&self.encoded) {
            Some(counts) => counts,
            None => self.groups.entry(self.encoded.clone()).or_default(),
        };
        let count = match direction {
            TrafficDirection::Ingress => &mut counts.ingress_flow_count,
            TrafficDirection::Egress => &mut counts.egress_flow_count,
            TrafficDirection::Unknown => &mut counts.unknown_direction_flow_count,
        };
        *count = count.saturating_add(1);
        true
    }

    /// There is no room for another combination.
    pub(super) fn is_full(&self) -> bool {
        self.groups.len() >= MOST_GROUPS
    }

    /// Appends a line for each combination, and begins anew.
    pub(super) fn put(&mut self, out: &mut Vec<u8>) -> Result<(), Unreadable> {
        let mut result = Ok(());
        for (event, counts) in self.groups.drain() {
            // The flow comes first.
            let (flow, rest) = split_flow(&event).unwrap_or((&[], &event));
            self.encoded.clear();
            let mut writer = Writer::new(&mut self.encoded);
            writer.long_message(FLOW, |writer| {
                writer.raw(flow);
                writer.prost(AGGREGATE, &counts);
            });
            writer.raw(rest);
            result = put_line(&self.encoded, out).and(result);
        }
        result
    }
}

/// The flow of an encoded event, and what follows it.
fn split_flow(event: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = event.strip_prefix(&[(FLOW << 3 | 2) as u8])?;
    let length = prost::encoding::decode_varint(&mut rest).ok()?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}
