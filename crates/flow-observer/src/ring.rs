//! The flow ring: the newest events of this node, in order, for any number of readers.
//!
//! One writer publishes sealed batches; readers walk them with a position of their own and share
//! the batches without copying. The writer never waits for a reader. A reader that falls behind
//! the ring's capacity is told how many events it missed and goes on with the oldest ones kept.
//!
//! ```text
//! positions:   oldest                                   end
//!                | batch | batch | batch | ... | batch |      <- next batch
//!                    ^ reader, 2 batches behind
//! ```

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use flow_api::flow;
use tokio::sync::watch;

use crate::{
    encode::Encoded,
    record::{FlowRecord, Observation},
};

/// Longest batch. Eviction works in whole batches, so the memory kept beyond the capacity is at
/// most this many events.
pub const MAX_BATCH: usize = 1024;

/// Anything that travels in the stream.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all events are flows: a box would cost each of them an allocation"
)]
pub enum Event {
    /// A flow.
    Flow(FlowRecord),
    /// A flow that came as a message.
    Message(Message<flow::Flow>),
    /// Something that an agent of Cilium did.
    Agent(Message<flow::AgentEvent>),
    /// A debug message of Cilium's datapath.
    Debug(Message<flow::DebugEvent>),
    /// A gap before the ring.
    Lost(Lost),
}

/// An event that is a message of the contract already.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<T> {
    /// Wall clock, nanoseconds since 1970.
    pub time_ns: i64,
    /// The message.
    pub message: Box<T>,
}

impl Event {
    /// Wall clock, nanoseconds since 1970.
    #[must_use]
    pub fn time_ns(&self) -> i64 {
        match self {
            Self::Flow(flow) => flow.time_ns,
            Self::Message(flow) => flow.time_ns,
            Self::Agent(event) => event.time_ns,
            Self::Debug(event) => event.time_ns,
            Self::Lost(lost) => lost.time_ns,
        }
    }

    /// Moves the event in time.
    pub(crate) fn set_time_ns(&mut self, time_ns: i64) {
        match self {
            Self::Flow(flow) => flow.time_ns = time_ns,
            Self::Message(flow) => flow.time_ns = time_ns,
            Self::Agent(event) => event.time_ns = time_ns,
            Self::Debug(event) => event.time_ns = time_ns,
            Self::Lost(lost) => lost.time_ns = time_ns,
        }
    }

    /// Whether this is a flow as every client knows them.
    #[must_use]
    pub fn is_flow(&self) -> bool {
        match self {
            Self::Flow(flow) => !matches!(flow.observation, Observation::Closing { .. }),
            Self::Message(_) => true,
            Self::Agent(_) | Self::Debug(_) | Self::Lost(_) => false,
        }
    }

    /// Whether this is a flow, or the rest of one that only clients understand who ask for details.
    #[must_use]
    pub fn is_flow_or_closing(&self) -> bool {
        matches!(self, Self::Flow(_) | Self::Message(_))
    }
}

/// Events that the kernel could not hand over because its ring was full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lost {
    /// When the gap was noticed; nanoseconds since 1970.
    pub time_ns: i64,
    /// How many.
    pub count: u64,
    /// The CPU whose records were lost.
    pub cpu: u32,
}

/// An event in the ring, with its bytes once a reader has asked for them.
#[derive(Debug)]
pub struct Slot {
    /// The event.
    pub event: Event,
    /// The whole event as a response, encoded at most once for all readers. Boxed, as most events
    /// leave the ring without a reader.
    pub(crate) encoded: OnceLock<Box<Encoded>>,
}

/// A run of events that were published together.
#[derive(Debug)]
pub struct Batch {
    start: u64,
    slots: Box<[Slot]>,
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
        self.start + self.slots.len() as u64
    }

    /// The events from a position on.
    #[must_use]
    pub fn from(&self, position: u64) -> &[Slot] {
        let skip = position.saturating_sub(self.start) as usize;
        self.slots.get(skip..).unwrap_or_default()
    }
}

