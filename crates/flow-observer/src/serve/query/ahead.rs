//! Parts of a large range that worker threads scan while earlier ones are sent.
//!
//! The range is cut into units. Some units of a request are with the workers at a time, and what they
//! find waits in order: that is all that a client who does not read can hold up. A unit of giant flows
//! ends early, and those behind it are begun anew. The workers are
//! shared by all requests, one for each processor, and whoever waits for one gets its turn: a large
//! request leaves the runtime and the other requests alone.

use std::{
    collections::VecDeque,
    num::NonZero,
    sync::{Arc, LazyLock},
    thread::available_parallelism,
};

use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::{Found, Query};
use crate::ring::{Batch, Read};

/// A range as long as this is large: scanning it may take longer than a runtime's thread should be
/// kept busy.
const LARGE_RANGE: u64 = 2048;

/// Events of a unit: enough that the way to another thread costs little beside it.
const UNIT: u64 = 512;

/// Units of a request that are ahead of its client: about 1.5 MB of ordinary flows, and 4 MiB of
/// whatever flows.
const MAX_UNITS: usize = 4;

/// Who scans. The processors are the whole process's, and so are the workers.
static WORKERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new(processors))
});

/// Units that are with the workers, the first one first. Dropping it takes back those that nobody has
/// begun.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    units: VecDeque<AbortOnDropHandle<(Found, Option<u64>)>>,
}

impl Ahead {
    /// What the first unit holds, and where to go on if it ended early; `None` if nothing is ahead.
    pub(super) async fn next(&mut self) -> Option<Result<(Found, Option<u64>), Status>> {
        let unit = self.units.front_mut()?.await;
        self.units.pop_front();
        if let Ok((_, Some(_))) = unit {
            self.units.clear();
        }
        Some(unit.map_err(|error| Status::internal(format!("cannot scan the ring: {error}"))))
    }
}

impl Query {
    /// Hands out units for as long as the range is large and workers are free. Waits for one only if
    /// there is nothing else to do.
    pub(super) async fn read_ahead(&mut self) {
        while self.ahead.units.len() < MAX_UNITS
            && self.ring.end().saturating_sub(self.position) >= LARGE_RANGE
        {
            let Read::Batch(batch) = self.ring.read(self.position) else {
                // A gap is told after what was found before it.
                return;
            };
            if self.ahead.units.is_empty()
                && (self.is_selective_follow() || self.scan.is_ready(&batch, self.position))
            {
                return;
            }
            let workers = Arc::clone(&WORKERS);
            let worker = if self.ahead.units.is_empty() {
                workers.acquire_owned().await.ok()
            } else {
                workers.try_acquire_owned().ok()
            };
            let Some(worker) = worker else { return };
            let (begin, batches) = (self.position, self.unit(batch));
            let (scan, limit) = (Arc::clone(&self.scan), self.remaining);
            let ring = Arc::clone(&self.ring);
            let unit = tokio::task::spawn_blocking(move || {
                let _worker = worker;
                let mut found = Found::default();
                for batch in batches {
                    let position = scan.run(&batch, begin, usize::MAX, limit, &mut found);
                    ring.weigh(&batch);
                    if found.is_over {
                        break;
                    }
                    if found.is_full() {
                        return (found, Some(position));
                    }
                }
                (found, None)
            });
            self.ahead.units.push_back(AbortOnDropHandle::new(unit));
        }
    }

    /// Whether it skips most of what is behind it faster than a worker would be there.
    fn is_selective_follow(&self) -> bool {
        self.follow && self.scan.sought.is_some()
    }

    /// The batches of a unit.
    fn unit(&mut self, first: Batch) -> Vec<Batch> {
        let begin = self.position;
        self.position = first.end();
        let mut batches = vec![first];
        while self.position - begin < UNIT
            && let Read::Batch(batch) = self.ring.read(self.position)
        {
            self.position = batch.end();
            batches.push(batch);
        }
        batches
    }
}
