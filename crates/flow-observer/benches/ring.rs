//! The flow ring: what an event costs the thread that publishes it, and a reader.
//!
//! `publish` is measured by size of a batch and number of followers. The ring is full and evicts as
//! much as it takes in; followers wait whenever they have read everything. `floor_push` moves the
//! same events into memory that is there already, and drops those of the run before: a ring can cost
//! no less. The time to make the events is not part of either. Figures are those of one event, and
//! medians of many runs.
//!
//! Followers of the benchmark do next to nothing with an event, so that they wake and wait as often
//! as possible. They have one thread.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flow_observer::ring::{Event, FlowRing, Lost, MAX_BATCH, Read};
use tokio::runtime::Runtime;

/// As many events as an agent keeps when nobody asks for more.
const CAPACITY: usize = 4095;
/// Events of a run: so few that they are in the processor's cache, as those that were just made are.
const EVENTS: usize = 2 * MAX_BATCH;
const RUNS: usize = 1001;

/// Losses are as large as flows, as all events are, and there is nothing in them to drop: what is
/// measured is the ring.
fn events(first: usize, count: usize) -> Vec<Event> {
    (first..first + count)
        .map(|number| {
            Event::Lost(Lost {
                time_ns: number as i64,
                count: number as u64,
                cpu: 0,
            })
        })
        .collect()
}

/// Hands out the events of a run batch by batch, in memory that is used again each time: as the agent
/// does.
fn batch_by_batch(run: usize, size: usize, mut take: impl FnMut(&mut Vec<Event>)) -> Duration {
    let mut events = events(run * EVENTS, EVENTS).into_iter();
    let mut batch = Vec::with_capacity(size);
    let started = Instant::now();
    while events.len() > 0 {
        batch.extend(events.by_ref().take(size));
        take(&mut batch);
    }
    started.elapsed()
}

/// Nanoseconds of one event: the median, and the fastest.
fn per_event(mut runs: Vec<Duration>) -> (f64, f64) {
    runs.sort_unstable();
    let ns = |run: Duration| run.as_nanos() as f64 / EVENTS as f64;
    (ns(runs[runs.len() / 2]), ns(runs[0]))
}

fn report(what: &str, runs: Vec<Duration>) {
    let (median, fastest) = per_event(runs);
    println!("{what:<44} {median:>7.1} ns  (fastest {fastest:.1})");
}

fn floor_push(size: usize) {
    let mut kept: Vec<Event> = Vec::with_capacity(CAPACITY + MAX_BATCH);
    let runs = (0..RUNS).map(|run| {
        batch_by_batch(run, size, |batch| {
            if kept.len() + size > kept.capacity() {
                kept.clear();
            }
            kept.append(batch);
            black_box(&mut kept);
        })
    });
    let runs = runs.collect();
    assert_eq!(
        kept.last().map(Event::time_ns),
        Some((RUNS * EVENTS - 1) as i64)
    );
    report(&format!("floor_push, batches of {size}"), runs);
}

/// What followers have read and missed, all in all.
#[derive(Default)]
struct Sum {
    read: AtomicU64,
    missed: AtomicU64,
}

/// Reads all there is.
fn drain(ring: &FlowRing, position: &mut u64, sum: &Sum) {
    loop {
        match ring.read(*position) {
            Read::End => return,
            Read::Missed { count, resume } => {
                sum.missed.fetch_add(count, Ordering::Relaxed);
                *position = resume;
            }
            Read::Batch(batch) => {
                let slots = black_box(batch.from(*position));
                sum.read.fetch_add(slots.len() as u64, Ordering::Relaxed);
                *position = batch.end();
            }
        }
    }
}

async fn follow(ring: Arc<FlowRing>, sum: Arc<Sum>, until: u64) {
    let mut end = ring.subscribe();
    let mut position = 0;
    while position < until {
        let seen = position;
        if end.wait_for(|&end| end > seen).await.is_err() {
            return;
        }
        drain(&ring, &mut position, &sum);
    }
}

fn publish(runtime: &Runtime, size: usize, followers: usize) {
    let ring = Arc::new(FlowRing::new(CAPACITY));
    let sum = Arc::new(Sum::default());
    let written = (RUNS * EVENTS) as u64;
    let following: Vec<_> = (0..followers)
        .map(|_| runtime.spawn(follow(Arc::clone(&ring), Arc::clone(&sum), written)))
        .collect();
    let runs = (0..RUNS).map(|run| batch_by_batch(run, size, |batch| ring.publish(batch)));
    let runs = runs.collect();
    assert_eq!(ring.end(), written);
    assert_eq!(ring.len(), CAPACITY as u64);
    for following in following {
        runtime
            .block_on(following)
            .expect("followers end by themselves");
    }
    let (read, missed) = (&sum.read, &sum.missed);
    let (read, missed) = (read.load(Ordering::Relaxed), missed.load(Ordering::Relaxed));
    assert_eq!(read + missed, written * followers as u64);
    report(
        &format!("publish, batches of {size}, {followers} followers"),
        runs,
    );
}

/// A look at the time of each event of a full ring.
fn read() {
    let ring = FlowRing::new(EVENTS);
    batch_by_batch(0, 64, |batch| ring.publish(batch));
    let runs = (0..RUNS).map(|_| {
        let started = Instant::now();
        let (mut position, mut sum) = (0, 0);
        while let Read::Batch(batch) = ring.read(position) {
            sum += batch
                .from(position)
                .iter()
                .map(|it| it.event.time_ns())
                .sum::<i64>();
            position = batch.end();
        }
        let elapsed = started.elapsed();
        assert_eq!(sum, (EVENTS * (EVENTS - 1) / 2) as i64);
        elapsed
    });
    report("read", runs.collect());
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a runtime can be built");
    println!("an event takes {} bytes", size_of::<Event>());
    for size in [1, 8, 64, MAX_BATCH] {
        floor_push(size);
        for followers in [0, 1, 100] {
            publish(&runtime, size, followers);
        }
    }
    read();
}
