//! The flow ring: the newest events of this node, in order, for any number of readers.
//!
//! One writer publishes; readers walk the events with a position of their own and share them
//! without copying. The writer never waits for a reader, and wakes none: a task of the ring does. A
//! reader that falls behind is told how many events it missed and goes on with the oldest ones kept.
//!
//! ```text
//! positions:   oldest                                         end
//!                | segment | segment | ... | segment | segm    |
//!                    ^ reader               full ─┘       └─ grows
//! ```
//!
//! Events lie in segments, which are evicted as a whole. Never more than the capacity
//! is visible. Beyond it, the memory of at most three segments is held: of the one whose events are
//! leaving, of the one that is not full yet, and of one to be used again.

mod announcer;
mod batch;
mod call;
mod event;
mod horizon;
mod readers;
mod run;
mod sync;
mod weight;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    vec,
};

use tokio::sync::watch;

use crate::agent::DEFAULT_RING_CAPACITY;
use announcer::Announcer;
use batch::Segment;
use run::{Appender, Run};

pub use batch::{Batch, Slot};
pub use event::{Event, Lost, Message};
pub(crate) use horizon::{Asker, Horizon};
pub(crate) use readers::Mark;
pub use readers::{ReaderKind, Readers, Reading};

/// Longest batch, and most events of a segment.
pub const MAX_BATCH: usize = 1024;
/// A ring has at least so many segments, if it is large enough: what is evicted at once, and held
/// beyond the capacity, is a small part of it.
const SEGMENTS: usize = 16;
/// Fewest events of a segment, so that a tiny ring does not take memory for each event anew.
const MIN_SEGMENT: usize = 8;

/// How much a ring keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Events; at least 1.
    pub events: usize,
    /// Bytes of memory for events and what they are encoded to; `None` for no limit. A segment is
    /// kept whatever it takes.
    pub bytes: Option<u64>,
}

impl Limits {
    /// As many events as fit into so many bytes.
    #[must_use]
    pub fn of_bytes(bytes: u64) -> Self {
        let events = bytes / size_of::<Slot>() as u64;
        Self {
            events: usize::try_from(events).unwrap_or(usize::MAX).max(1),
            bytes: Some(bytes),
        }
    }

    /// Whether so many events never fit into the memory.
    #[must_use]
    pub fn memory_comes_first(self) -> bool {
        self.bytes
            .is_some_and(|bytes| Self::of_bytes(bytes).events < self.events)
    }

    /// How many events a segment holds.
    fn segment(self) -> usize {
        let fit = Self::of_bytes(self.bytes.unwrap_or(u64::MAX)).events;
        (self.events.min(fit) / SEGMENTS).clamp(MIN_SEGMENT, MAX_BATCH)
    }
}

impl Default for Limits {
    /// As many flows as Hubble keeps.
    fn default() -> Self {
        Self {
            events: DEFAULT_RING_CAPACITY,
            bytes: None,
        }
    }
}

/// What a reader finds at its position.
#[derive(Debug)]
pub enum Read {
    /// The events from the position on, as far as they lie together.
    Batch(Batch),
    /// Nothing yet.
    End,
    /// The position was overtaken.
    Missed {
        /// How many events are gone.
        count: u64,
        /// Where to go on.
        resume: u64,
    },
}

/// What a ring holds at the moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Fill {
    /// Events.
    pub events: u64,
    /// Bytes of memory.
    pub bytes: u64,
    /// Times of the oldest and of the newest event, nanoseconds since 1970; `None` while empty.
    pub span_ns: Option<(i64, i64)>,
}

/// The newest events of this node.
pub struct FlowRing {
    limits: Limits,
    /// Held while publishing; readers never take it.
    writer: Mutex<Writer>,
    /// Held for a look, and by the writer only where a segment begins.
    kept: Mutex<Kept>,
    /// Position of the oldest event that was not evicted for want of memory.
    floor: AtomicU64,
    announcer: Announcer,
    readers: Arc<Readers>,
    horizon: Arc<Horizon>,
}

/// What only the writer needs.
struct Writer {
    /// Fills the newest segment.
    slots: Appender<Slot>,
    segment: Arc<Segment>,
    /// A segment that was evicted last, for the next one to be made of.
    spare: Option<Arc<Run<Slot>>>,
    /// Where the ring's end is when the oldest segment may go.
    evict_at: u64,
}

/// The segments kept.
struct Kept {
    /// Oldest first; never empty.
    segments: VecDeque<Arc<Segment>>,
    /// Bytes of all of them.
    bytes: u64,
}

