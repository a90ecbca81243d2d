//! One exporter: a thread that reads the ring at a pace of its own.
//!
//! ```text
//! ring ──▶ filter ──▶ mask, or count ──▶ lines ──▶ file
//!      own position                      whole     rotated, mended
//! ```
//!
//! It slows nobody. While its lines cannot be written it stays where it is in the ring; what leaves
//! the ring meanwhile is counted by the reason, and told in the file when it can be written again.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, sync::watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    aggregate::Aggregator,
    counts::ExporterCounts,
    feed::{Feed, StartError},
    lines::{Gap, Lines, is_wanted},
    sink::Sink,
    spec::{Spec, SyncPolicy},
};
use crate::{
    assemble::now_ns,
    encode::{NodeFacts, Surroundings},
    ring::{FlowRing, Mark, Read, ReaderKind},
};
use flow_filter::Filter;

/// So many bytes of lines are written at once: enough that what a write costs is shared by hundreds.
const LOT: usize = 256 << 10;
/// After a look at the ring, the next one is so much later, so that a busy node wakes an exporter some
/// hundred times a second and not for each packet.
const PAUSE: Duration = Duration::from_millis(5);
/// A ring of so many events is not overtaken within [`PAUSE`]; of a smaller one, it is shorter.
const PAUSE_CAPACITY: u64 = 4095;
/// Events that are lost are gathered for so long before they are told.
const GAP_INTERVAL: Duration = Duration::from_secs(1);

/// A thread that exports.
#[derive(Debug)]
pub(super) struct Exporter {
    thread: JoinHandle<Vec<u64>>,
    closing: CancellationToken,
    counts: Arc<ExporterCounts>,
    written: watch::Receiver<u64>,
}

impl Exporter {
    /// Starts at these positions of the feed's rings; at what comes from now on where there are none.
    pub(super) fn start(
        spec: &Spec,
        is_dynamic: bool,
        sync: SyncPolicy,
        feed: &Feed,
        positions: Option<Vec<u64>>,
    ) -> Result<Self, StartError> {
        let plan = spec.compile()?;
        if spec.field_aggregate.is_empty() != spec.aggregation_interval.is_zero() {
            warn!(
                exporter = spec.name,
                "aggregation needs both fields and an interval: exporting each flow"
            );
        }
        let counts = feed
            .counts
            .of(&spec.name, spec.target.to_string(), is_dynamic);
        let positions = positions.unwrap_or_else(|| feed.rings.iter().map(|it| it.end()).collect());
        let cursor = |(ring, position): (&Arc<FlowRing>, u64)| Cursor {
            end: ring.subscribe(),
            mark: ring.readers().enter(ReaderKind::Export, position),
            ring: Arc::clone(ring),
            position,
        };
        let plain = NodeFacts {
            name: feed.plain_node_name.clone(),
            directory: None,
        };
        let closing = CancellationToken::new();
        let (written, reader) = watch::channel(0);
        let work = Work {
            filter: plan.filter,
            lines: Lines::new(plan.mask, plain),
            aggregator: plan.aggregate.map(Aggregator::new),
            aggregation_interval: spec.aggregation_interval,
            aggregated: Instant::now(),
            end_ns: spec.end_ns,
            cursors: feed.rings.iter().zip(positions).map(cursor).collect(),
            node: Arc::clone(&feed.node),
            sink: Sink::new(spec, sync, Arc::clone(&counts))?,
            counts: Arc::clone(&counts),
            out: Vec::new(),
            gap: None,
            gap_begun: Instant::now(),
            closing: closing.clone(),
            written,
            runtime: Handle::current(),
        };
        let thread = thread::Builder::new()
            .name("export".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            thread,
            closing,
            counts,
            written: reader,
        })
    }

    /// Asks it to write what is in the ring, and then to end.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Waits for the end of one that was closed. Tells its positions; `None` if it did not end in
    /// time, as when nobody reads standard output.
    pub(super) fn join(self, patience: Duration) -> Option<Vec<u64>> {
        const LOOK_EVERY: Duration = Duration::from_millis(2);
        let begun = Instant::now();
        while !self.thread.is_finished() {
            if begun.elapsed() >= patience {
                return None;
            }
            thread::sleep(LOOK_EVERY);
        }
        self.thread.join().ok()
    }

    /// Up to where in the first ring everything is written, or lost.
    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.clone()
    }

    pub(super) fn counts(&self) -> Arc<ExporterCounts> {
        Arc::clone(&self.counts)
    }
}

