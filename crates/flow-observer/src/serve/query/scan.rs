//! What a request wants of events that lie beside each other: filtered and encoded.
//!
//! In: a batch of the ring. Out: responses as frames ([`Found`]). A scan knows nothing of streams
//! and can run on any thread.

use std::{cell::LazyCell, sync::Arc};

use bytes::Bytes;
use flow_api::frames::{Frames, PREFIX, put_frame};
use flow_filter::Filter;

use super::{
    super::mask::{Choice, Mask},
    Kind,
};
use crate::{
    encode::{
        GROUP, NodeFacts, Surroundings, Writer, flow_extension, ones, put_message, put_record,
        put_recorded, put_response,
    },
    outline::Sought,
    ring::{Batch, Event, Slot},
    view::matches,
};

/// The part of a request that is about single events.
pub(super) struct Scan {
    pub(super) kind: Kind,
    pub(super) node: Arc<NodeFacts>,
    pub(super) filter: Filter,
    /// What groups of events need to have to be looked at; `None` if all are.
    pub(super) sought: Option<Sought>,
    pub(super) mask: Option<Mask>,
    pub(super) since_ns: i64,
    pub(super) until_ns: i64,
}

/// A scan stops behind the group with which it has found so much. A flow may take many times what an
/// ordinary one does, and what was found waits for as long as the client likes.
const MAX_BYTES: usize = 1 << 20;

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The responses as frames, in order.
    pub(super) frames: Vec<Bytes>,
    /// Times of those that count: losses do not.
    pub(super) times_ns: Vec<i64>,
    /// Nothing that comes later is wanted.
    pub(super) is_over: bool,
    /// Bytes of the frames.
    bytes: usize,
}

impl Found {
    /// It is as much as one scan may find.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Leaves out what is beyond so many events that count.
    pub(super) fn truncate(&mut self, limit: u64) {
        /// `GetFlowsResponse.lost_events`, which is alone with the node's name and the time.
        const LOSS: u8 = 3 << 3 | 2;
        if self.counted() <= limit {
            return;
        }
        let mut counted = 0;
        let mut left = Vec::new();
        for frames in self.frames.drain(..) {
            let mut rest = Frames::new(frames);
            while counted < limit
                && let Some(frame) = rest.next_frame()
            {
                counted += u64::from(frame.get(PREFIX) != Some(&LOSS));
                left.extend_from_slice(&frame);
            }
        }
        self.frames.push(left.into());
        self.times_ns.truncate(counted as usize);
    }

    /// How many of the responses count.
    pub(super) fn counted(&self) -> u64 {
        self.times_ns.len() as u64
    }
}

impl Scan {
    /// Whether this is an event that the client should get.
    pub(super) fn matches(&self, slot: &Slot) -> bool {
        self.kind.covers(&slot.event) && matches(&self.filter, &slot.event, &self.node)
    }

    /// Whether clients are told of losses: those of flows are.
    pub(super) fn tells_losses(&self) -> bool {
        self.kind.is_flows()
    }

    /// Whether the responses are those that everybody gets.
    fn is_whole(&self) -> bool {
        self.mask.is_none() && self.kind != Kind::DetailedFlows
    }

    /// Whether all there is to do at this position is to hand out what others had encoded.
    pub(super) fn is_ready(&self, batch: &Batch, position: u64) -> bool {
        let (encoded, origin) = batch.encoded();
        let event = (position - origin) as usize;
        self.is_whole()
            && self.filter.matches_everything()
            && encoded.has(event / GROUP, 1 << (event % GROUP))
    }

