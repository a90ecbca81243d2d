//! From a source to the ring: one thread, one batch after the other.
//!
//! There is no queue between the stages: what the observer does not take in time waits in the
//! source's own buffer, and is counted there when that is full.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    assemble::Assembler,
    counters::Counters,
    namespaces::SeenNamespaces,
    ring::{FlowRing, MAX_BATCH},
    source::{Progress, Source, SourceError},
};

/// How long the thread waits for events before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(100);

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
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), SourceError> {
        while !stop.load(Ordering::Relaxed) {
            let (events, progress) =
                self.assembler
                    .collect(&mut *self.source, PATIENCE, MAX_BATCH)?;
            let flows = events.iter().filter(|event| event.is_flow()).count();
            self.counters.published(flows as u64);
            self.namespaces.see(&events);
            self.ring.publish(events);
            if progress == Progress::Ended {
                break;
            }
        }
        Ok(())
    }
}
