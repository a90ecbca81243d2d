//! Reading what the optional programs wrote.

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};

use super::{
    last::LastPrograms, measuring::MeasuringReader, reader::report_skips, ring_buffer::RingBuffer,
};
use crate::source::RawEvent;

/// How often the counters of lost records are read, as for the main ring.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// The rings of the optional programs, and the programs themselves: dropping this detaches them.
#[derive(Default)]
pub(crate) struct HookRings {
    rings: Vec<HookRing>,
    /// Closed first: a program that is detached writes nothing more.
    pub(super) links: Vec<OwnedFd>,
    pub(super) last: Option<LastPrograms>,
    pub(super) objects: Vec<Ebpf>,
    pub(super) measuring: Option<MeasuringReader>,
}

/// One ring.
pub(super) struct HookRing {
    ring: RingBuffer,
    lost: PerCpuArray<MapData, u64>,
    /// Lost records per CPU that were reported.
    reported: Vec<u64>,
    counted_at: Instant,
}

impl HookRings {
    pub(super) fn add(&mut self, ring: HookRing) {
        self.rings.push(ring);
    }

    /// Hands on at most `limit` records of each ring, and what was lost. Tells how many.
    pub(super) fn drain(&mut self, limit: usize, sink: &mut dyn FnMut(RawEvent<'_>)) -> usize {
        if let Some(last) = &mut self.last {
            last.stay();
        }
        let mut taken = 0;
        for ring in &mut self.rings {
            taken += ring.drain(limit, sink);
        }
        taken
    }

    /// Takes note of how long the programs ran, where that is measured.
    pub(super) fn measure(&mut self) {
        if let Some(measuring) = &mut self.measuring {
            measuring.read(&self.objects);
        }
    }

    /// Hands on what has come since, at most `limit` records of each ring. For each record of the
    /// main ring: what the optional programs said before it was written shall be known by then.
    #[inline]
    pub(super) fn catch_up(&mut self, limit: usize, sink: &mut dyn FnMut(RawEvent<'_>)) -> usize {
        let rings = self.rings.iter_mut();
        rings.map(|ring| ring.hand_on(limit, sink)).sum()
    }

    /// Readable when there is something to drain.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.rings.iter().map(|ring| ring.ring.as_fd())
    }
}

impl HookRing {
    pub(super) fn new(ring: RingBuffer, lost: PerCpuArray<MapData, u64>) -> Self {
        Self {
            ring,
            lost,
            reported: Vec::new(),
            counted_at: Instant::now(),
        }
    }

    #[inline]
    fn hand_on(&mut self, limit: usize, sink: &mut dyn FnMut(RawEvent<'_>)) -> usize {
        let mut taken = 0;
        while taken < limit
            && let Some(record) = self.ring.next()
        {
            sink(RawEvent::Hook(record));
            taken += 1;
        }
        taken
    }

    fn drain(&mut self, limit: usize, sink: &mut dyn FnMut(RawEvent<'_>)) -> usize {
        let taken = self.hand_on(limit, sink);
        if self.counted_at.elapsed() >= COUNT_EVERY {
            self.counted_at = Instant::now();
            self.report_lost(sink);
        }
        taken
    }

    fn report_lost(&mut self, sink: &mut dyn FnMut(RawEvent<'_>)) {
        report_skips(&mut self.ring, sink);
        let Ok(totals) = self.lost.get(&0, 0) else {
            return;
        };
        self.reported.resize(totals.len(), 0);
        for (cpu, (total, reported)) in (0..).zip(totals.iter().zip(&mut self.reported)) {
            let count = total.saturating_sub(*reported);
            if count > 0 {
                *reported = *total;
                sink(RawEvent::Lost { cpu, count });
            }
        }
    }
}