/// A position in a ring.
struct Cursor {
    ring: Arc<FlowRing>,
    position: u64,
    mark: Mark,
    end: watch::Receiver<u64>,
}

/// What the thread has.
struct Work {
    filter: Filter,
    lines: Lines,
    aggregator: Option<Aggregator>,
    aggregation_interval: Duration,
    aggregated: Instant,
    end_ns: Option<i64>,
    cursors: Vec<Cursor>,
    node: Arc<NodeFacts>,
    sink: Sink,
    counts: Arc<ExporterCounts>,
    /// Lines that are not written yet: a lot, and what one event adds to it.
    out: Vec<u8>,
    gap: Option<Gap>,
    gap_begun: Instant,
    closing: CancellationToken,
    /// For those who must not overtake it.
    written: watch::Sender<u64>,
    runtime: Handle,
}

impl Work {
    fn run(mut self) -> Vec<u64> {
        loop {
            // Before the look: what is published until it is closed is seen by the last one.
            let is_last = self.closing.is_cancelled();
            let has_more = self.read();
            self.aggregate_if_due(is_last);
            if !has_more || self.gap_begun.elapsed() >= GAP_INTERVAL {
                self.tell_gap();
            }
            self.sink.append(&mut self.out);
            self.sink.tick();
            let is_stuck = !self.out.is_empty();
            if !is_stuck && let Some(cursor) = self.cursors.first() {
                self.written.send_replace(cursor.position);
            }
            if is_last && (is_stuck || !has_more) {
                break;
            }
            if is_stuck || !has_more {
                self.wait();
            }
        }
        self.finish()
    }

    /// Reads until there is a lot of lines, or to what is the end now. While lines wait to be written,
    /// only looks for what it misses. Says whether to go on at once.
    fn read(&mut self) -> bool {
        let is_over = self.end_ns.is_some_and(|end_ns| now_ns() >= end_ns);
        if is_over {
            self.counts.ended();
        }
        let mut has_more = false;
        for index in 0..self.cursors.len() {
            has_more |= self.read_ring(index, is_over);
        }
        has_more
    }

    fn read_ring(&mut self, index: usize, is_over: bool) -> bool {
        let node = Arc::clone(&self.node);
        let around = Surroundings::now(&node);
        let Some(Cursor { ring, position, .. }) = self.cursors.get(index) else {
            return false;
        };
        let (ring, begin, end) = (Arc::clone(ring), *position, ring.end());
        let mut position = if is_over { end } else { begin };
        let mut missed = 0;
        while position < end && self.out.len() < LOT {
            match ring.read(position) {
                Read::End => break,
                Read::Missed { count, resume } => {
                    position = resume;
                    missed += count;
                    self.miss(count);
                }
                Read::Batch(batch) => {
                    for slot in batch.from(position) {
                        if self.out.len() >= LOT {
                            break;
                        }
                        position += 1;
                        self.take(&slot.event, &around);
                    }
                }
            }
        }
        if self.out.len() >= LOT
            && let Read::Missed { count, resume } = ring.read(position)
        {
            position = resume;
            missed += count;
            self.miss(count);
        }
        let cursor = &mut self.cursors[index];
        cursor.position = position;
        cursor.mark.set(position);
        cursor.mark.miss(missed);
        // Where so much came at once, the next look is not to wait.
        self.out.len() >= LOT || end.saturating_sub(begin) > ring.capacity() / 8
    }