    /// Goes through the events from `position` to the end of the batch, or of so many groups that may
    /// have something, or until much was found. Adds what it finds, until that is `limit` events, and
    /// tells where it stopped.
    pub(super) fn run(
        &self,
        batch: &Batch,
        position: u64,
        groups: usize,
        limit: Option<u64>,
        found: &mut Found,
    ) -> u64 {
        // Most scans of a reader who keeps up find nothing.
        let around = LazyCell::new(|| Surroundings::now(&self.node));
        let (encoded, origin) = batch.encoded();
        let mut position = position.max(batch.start());
        let mut selected = Vec::new();
        let mut groups = groups;
        while groups > 0 {
            let event = (position - origin) as usize;
            let (group, first) = (event / GROUP, event % GROUP);
            let slots = batch.from(position);
            let slots = &slots[..slots.len().min(GROUP - first)];
            if slots.is_empty() || found.is_over || found.bytes + selected.len() >= MAX_BYTES {
                break;
            }
            let begin = position;
            position += slots.len() as u64;
            // The first event after `until` ends a scan whether or not it matches: none is skipped.
            if self.until_ns == i64::MAX && !self.may_match(batch, begin) {
                continue;
            }
            groups -= 1;
            let wanted = self.wanted(slots, limit, found);
            if wanted == 0 {
                continue;
            }
            if self.is_whole() {
                let frames = encoded.frames(group, slots, first, wanted << first, &around);
                found.bytes += frames.len();
                found.frames.push(frames);
            } else {
                for slot in ones(wanted).map(|event| &slots[event]) {
                    put_frame(&mut selected, |bytes| {
                        self.put(&slot.event, &around, &mut Writer::new(bytes));
                    });
                }
            }
        }
        if !selected.is_empty() {
            selected.shrink_to_fit();
            found.bytes += selected.len();
            found.frames.push(selected.into());
        }
        position
    }

    /// The newest event of the batch that is what is looked for, which only those are that match.
    pub(super) fn find_back(
        &self,
        batch: &Batch,
        mut is_it: impl FnMut(&Slot) -> bool,
    ) -> Option<u64> {
        let (_, origin) = batch.encoded();
        let mut end = batch.end();
        while end > batch.start() {
            let last = end - 1;
            let begin = (last - (last - origin) % GROUP as u64).max(batch.start());
            if self.may_match(batch, begin) {
                let slots = batch.from(begin);
                let slots = &slots[..slots.len().min((end - begin) as usize)];
                if let Some(index) = slots.iter().rposition(&mut is_it) {
                    return Some(begin + index as u64);
                }
            }
            end = begin;
        }
        None
    }

    /// Whether an event from this position to the end of its group may match.
    fn may_match(&self, batch: &Batch, position: u64) -> bool {
        let may_have = |sought: &Sought| batch.may_have(position, sought, &self.node);
        self.sought.as_ref().is_none_or(may_have)
    }

    /// Which of the events of a group are wanted: bit N is for the event at index N.
    fn wanted(&self, slots: &[Slot], limit: Option<u64>, found: &mut Found) -> u64 {
        let mut wanted = 0;
        let takes_all = self.filter.matches_everything();
        for (index, slot) in slots.iter().enumerate() {
            if limit == Some(found.counted()) {
                found.is_over = true;
                break;
            }
            if slot.event.is_loss() {
                // Losses pass every filter and bound, and count for nothing.
                wanted |= u64::from(self.tells_losses()) << index;
                continue;
            }
            let time_ns = slot.event.time_ns();
            if time_ns > self.until_ns {
                found.is_over = true;
                break;
            }
            if time_ns >= self.since_ns
                && self.kind.covers(&slot.event)
                && (takes_all || matches(&self.filter, &slot.event, &self.node))
            {
                wanted |= 1 << index;
                found.times_ns.push(time_ns);
            }
        }
        wanted
    }

    /// The event as this client wants it.
    fn put(&self, event: &Event, around: &Surroundings<'_>, writer: &mut Writer<'_>) {
        let with_detail = self.kind == Kind::DetailedFlows;
        let choice = self.mask.as_ref().map_or(Choice::Whole, Choice::Parts);
        let apply = |bytes: Vec<u8>| match &self.mask {
            None => bytes,
            Some(mask) => mask.apply(&bytes),
        };
        match event {
            Event::Flow(record) => {
                let extension = match with_detail {
                    true => flow_extension(record),
                    false => Vec::new(),
                };
                put_record(record, around, choice, &extension, writer);
            }
            Event::Message(flow) => put_message(flow, choice, with_detail, apply, writer),
            Event::Recorded(response) => {
                put_recorded(response, choice, with_detail, apply, writer);
            }
            event => put_response(event, around, writer),
        }
    }
}
