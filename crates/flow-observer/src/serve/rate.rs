//! Flows per second over the last minute, exact and cheap however often it is asked for.
//!
//! What was counted is kept: a question reads what came into the ring since the last one, and the
//! stretch that the window begins in.
//!
//! ```text
//! ring:       | older       | stretch | stretch | ... | stretch | new |
//! window:            ^ a minute ago: looked at one by one         ^ counted now
//! ```

use std::{collections::VecDeque, sync::Mutex, sync::PoisonError};

use crate::ring::{FlowRing, MAX_BATCH, Read};

/// Flows per second are counted over this long, or over the history there is.
const WINDOW_NS: i64 = 60_000_000_000;

/// Counts flows as they fall out of a window of time.
#[derive(Debug, Default)]
pub(crate) struct FlowRate {
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Oldest first, without a gap up to `end`.
    stretches: VecDeque<Stretch>,
    /// Position up to which the ring was read.
    end: u64,
    /// Flows in all stretches.
    flows: u64,
    /// Position after the last flow that is known to be older than the window.
    older_end: u64,
}

/// Neighbours in the ring, a batch or several small ones.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    start: u64,
    end: u64,
    flows: u64,
    /// Of its newest flow.
    newest_ns: i64,
    /// Position after its last flow.
    flows_end: u64,
}

impl FlowRate {
    /// Flows per second up to now: over a minute, or from the oldest flow in the ring on where that
    /// is younger.
    pub(crate) fn per_second(&self, ring: &FlowRing, now_ns: i64) -> f64 {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (flows, covered_ns) = counted.count(ring, now_ns);
        if covered_ns <= 0 {
            0.0
        } else {
            flows as f64 * 1e9 / covered_ns as f64
        }
    }
}

impl Counted {
    /// Flows of the window, and how long it is.
    fn count(&mut self, ring: &FlowRing, now_ns: i64) -> (u64, i64) {
        self.read_new(ring);
        let begin_ns = now_ns.saturating_sub(WINDOW_NS);
        let oldest = ring.oldest();
        while let Some(front) = self.stretches.front()
            && (front.end <= oldest || front.newest_ns < begin_ns)
        {
            if front.flows > 0 && front.newest_ns < begin_ns {
                self.older_end = front.flows_end;
            }
            self.flows -= front.flows;
            self.stretches.pop_front();
        }
        let Some(&front) = self.stretches.front() else {
            return (0, WINDOW_NS);
        };
        // Of the first stretch, only a part may be within the window, or in the ring.
        let mut within = 0;
        let mut first_ns = None;
        each(
            ring,
            front.start.max(oldest),
            front.end,
            |position, time_ns| {
                if time_ns < begin_ns {
                    self.older_end = position + 1;
                } else {
                    within += 1;
                    first_ns.get_or_insert(time_ns);
                }
            },
        );
        let flows = self.flows - front.flows + within;
        if self.older_end > oldest {
            return (flows, WINDOW_NS);
        }
        let first_ns = first_ns.or_else(|| self.first_after(ring, front.end));
        let covered_ns = first_ns.map_or(WINDOW_NS, |first_ns| now_ns - first_ns);
        (flows, covered_ns)
    }

    fn read_new(&mut self, ring: &FlowRing) {
        let mut position = self.end.max(ring.oldest());
        loop {
            match ring.read(position) {
                Read::Batch(batch) => {
                    let slots = (position..).zip(batch.from(position));
                    let mut stretch = Stretch {
                        start: position,
                        end: batch.end(),
                        flows: 0,
                        newest_ns: i64::MIN,
                        flows_end: position,
                    };
                    for (at, slot) in slots.filter(|(_, slot)| slot.event.is_flow()) {
                        stretch.flows += 1;
                        stretch.flows_end = at + 1;
                        stretch.newest_ns = stretch.newest_ns.max(slot.event.time_ns());
                    }
                    position = batch.end();
                    self.append(stretch);
                }
                Read::Missed { resume, .. } => position = resume,
                Read::End => break,
            }
        }
        self.end = position;
    }

