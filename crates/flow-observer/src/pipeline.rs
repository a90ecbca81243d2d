//! From a source to the ring: one thread, one batch after the other.
//!
//! There is no queue between the stages: what the observer does not take in time waits in the
//! source's own buffer, and is counted there when that is full.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    assemble::{Assembler, now_ns},
    counters::Counters,
    enrich::Misses,
    namespaces::SeenNamespaces,
    record::Observation,
    ring::{Event, FlowRing, MAX_BATCH},
    source::{Progress, Source, SourceError},
};

/// How long the thread waits for events before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// The same while somebody asks how far the ring is complete. A look in vain tells that of the moment when
/// it began, until the next one has ended: of twice this ago at most, the 10 ms that followers are told.
const PATIENCE_WHEN_ASKED: Duration = Duration::from_millis(5);
/// How long an agent that ends goes on taking what its source has left. Detaching from some hundred
/// devices and emptying the flow table takes a second, several where the processors are busy.
const FINISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the source's own counts are asked for.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// A time that lies this far before the newest published one is a step of the wall clock, and is
/// believed. Less is two CPUs that overtook each other between two batches.
const CLOCK_STEP_NS: i64 = 1_000_000_000;

/// Takes events from a source, makes flows of them, and publishes those.
pub struct Pipeline {
    /// Where events come from.
    pub source: Box<dyn Source>,
    /// Makes flows of them.
    pub assembler: Assembler,
    /// Where flows go.
    pub ring: Arc<FlowRing>,
    /// The namespaces that flows came from and went to.
    pub namespaces: Arc<SeenNamespaces>,
    /// What is counted on the way.
    pub counters: Arc<Counters>,
}

impl Pipeline {
    /// Runs until told to stop, or until the source has handed out everything.
    ///
    /// # Errors
    /// When the source breaks.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), SourceError> {
        let mut asked_at = Instant::now();
        let (mut newest_ns, mut events) = (0, Vec::new());
        let result = loop {
            if stop.load(Ordering::Relaxed) {
                break self.finish(&mut newest_ns, &mut events);
            }
            match self.turn(&mut newest_ns, &mut events) {
                Ok(Progress::More) => {}
                Ok(Progress::Ended) => break Ok(()),
                Err(error) => break Err(error),
            }
            if asked_at.elapsed() >= COUNT_EVERY {
                asked_at = Instant::now();
                self.counters.set_source(self.source.counts());
            }
        };
        self.counters.set_source(self.source.counts());
        result
    }

    /// Takes what the source has left, but not for longer than an agent may take to end.
    fn finish(&mut self, newest_ns: &mut i64, events: &mut Vec<Event>) -> Result<(), SourceError> {
        let started = Instant::now();
        let mut progress = self.source.finish();
        while progress == Progress::More && started.elapsed() < FINISH_TIMEOUT {
            progress = self.turn(newest_ns, events)?;
        }
        if progress == Progress::More {
            warn!("ending before the source has handed out what it had left");
        }
        Ok(())
    }

    /// Publishes what the source has now, also if it breaks then. Of `events` only the memory is used, again each time.
    fn turn(
        &mut self,
        newest_ns: &mut i64,
        events: &mut Vec<Event>,
    ) -> Result<Progress, SourceError> {
        let horizon = Arc::clone(self.ring.horizon());
        let patience = match horizon.is_asked_for() {
            true => PATIENCE_WHEN_ASKED,
            false => PATIENCE,
        };
        let begun_ns = now_ns();
        let progress = self
            .assembler
            .collect(&mut *self.source, patience, MAX_BATCH, events);
        let is_recorded = self.source.is_recorded();
        if !is_recorded {
            put_in_order(events, newest_ns);
        }
        let has_events = !events.is_empty();
        Tally::of(events).count(&self.counters);
        self.namespaces.see(events);
        self.ring.publish(events);
        if !is_recorded {
            if self.assembler.found_nothing() {
                horizon.reach(begun_ns);
            } else if has_events {
                horizon.reach(*newest_ns);
            }
        }
        progress
    }
}

/// What a batch has, counted here so that the counters are touched once for each batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Tally {
    flows: u64,
    closing_reports: u64,
    misses: Misses,
}

impl Tally {
    fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        for event in events {
            match event {
                Event::Flow(flow) => {
                    match flow.observation {
                        Observation::Closing { .. } => tally.closing_reports += 1,
                        _ => tally.flows += 1,
                    }
                    tally.misses.note(flow);
                }
                other => tally.flows += u64::from(other.is_flow()),
            }
        }
        tally
    }

    fn count(self, counters: &Counters) {
        counters.published(self.flows, self.closing_reports);
        counters.enrich_missed(self.misses);
    }
}

/// Sorts a batch by time, and lifts what would fall before the batch published before: readers
/// and relays rely on times that never go back. CPUs overtake each other by microseconds.
fn put_in_order(events: &mut [Event], newest_ns: &mut i64) {
    sort(events);
    for event in events {
        let time_ns = event.time_ns();
        // Exported flows may hold any time at all.
        let back_ns = newest_ns.saturating_sub(time_ns);
        if (1..CLOCK_STEP_NS).contains(&back_ns) {
            event.set_time_ns(*newest_ns);
        }
        *newest_ns = event.time_ns();
    }
}

