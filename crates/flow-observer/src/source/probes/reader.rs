//! Reading the ring buffer, and what was lost before it.

use std::{
    io,
    os::fd::AsFd as _,
    time::{Duration, Instant},
};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use probe_events::Counter;

use super::{clock::WallClock, hook_rings::HookRings};
use crate::source::{Progress, RawEvent, Source, SourceError};

/// How often the kernel's counters of lost records are read. Rare enough to cost nothing, often
/// enough that a gap is reported close to where it was.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// Yields the records of the probes.
pub struct Reader {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
    /// Lost records per CPU that were reported.
    reported: Vec<u64>,
    counted_at: Instant,
    clock: WallClock,
    hooks: HookRings,
}

impl Reader {
    pub(super) fn new(
        ring: RingBuf<MapData>,
        counters: PerCpuArray<MapData, u64>,
        hooks: HookRings,
    ) -> Self {
        Self {
            ring,
            counters,
            reported: Vec::new(),
            counted_at: Instant::now(),
            clock: WallClock::new(),
            hooks,
        }
    }

    /// Reports what the kernel could not put into the ring since the last time.
    fn report_lost(&mut self, sink: &mut dyn FnMut(RawEvent<'_>)) {
        if self.counted_at.elapsed() < COUNT_EVERY {
            return;
        }
        self.counted_at = Instant::now();
        let read = |counter: Counter| self.counters.get(&(counter as u32), 0).ok();
        let (Some(traces), Some(drops)) = (read(Counter::LostTrace), read(Counter::LostDrop))
        else {
            return;
        };
        self.reported.resize(traces.len(), 0);
        for (cpu, reported) in self.reported.iter_mut().enumerate() {
            let total =
                traces.get(cpu).copied().unwrap_or(0) + drops.get(cpu).copied().unwrap_or(0);
            let count = total.saturating_sub(*reported);
            if count > 0 {
                *reported = total;
                sink(RawEvent::Lost {
                    cpu: cpu as u32,
                    count,
                });
            }
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
        let mut taken = self.hooks.drain(limit, sink);
        while taken < limit
            && let Some(record) = self.ring.next()
        {
            sink(RawEvent::Record(&record));
            taken += 1;
        }
        self.report_lost(sink);
        if taken == 0 {
            wait_readable(&self.ring, &self.hooks, patience).map_err(SourceError::Wait)?;
        }
        Ok(Progress::More)
    }

    fn wall_clock_offset_ns(&mut self) -> i64 {
        self.clock.offset_ns()
    }
}

fn wait_readable(ring: &RingBuf<MapData>, hooks: &HookRings, patience: Duration) -> io::Result<()> {
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