    /// Small batches become one stretch: as many as there are flows would be no smaller than they.
    fn append(&mut self, stretch: Stretch) {
        self.flows += stretch.flows;
        if let Some(last) = self.stretches.back_mut()
            && last.end == stretch.start
            && stretch.end - last.start <= MAX_BATCH as u64
        {
            last.end = stretch.end;
            last.flows += stretch.flows;
            if stretch.flows > 0 {
                last.flows_end = stretch.flows_end;
            }
            last.newest_ns = last.newest_ns.max(stretch.newest_ns);
        } else {
            self.stretches.push_back(stretch);
        }
    }

    /// The time of the first flow in the stretches from a position on.
    fn first_after(&self, ring: &FlowRing, position: u64) -> Option<i64> {
        let stretch = self
            .stretches
            .iter()
            .find(|it| it.start >= position && it.flows > 0)?;
        let mut first_ns = None;
        each(ring, stretch.start, stretch.end, |_, time_ns| {
            first_ns.get_or_insert(time_ns);
        });
        first_ns
    }
}

/// The positions and times of the flows between two positions, as far as the ring has them.
fn each(ring: &FlowRing, from: u64, to: u64, mut take: impl FnMut(u64, i64)) {
    let mut position = from;
    while position < to {
        match ring.read(position) {
            Read::Batch(batch) => {
                let slots = (position..to).zip(batch.from(position));
                for (at, slot) in slots.filter(|(_, slot)| slot.event.is_flow()) {
                    take(at, slot.event.time_ns());
                }
                position = batch.end();
            }
            Read::Missed { resume, .. } => position = resume,
            Read::End => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_api::flow::Flow;
    use proptest::prelude::*;

    use super::*;
    use crate::ring::{Event, Lost, Message};

    const SECOND: i64 = 1_000_000_000;

    fn flow(time_ns: i64) -> Event {
        Event::Message(Message {
            time_ns,
            message: Box::<Flow>::default(),
        })
    }

    /// As Hubble does it: back from the newest, until one is too old.
    fn plain(ring: &FlowRing, now_ns: i64) -> f64 {
        let begin_ns = now_ns - WINDOW_NS;
        let oldest = ring.oldest();
        let batches = ring.batches();
        let slots = batches
            .iter()
            .rev()
            .flat_map(|it| it.from(oldest).iter().rev());
        let (mut flows, mut covered_ns, mut is_older) = (0_u32, WINDOW_NS, false);
        for slot in slots.filter(|slot| slot.event.is_flow()) {
            if slot.event.time_ns() < begin_ns {
                is_older = true;
                break;
            }
            flows += 1;
            covered_ns = now_ns - slot.event.time_ns();
        }
        if is_older {
            covered_ns = WINDOW_NS;
        }
        match covered_ns {
            1.. => f64::from(flows) * 1e9 / covered_ns as f64,
            _ => 0.0,
        }
    }

    #[test]
    fn without_flows_it_is_zero_and_over_a_short_history_it_is_that_of_the_history() {
        let ring = FlowRing::new(100);
        let rate = FlowRate::default();
        assert_eq!(rate.per_second(&ring, 500 * SECOND), 0.0);
        ring.publish(&mut (0..20).map(|at| flow((490 * SECOND) + at)).collect());
        assert_eq!(rate.per_second(&ring, 500 * SECOND), 2.0);
        assert_eq!(rate.per_second(&ring, 530 * SECOND), 0.5);
        assert_eq!(rate.per_second(&ring, 600 * SECOND), 0.0);
    }

    proptest! {
        #[test]
        fn it_is_what_a_walk_over_the_ring_comes_to(
            capacity in 1_usize..3000,
            steps in prop::collection::vec((0_i64..40, 0_usize..1500, any::<bool>()), 1..25),
        ) {
            let ring = FlowRing::new(capacity);
            let rate = FlowRate::default();
            let mut now_ns = 1000 * SECOND;
            for (seconds, count, asks) in steps {
                let events = (0..count as i64).map(|at| {
                    let time_ns = now_ns + seconds * SECOND * at / count as i64;
                    match at % 7 {
                        3 => Event::Lost(Lost { time_ns, count: 1, cpu: 0 }),
                        _ => flow(time_ns),
                    }
                });
                ring.publish(&mut events.collect());
                now_ns += seconds * SECOND + 1;
                if asks {
                    prop_assert_eq!(rate.per_second(&ring, now_ns), plain(&ring, now_ns));
                }
            }
        }
    }
}
