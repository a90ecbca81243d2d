//! What a reader gets from the ring: some events that lie beside each other.

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use super::{Event, run::Run};
use crate::{
    encode::{EncodedEvents, GROUP, NodeFacts},
    outline::{Outlines, Sought},
};

/// An event in the ring.
#[derive(Debug)]
pub struct Slot {
    /// The event.
    pub event: Event,
}

impl Slot {
    pub(super) fn new(event: Event) -> Self {
        Self { event }
    }
}

/// A part of the ring: what is evicted as a whole. All but the newest are full.
pub(super) struct Segment {
    /// Position of the first event.
    pub(super) start: u64,
    pub(super) slots: Arc<Run<Slot>>,
    /// No event that is visible is older; nanoseconds since 1970.
    pub(super) oldest_ns: AtomicI64,
    /// Bytes that lie elsewhere for its events' sake: boxes, messages.
    pub(super) aside_bytes: AtomicU64,
    /// What readers had encoded of its events.
    pub(super) encoded: EncodedEvents,
    /// What occurs in its events.
    pub(super) outlines: Outlines,
    /// Bytes of what was made for readers, as far as the ring has counted them.
    pub(super) counted_bytes: AtomicU64,
}

impl Segment {
    pub(super) fn new(start: u64, slots: Arc<Run<Slot>>) -> Self {
        Self {
            start,
            encoded: EncodedEvents::new(slots.capacity()),
            outlines: Outlines::new(slots.capacity()),
            slots,
            oldest_ns: AtomicI64::new(i64::MAX),
            aside_bytes: AtomicU64::new(0),
            counted_bytes: AtomicU64::new(0),
        }
    }

    /// Bytes of memory, all in all.
    pub(super) fn bytes(&self) -> u64 {
        let slots = self.slots.capacity() * size_of::<Slot>();
        slots as u64
            + self.aside_bytes.load(Ordering::Relaxed)
            + self.counted_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of what was made for readers, of which there is more and more.
    pub(super) fn readers_bytes(&self) -> u64 {
        self.encoded.bytes() + self.outlines.bytes()
    }

    #[expect(unsafe_code, reason = "cells lend one value at a time")]
    fn visible(&self) -> &[Slot] {
        let len = self.slots.len();
        // SAFETY: the first `len` values are initialised, and never written again while the run
        // lives. A cell is as its value: both of its layers are transparent.
        unsafe { slice::from_raw_parts(self.slots.cells.as_ptr().cast(), len) }
    }
}

/// Events that lie beside each other. What a batch shows stays as it is.
#[derive(Clone)]
pub struct Batch {
    pub(super) segment: Arc<Segment>,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Batch {
    /// Position of the first event.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position after the last event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The events from a position on.
    #[must_use]
    pub fn from(&self, position: u64) -> &[Slot] {
        let begin = position.clamp(self.start, self.end) - self.segment.start;
        let end = self.end - self.segment.start;
        self.segment
            .visible()
            .get(begin as usize..end as usize)
            .unwrap_or_default()
    }

    /// What readers had encoded of the events around it, and the position that is event 0 there.
    pub(crate) fn encoded(&self) -> (&EncodedEvents, u64) {
        (&self.segment.encoded, self.segment.start)
    }

    /// Whether there may be something of what is sought among the events from a position to the end
    /// of its group, or of the batch.
    pub(crate) fn may_have(&self, position: u64, sought: &Sought, node: &NodeFacts) -> bool {
        let group = (position - self.segment.start) as usize / GROUP;
        let end = ((group + 1) * GROUP).min((self.end - self.segment.start) as usize);
        let slots = self.segment.visible().get(group * GROUP..end);
        let slots = slots.unwrap_or_default();
        self.segment.outlines.may_have(group, slots, sought, node)
    }

    /// No event is older than this; nanoseconds since 1970. The oldest may have left the ring.
    #[must_use]
    pub fn oldest_ns(&self) -> i64 {
        self.segment.oldest_ns.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