impl FlowRing {
    /// An empty ring that keeps `capacity` events (at least 1).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::with_limits(Limits {
            events: capacity,
            bytes: None,
        })
    }

    /// An empty ring.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        let limits = Limits {
            events: limits.events.max(1),
            ..limits
        };
        let slots = Appender::with_capacity(limits.segment());
        let first = Arc::new(Segment::new(0, Arc::clone(slots.run())));
        Self {
            limits,
            kept: Mutex::new(Kept {
                bytes: first.bytes(),
                segments: VecDeque::from([Arc::clone(&first)]),
            }),
            writer: Mutex::new(Writer {
                slots,
                segment: first,
                spare: None,
                evict_at: limits.events as u64,
            }),
            floor: AtomicU64::new(0),
            announcer: Announcer::new(limits.events as u64),
            readers: Arc::default(),
            horizon: Arc::default(),
        }
    }

    /// Up to when the ring is complete.
    pub(crate) fn horizon(&self) -> &Arc<Horizon> {
        &self.horizon
    }

    /// Takes all of `events`, oldest first, and has waiting readers woken. Calls of several threads
    /// come one after the other.
    pub fn publish(&self, events: &mut Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = events.drain(..);
        while events.len() > 0 {
            self.append(&mut writer, &mut events);
        }
        drop(writer);
        self.announcer.call();
    }

    /// Appends as many events as fit into a segment.
    fn append(&self, writer: &mut Writer, events: &mut vec::Drain<'_, Event>) {
        let mut room_aside = self.room_aside(&writer.segment);
        if writer.slots.room() == 0 || room_aside == 0 {
            self.begin_segment(writer);
            room_aside = self.room_aside(&writer.segment);
        }
        let segment = &writer.segment;
        let mut oldest_ns = segment.oldest_ns.load(Ordering::Relaxed);
        let (mut count, mut aside_bytes) = (0, 0);
        for event in events.as_slice().iter().take(writer.slots.room()) {
            if aside_bytes >= room_aside {
                break;
            }
            count += 1;
            oldest_ns = oldest_ns.min(event.time_ns());
            aside_bytes += weight::aside_bytes(event);
        }
        // Before the events are visible: who sees them sees this.
        segment.oldest_ns.store(oldest_ns, Ordering::Relaxed);
        let slots = events.take(count).map(Slot::new);
        let end = self.end() + writer.slots.extend(slots) as u64;
        self.announcer.set_end(end);
        if aside_bytes > 0 {
            segment
                .aside_bytes
                .fetch_add(aside_bytes, Ordering::Relaxed);
            let mut kept = self.kept();
            kept.bytes += aside_bytes;
            let evicted = self.evict_for_memory(&mut kept);
            drop(kept);
            drop(evicted);
        }
        if end >= writer.evict_at {
            self.evict_for_capacity(writer, end);
        }
    }

    /// How many bytes more a segment's events may take elsewhere, before another one begins.
    fn room_aside(&self, segment: &Segment) -> u64 {
        self.limits.bytes.map_or(u64::MAX, |limit| {
            let taken = segment.aside_bytes.load(Ordering::Relaxed);
            (limit / SEGMENTS as u64).max(1).saturating_sub(taken)
        })
    }

    fn begin_segment(&self, writer: &mut Writer) {
        writer.slots = writer
            .spare
            .take()
            .and_then(Appender::reusing)
            .unwrap_or_else(|| Appender::with_capacity(self.limits.segment()));
        let segment = Arc::new(Segment::new(self.end(), Arc::clone(writer.slots.run())));
        writer.segment = Arc::clone(&segment);
        let mut kept = self.kept();
        kept.bytes += segment.bytes();
        kept.segments.push_back(segment);
        let evicted = self.evict_for_memory(&mut kept);
        drop(kept);
        drop(evicted);
    }

    /// Takes out the segments of which nothing is visible any more.
    fn evict_for_capacity(&self, writer: &mut Writer, end: u64) {
        let oldest = end.saturating_sub(self.capacity());
        let mut evicted = Vec::new();
        let mut kept = self.kept();
        while kept.begin_of(1).is_some_and(|second| second <= oldest) {
            evicted.extend(kept.evict());
        }
        // If there is but one, the next one begins at the end or later.
        let second = kept.begin_of(1).unwrap_or(end);
        writer.evict_at = second + self.capacity();
        self.floor.store(kept.begin(), Ordering::Release);
        drop(kept);
        // Freed outside of the lock: a reader should not wait for the allocator. What no reader has is
        // used again: taking memory anew costs as much as filling it.
        let unread = evicted.into_iter().filter_map(Arc::into_inner).last();
        writer.spare = unread.map(|segment| segment.slots);
    }

    /// Takes out the oldest segments until the others fit.
    fn evict_for_memory(&self, kept: &mut Kept) -> Vec<Arc<Segment>> {
        let mut evicted = Vec::new();
        let Some(limit) = self.limits.bytes else {
            return evicted;
        };
        while kept.bytes > limit && kept.segments.len() > 1 {
            evicted.extend(kept.evict());
        }
        self.floor.store(kept.begin(), Ordering::Release);
        evicted
    }

    /// What is at this position.
    #[must_use]
    pub fn read(&self, position: u64) -> Read {
        loop {
            let end = self.end();
            if position >= end {
                return Read::End;
            }
            let oldest = self.oldest_before(end);
            if position < oldest {
                return Read::Missed {
                    count: oldest - position,
                    resume: oldest,
                };
            }
            // Nothing is there when it was evicted just now; then the next look says so.
            if let Some(batch) = self.batch(position, position, end) {
                return Read::Batch(batch);
            }
        }
    }

    /// What lies together and ends at this position; `None` if nothing before it is kept.
    #[must_use]
    pub fn read_back(&self, position: u64) -> Option<Batch> {
        loop {
            let end = self.end();
            let oldest = self.oldest_before(end);
            let position = position.min(end);
            if position <= oldest {
                return None;
            }
            if let Some(batch) = self.batch(position - 1, oldest, position) {
                return Some(batch);
            }
        }
    }

    /// The part of the segment around `position` that is not before `begin` and ends by `end`.
    fn batch(&self, position: u64, begin: u64, end: u64) -> Option<Batch> {
        let kept = self.kept();
        let index = kept.index_of(position)?;
        let segment = Arc::clone(kept.segments.get(index)?);
        let next = kept.begin_of(index + 1).unwrap_or(u64::MAX);
        drop(kept);
        Some(Batch {
            start: begin.max(segment.start),
            end: end.min(next),
            segment,
        })
    }

    /// Counts what was made of a batch for a reader; the oldest segments go if that is too much.
    pub fn weigh(&self, batch: &Batch) {
        let segment = &batch.segment;
        // Mostly, others made it and counted it.
        if segment.readers_bytes() == segment.counted_bytes.load(Ordering::Relaxed) {
            return;
        }
        let mut kept = self.kept();
        if segment.start < kept.begin() {
            return;
        }
        let bytes = segment.readers_bytes();
        let before = segment.counted_bytes.swap(bytes, Ordering::Relaxed);
        kept.bytes = kept.bytes + bytes - before;
        let evicted = self.evict_for_memory(&mut kept);
        drop(kept);
        drop(evicted);
    }

    /// Position of the oldest event kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest_before(self.end())
    }

    fn oldest_before(&self, end: u64) -> u64 {
        let floor = self.floor.load(Ordering::Acquire);
        end.saturating_sub(self.capacity()).max(floor)
    }

    /// Position after the newest event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.announcer.end()
    }

    /// What is kept now, oldest first.
    #[must_use]
    pub fn batches(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut position = self.end();
        while let Some(batch) = self.read_back(position) {
            position = batch.start();
            batches.push(batch);
        }
        batches.reverse();
        batches
    }

    /// How many events the ring keeps at most.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.limits.events as u64
    }

    /// How much the ring keeps at most.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What the ring holds now.
    #[must_use]
    pub fn fill(&self) -> Fill {
        let end = self.end();
        let oldest = self.oldest_before(end);
        let kept = self.kept();
        let time_ns = |position: u64| {
            // What was the oldest may have left meanwhile.
            let position = position.max(kept.begin());
            let segment = kept.segments.get(kept.index_of(position)?)?;
            let slot = segment.slots.get((position - segment.start) as usize)?;
            Some(slot.event.time_ns())
        };
        Fill {
            events: end.saturating_sub(oldest),
            bytes: kept.bytes,
            span_ns: time_ns(oldest).zip(end.checked_sub(1).and_then(time_ns)),
        }
    }

    /// How many events are in the ring.
    #[must_use]
    pub fn len(&self) -> u64 {
        let end = self.end();
        end.saturating_sub(self.oldest_before(end))
    }

    /// Whether nothing was ever published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end() == 0
    }

    /// Announces the end of the ring whenever it moves; a task of the ring sends, and the sender
    /// goes with the ring.
    ///
    /// # Panics
    /// Outside of a Tokio runtime. It needs timers, too: without them the ring's task ends at the
    /// fiftieth follower, and with it all followers' news.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.announcer.subscribe()
    }

    /// Who reads it.
    #[must_use]
    pub fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Position of the first event.
    fn begin(&self) -> u64 {
        self.begin_of(0).unwrap_or(0)
    }

    fn begin_of(&self, index: usize) -> Option<u64> {
        Some(self.segments.get(index)?.start)
    }

    /// Which segment a position is in; `None` when that was evicted.
    fn index_of(&self, position: u64) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.start <= position)
            .checked_sub(1)
    }

    fn evict(&mut self) -> Option<Arc<Segment>> {
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.bytes();
        Some(segment)
    }
}

impl fmt::Debug for FlowRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FlowRing")
            .field("limits", &self.limits)
            .field("fill", &self.fill())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