/// What a reader finds at its position.
#[derive(Debug)]
pub enum Read {
    /// The batch that holds the position.
    Batch(Arc<Batch>),
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

/// The newest events of this node.
#[derive(Debug)]
pub struct FlowRing {
    capacity: u64,
    state: Mutex<State>,
    /// The end of the ring, for readers that wait.
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    batches: VecDeque<Arc<Batch>>,
    end: u64,
}

impl FlowRing {
    /// An empty ring that keeps `capacity` events (at least 1).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1) as u64,
            state: Mutex::default(),
            end: watch::Sender::new(0),
        }
    }

    /// Appends events, oldest first, and wakes waiting readers. Only one thread may publish, or
    /// the order of batches is that of the calls.
    pub fn publish(&self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        let mut events = events.into_iter();
        let mut state = self.lock();
        while events.len() > 0 {
            let slots: Box<[Slot]> = events
                .by_ref()
                .take(MAX_BATCH)
                .map(|event| Slot {
                    event,
                    encoded: OnceLock::new(),
                })
                .collect();
            let batch = Batch {
                start: state.end,
                slots,
            };
            state.end = batch.end();
            state.batches.push_back(Arc::new(batch));
        }
        let oldest = state.end.saturating_sub(self.capacity);
        // Batches are freed outside of the lock: a reader should not wait for the allocator.
        let mut evicted = Vec::new();
        while state
            .batches
            .front()
            .is_some_and(|batch| batch.end() <= oldest)
        {
            evicted.extend(state.batches.pop_front());
        }
        let end = state.end;
        drop(state);
        drop(evicted);
        self.end.send_replace(end);
    }

    /// What is at this position.
    #[must_use]
    pub fn read(&self, position: u64) -> Read {
        let state = self.lock();
        let oldest = state.end.saturating_sub(self.capacity);
        if position >= state.end {
            Read::End
        } else if position < oldest {
            Read::Missed {
                count: oldest - position,
                resume: oldest,
            }
        } else {
            let index = state
                .batches
                .partition_point(|batch| batch.end() <= position);
            state
                .batches
                .get(index)
                .map_or(Read::End, |batch| Read::Batch(Arc::clone(batch)))
        }
    }

    /// Position of the oldest event kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.lock().end.saturating_sub(self.capacity)
    }

    /// Position after the newest event.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.lock().end
    }

    /// The batches that hold what is kept now, oldest first.
    #[must_use]
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.lock().batches.iter().cloned().collect()
    }

    /// How many events the ring keeps.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// How many events are in the ring.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end().min(self.capacity)
    }

    /// Whether nothing was ever published.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end() == 0
    }

    /// Announces the end of the ring whenever it moves.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(times: impl IntoIterator<Item = i64>) -> Vec<Event> {
        times
            .into_iter()
            .map(|time_ns| {
                Event::Lost(Lost {
                    time_ns,
                    count: 1,
                    cpu: 0,
                })
            })
            .collect()
    }

    /// Reads until the end: times seen, and how many were missed.
    fn drain(ring: &FlowRing, position: &mut u64) -> (Vec<i64>, u64) {
        let (mut seen, mut missed) = (Vec::new(), 0);
        loop {
            match ring.read(*position) {
                Read::End => return (seen, missed),
                Read::Missed { count, resume } => {
                    missed += count;
                    *position = resume;
                }
                Read::Batch(batch) => {
                    seen.extend(
                        batch
                            .from(*position)
                            .iter()
                            .map(|slot| slot.event.time_ns()),
                    );
                    *position = batch.end();
                }
            }
        }
    }

    #[test]
    fn a_reader_that_keeps_up_sees_everything_at_once() {
        let ring = FlowRing::new(7);
        let mut position = 0;
        ring.publish(events([1]));
        assert_eq!(drain(&ring, &mut position), (vec![1], 0));
        ring.publish(events([2, 3]));
        assert_eq!(drain(&ring, &mut position), (vec![2, 3], 0));
    }

    #[test]
    fn an_overtaken_reader_is_told_how_many_it_missed() {
        let ring = FlowRing::new(3);
        ring.publish(events(1..=5));
        assert_eq!(drain(&ring, &mut 0), (vec![3, 4, 5], 2));
    }

    #[test]
    fn a_batch_larger_than_the_ring_keeps_its_end() {
        let ring = FlowRing::new(3);
        ring.publish(events(0..5_000));
        assert_eq!(drain(&ring, &mut 0), (vec![4_997, 4_998, 4_999], 4_997));
        assert!(ring.batches().len() <= 2);
    }

    proptest! {
        #[test]
        fn every_event_is_read_once_in_order_or_counted_as_missed(
            capacity in 1usize..50,
            steps in prop::collection::vec((0usize..40, any::<bool>()), 1..60),
        ) {
            let ring = FlowRing::new(capacity);
            let (mut written, mut position, mut read, mut missed) = (0i64, 0u64, Vec::new(), 0);
            for (count, reads) in steps {
                ring.publish(events(written..written + count as i64));
                written += count as i64;
                prop_assert_eq!(ring.len(), (written as u64).min(capacity as u64));
                if reads {
                    let before = position;
                    let (seen, gap) = drain(&ring, &mut position);
                    let expected: Vec<i64> = (before as i64..written)
                        .skip((written - before as i64 - capacity as i64).max(0) as usize)
                        .collect();
                    prop_assert_eq!(&seen, &expected);
                    read.extend(seen);
                    missed += gap;
                }
            }
            let (seen, gap) = drain(&ring, &mut position);
            read.extend(seen);
            prop_assert_eq!(read.len() as u64 + missed + gap, written as u64);
            prop_assert!(read.is_sorted());
        }
    }
}