    fn take(&mut self, event: &crate::ring::Event, around: &Surroundings<'_>) {
        if !is_wanted(&self.filter, event, &self.node) {
            return;
        }
        if let Some(aggregator) = &mut self.aggregator
            && aggregator.count(event, around)
        {
            if aggregator.is_full() {
                self.aggregate();
            }
            return;
        }
        if self.lines.put(event, around, &mut self.out).is_err() {
            self.counts.lost("unreadable", 1);
        }
    }

    fn aggregate_if_due(&mut self, is_last: bool) {
        // While nothing can be written, counting goes on: lines that wait take no more than a lot.
        if self.aggregator.is_some()
            && self.out.len() < LOT
            && (is_last || self.aggregated.elapsed() >= self.aggregation_interval)
        {
            self.aggregated = Instant::now();
            self.aggregate();
        }
    }

    fn aggregate(&mut self) {
        if let Some(aggregator) = &mut self.aggregator
            && aggregator.put(&mut self.out).is_err()
        {
            self.counts.lost("unreadable", 1);
        }
    }

    /// So many events left the ring before they were written.
    fn miss(&mut self, count: u64) {
        self.counts.lost(self.sink.reason(), count);
        let now_ns = now_ns();
        let gap = self.gap.get_or_insert_with(|| {
            self.gap_begun = Instant::now();
            Gap {
                count: 0,
                first_ns: now_ns,
                last_ns: now_ns,
            }
        });
        gap.count += count;
        gap.last_ns = now_ns;
    }

    /// Tells what was missed, if it can be written.
    fn tell_gap(&mut self) {
        if self.sink.wait().is_none()
            && let Some(gap) = self.gap.take()
        {
            self.lines.put_gap(&gap, &mut self.out);
        }
    }

    /// Waits until there is something to do.
    fn wait(&mut self) {
        let closing = self.closing.clone();
        let runtime = self.runtime.clone();
        if let Some(retry) = self.sink.wait() {
            // Never quite nothing: an attempt that fails at once should not be made at once again.
            let retry = retry.max(Duration::from_millis(1));
            runtime.block_on(async {
                drop(tokio::time::timeout(retry, closing.cancelled()).await);
            });
            return;
        }
        let aggregate = self.aggregator.as_ref().map(|_| {
            self.aggregation_interval
                .saturating_sub(self.aggregated.elapsed())
        });
        let due = self.sink.due().into_iter().chain(aggregate).min();
        let due = self.until_end().into_iter().chain(due).min();
        let smallest = self.cursors.iter().map(|it| it.ring.capacity()).min();
        let pause =
            PAUSE.mul_f64(smallest.unwrap_or(0).min(PAUSE_CAPACITY) as f64 / PAUSE_CAPACITY as f64);
        let news = self.cursors.iter_mut().map(|cursor| {
            let position = cursor.position;
            let end = &mut cursor.end;
            Box::pin(async move { drop(end.wait_for(|&end| end > position).await) })
        });
        let news = futures::future::select_all(news);
        runtime.block_on(async {
            tokio::select! {
                _ = news => {
                    drop(tokio::time::timeout(pause, closing.cancelled()).await);
                }
                () = closing.cancelled() => {}
                () = sleep(due) => {}
            }
        });
    }

    /// How long it is to its end.
    fn until_end(&self) -> Option<Duration> {
        let left_ns = self.end_ns?.saturating_sub(now_ns());
        u64::try_from(left_ns)
            .ok()
            .filter(|&left| left > 0)
            .map(Duration::from_nanos)
    }

    /// Writes what is left, or counts it as lost.
    fn finish(mut self) -> Vec<u64> {
        self.tell_gap();
        self.sink.finish(&mut self.out);
        let left = self.out.iter().filter(|&&byte| byte == b'\n').count() as u64;
        if left > 0 {
            self.counts.lost(self.sink.reason(), left);
        }
        self.cursors.iter().map(|it| it.position).collect()
    }
}

async fn sleep(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