/// Sorts by time, stably. Events are large, and all but in order: what overtook others went past
/// few of them, and only those are moved.
fn sort(events: &mut [Event]) {
    /// Beyond this the general way is the faster one.
    const FEW: usize = 16;
    for at in 1..events.len() {
        let time_ns = events[at].time_ns();
        let before = &events[at.saturating_sub(FEW)..at];
        let overtaken = before
            .iter()
            .rev()
            .take_while(|event| event.time_ns() > time_ns)
            .count();
        if overtaken == FEW {
            events.sort_by_key(Event::time_ns);
            return;
        }
        if overtaken > 0 {
            events[at - overtaken..=at].rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        enrich::{Directory, Inventory},
        ring::{Lost, Read},
        source::{HostFacts, RawEvent},
    };

    fn lost(time_ns: i64) -> Event {
        Event::Lost(Lost {
            time_ns,
            count: 1,
            cpu: 0,
        })
    }

    fn times(events: &[Event]) -> Vec<i64> {
        events.iter().map(Event::time_ns).collect()
    }

    #[test]
    fn times_never_go_back_within_and_across_batches() {
        let mut newest_ns = 0;
        let mut first = [lost(30), lost(10), lost(20)];
        put_in_order(&mut first, &mut newest_ns);
        assert_eq!(times(&first), [10, 20, 30]);
        let mut second = [lost(40), lost(25)];
        put_in_order(&mut second, &mut newest_ns);
        assert_eq!(times(&second), [30, 40]);
    }

    proptest! {
        #[test]
        fn events_of_the_same_time_keep_their_order(times in prop::collection::vec(0i64..40, 0..80)) {
            let numbered = |(count, &time_ns)| Event::Lost(Lost { time_ns, count, cpu: 0 });
            let mut events: Vec<Event> = (0..).zip(&times).map(numbered).collect();
            let mut expected = events.clone();
            expected.sort_by_key(Event::time_ns);
            sort(&mut events);
            prop_assert_eq!(events, expected);
        }
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut newest_ns = 0;
        let mut first = [lost(i64::MAX)];
        put_in_order(&mut first, &mut newest_ns);
        let mut second = [lost(i64::MIN), lost(i64::MAX)];
        put_in_order(&mut second, &mut newest_ns);
        assert_eq!(times(&second), [i64::MIN, i64::MAX]);
    }

    #[test]
    fn a_wall_clock_that_was_set_back_is_believed() {
        let mut newest_ns = 10 * CLOCK_STEP_NS;
        let mut batch = [lost(CLOCK_STEP_NS)];
        put_in_order(&mut batch, &mut newest_ns);
        assert_eq!(times(&batch), [CLOCK_STEP_NS]);
    }

    struct NoFacts;

    impl HostFacts for NoFacts {}

    /// Tells of a loss when it is looked at first, and then of nothing or breaks.
    struct OneLoss {
        was_told: bool,
        breaks: bool,
    }

    impl Source for OneLoss {
        fn poll(
            &mut self,
            _: Duration,
            _: usize,
            sink: &mut dyn FnMut(RawEvent<'_>),
        ) -> Result<Progress, SourceError> {
            if !std::mem::replace(&mut self.was_told, true) {
                sink(RawEvent::Lost { cpu: 0, count: 3 });
            }
            if self.breaks {
                return Err(SourceError::Wait(std::io::Error::other("broken")));
            }
            Ok(Progress::More)
        }
    }

    fn one_loss(breaks: bool) -> OneLoss {
        OneLoss {
            was_told: false,
            breaks,
        }
    }

    fn pipeline(source: impl Source + 'static) -> Pipeline {
        let counters = Arc::new(Counters::default());
        Pipeline {
            source: Box::new(source),
            assembler: Assembler::new(
                Box::new(NoFacts),
                Arc::new(Directory::new("node-1", Inventory::default())),
                Arc::default(),
                Arc::clone(&counters),
            ),
            ring: Arc::new(FlowRing::new(8)),
            namespaces: Arc::default(),
            counters,
        }
    }

    #[test]
    fn a_ring_is_complete_up_to_the_newest_event_or_the_last_look_in_vain() {
        let mut pipeline = pipeline(one_loss(false));
        let asker = pipeline.ring.horizon().ask();
        assert_eq!(asker.until_ns(), i64::MAX, "nobody fills it");
        let (mut newest_ns, mut events) = (0, Vec::new());
        pipeline.turn(&mut newest_ns, &mut events).unwrap();
        assert_eq!(asker.until_ns(), newest_ns);
        let before_ns = now_ns();
        pipeline.turn(&mut newest_ns, &mut events).unwrap();
        assert!((before_ns..=now_ns()).contains(&asker.until_ns()));
    }

    #[test]
    fn what_a_source_told_before_it_broke_is_published() {
        let mut pipeline = pipeline(one_loss(true));
        pipeline.run(&AtomicBool::new(false)).unwrap_err();
        let read = pipeline.ring.read(0);
        assert!(matches!(read, Read::Batch(batch) if batch.from(0).len() == 1));
    }
}
