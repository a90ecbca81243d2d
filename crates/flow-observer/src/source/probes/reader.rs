//! Reading the ring buffer, and what was lost before it.

use std::{
    io,
    os::fd::AsFd as _,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::{Array, MapData, MapError, PerCpuArray};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use probe_events::Counter;
use tracing::{debug, warn};

use super::{
    attacher::Ending, clock::WallClock, hook_rings::HookRings, reasons::DropReasons,
    ring_buffer::RingBuffer, statistics::ProbeStatistics,
};
use crate::{
    counters::StageCount,
    source::{Progress, RawEvent, Source, SourceError},
};

/// How often the kernel's counters are read. Rare enough to cost nothing, often enough that a gap
/// is reported close to where it was.
const COUNT_EVERY: Duration = Duration::from_millis(500);
/// How long the reader waits between two looks while there is traffic. Nobody wakes it then, which
/// is what makes a record cheap for the packet that causes it; a ring that fills up does.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// After so many looks in vain it asks to be woken, and sleeps.
const LOOKS_IN_VAIN: u32 = 25;

/// The maps that the reader works with.
pub(super) struct ReaderMaps {
    pub(super) ring: RingBuffer,
    pub(super) counters: PerCpuArray<MapData, u64>,
    /// `DropRate`s: second, drops, suppressed.
    pub(super) drop_rates: Array<MapData, [u64; 3]>,
    /// `ReaderState`: whether the reader is asleep, as a word of two halves; when it was woken.
    pub(super) state: Array<MapData, [u64; 2]>,
}

/// Yields the records of the probes.
pub struct Reader {
    maps: ReaderMaps,
    is_asleep: bool,
    looks_in_vain: u32,
    /// Lost records per CPU that were reported.
    reported: Vec<u64>,
    counted_at: Instant,
    clock: WallClock,
    hooks: HookRings,
    ending: Arc<Ending>,
    reasons: Arc<DropReasons>,
    statistics: Arc<ProbeStatistics>,
}

impl Reader {
    pub(super) fn new(
        maps: ReaderMaps,
        hooks: HookRings,
        ending: Arc<Ending>,
        reasons: Arc<DropReasons>,
        statistics: Arc<ProbeStatistics>,
    ) -> Self {
        Self {
            maps,
            is_asleep: false,
            looks_in_vain: 0,
            reported: Vec::new(),
            counted_at: Instant::now(),
            clock: WallClock::new(),
            hooks,
            ending,
            reasons,
            statistics,
        }
    }

    /// Reads the counters, and reports what the kernel could not put into the ring since the last
    /// time.
    fn count(&mut self, sink: &mut dyn FnMut(RawEvent<'_>)) {
        if self.counted_at.elapsed() < COUNT_EVERY {
            return;
        }
        self.counted_at = Instant::now();
        if let Err(error) = self.read_counters(sink) {
            debug!(%error, "cannot read the probes' counters");
        }
        report_skips(&mut self.maps.ring, sink);
    }

    fn read_counters(&mut self, sink: &mut dyn FnMut(RawEvent<'_>)) -> Result<(), MapError> {
        let mut lost: Vec<u64> = Vec::new();
        let mut rate_limited = 0;
        for (counter, name) in Counter::ALL {
            let by_cpu = self.maps.counters.get(&(counter as u32), 0)?;
            let total = by_cpu.iter().sum();
            self.statistics
                .with(|snapshot| snapshot.counters.insert(name, total));
            match counter {
                Counter::LostTrace | Counter::LostDrop => {
                    lost.resize(by_cpu.len(), 0);
                    for (sum, count) in lost.iter_mut().zip(by_cpu.iter()) {
                        *sum += count;
                    }
                }
                Counter::RateLimited => rate_limited = total,
                _ => {}
            }
        }
        if rate_limited > 0 {
            self.read_drop_rates()?;
        }
        self.reported.resize(lost.len(), 0);
        for (cpu, (total, reported)) in lost.iter().zip(&mut self.reported).enumerate() {
            let count = total.saturating_sub(*reported);
            if count > 0 {
                *reported = *total;
                sink(RawEvent::Lost {
                    cpu: cpu as u32,
                    count,
                });
            }
        }
        self.statistics.with(|snapshot| snapshot.lost_by_cpu = lost);
        Ok(())
    }

    fn read_drop_rates(&mut self) -> Result<(), MapError> {
        for reason in 0..self.maps.drop_rates.len() {
            let [_, _, suppressed] = self.maps.drop_rates.get(&reason, 0)?;
            if suppressed > 0 {
                let name = self.reasons.name(reason);
                self.statistics
                    .with(|snapshot| snapshot.rate_limited.insert(name, suppressed));
            }
        }
        Ok(())
    }

    /// Waits for records: a moment while there is traffic, until woken when there is none.
    fn wait(&mut self, patience: Duration) -> Result<(), SourceError> {
        if !self.is_asleep {
            if self.looks_in_vain < LOOKS_IN_VAIN {
                self.looks_in_vain += 1;
                let patience = LOOK_EVERY.min(patience);
                return wait_readable(&self.maps.ring, &self.hooks, patience)
                    .map_err(SourceError::Wait);
            }
            // The caller looks once more before it waits. A program that found us awake and has
            // not written yet escapes that look; its record waits for the end of our patience.
            self.set_asleep(true);
            return Ok(());
        }
        wait_readable(&self.maps.ring, &self.hooks, patience).map_err(SourceError::Wait)
    }

    fn set_asleep(&mut self, is_asleep: bool) {
        self.is_asleep = is_asleep;
        if let Err(error) = self.maps.state.set(0, as_state(is_asleep), 0) {
            // Awake as the probes see it: they wake us when the ring fills up.
            debug!(%error, "cannot tell the probes whether the reader sleeps");
        }
    }
}

impl Source for Reader {
    fn poll(
        &mut self,
        patience: Duration,
        limit: usize,
        sink: &mut dyn FnMut(RawEvent<'_>),
    ) -> Result<Progress, SourceError> {
        // Asked before the rings are: what comes after the end of the attacher is nothing.
        let was_last = self.ending.is_done();
        let mut taken = self.hooks.drain(limit, sink);
        while taken < limit
            && let Some(record) = self.maps.ring.next()
        {
            taken += self.hooks.catch_up(limit - taken - 1, sink);
            sink(RawEvent::Record(record));
            taken += 1;
        }
        self.count(sink);
        if taken == 0 {
            if was_last {
                return Ok(Progress::Ended);
            }
            self.wait(patience)?;
            return Ok(Progress::More);
        }
        self.looks_in_vain = 0;
        if self.is_asleep {
            self.set_asleep(false);
        }
        Ok(Progress::More)
    }

    fn wall_clock_offset_ns(&mut self) -> i64 {
        self.clock.offset_ns()
    }

    fn finish(&mut self) -> Progress {
        // The attacher detaches, and reports what is left in the flow table.
        self.ending.begin();
        self.set_asleep(false);
        self.looks_in_vain = 0;
        Progress::More
    }

    fn counts(&mut self) -> Vec<StageCount> {
        self.hooks.measure();
        self.statistics.snapshot().stage_counts()
    }
}

/// Each skip lost one record at least, and nobody knows how many, or whose.
pub(super) fn report_skips(ring: &mut RingBuffer, sink: &mut dyn FnMut(RawEvent<'_>)) {
    let count = ring.take_skips();
    if count > 0 {
        warn!(count, "records in a ring of the kernel do not add up");
        sink(RawEvent::Lost { cpu: 0, count });
    }
}

/// `ReaderState` in its bytes: the second half of the first word is unused.
fn as_state(is_asleep: bool) -> [u64; 2] {
    let [a, b, c, d] = u32::from(is_asleep).to_ne_bytes();
    [u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]), 0]
}

fn wait_readable(ring: &RingBuffer, hooks: &HookRings, patience: Duration) -> io::Result<()> {
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    let mut descriptors: Vec<PollFd<'_>> = std::iter::once(ring.as_fd())
        .chain(hooks.descriptors())
        .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
        .collect();
    match poll(&mut descriptors, patience) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
