//! Order, capacity and losses, against what was written.

use std::{slice, thread, time::Duration};

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::encode::{GROUP, NodeFacts, Surroundings};

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
    ring.publish(&mut events([1]));
    assert_eq!(drain(&ring, &mut position), (vec![1], 0));
    ring.publish(&mut events([2, 3]));
    assert_eq!(drain(&ring, &mut position), (vec![2, 3], 0));
}

#[test]
fn an_overtaken_reader_is_told_how_many_it_missed() {
    let ring = FlowRing::new(3);
    ring.publish(&mut events(1..=5));
    assert_eq!(drain(&ring, &mut 0), (vec![3, 4, 5], 2));
}

#[test]
fn a_batch_larger_than_the_ring_keeps_its_end() {
    let ring = FlowRing::new(3);
    ring.publish(&mut events(0..5_000));
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
            ring.publish(&mut events(written..written + count as i64));
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

/// Reads on several threads, each with pauses of its own, while another one writes.
#[test]
fn readers_of_every_pace_account_for_all_that_was_written() {
    const WRITTEN: i64 = 60_000;
    let ring = FlowRing::new(2_000);
    let read = |pause_every: usize, pause: Duration| {
        let (mut position, mut newest, mut read, mut missed) = (0, -1, 0, 0);
        for turn in 1.. {
            let (seen, gap) = drain(&ring, &mut position);
            assert!(
                seen.is_sorted_by(|one, other| one < other),
                "in order, once"
            );
            if let Some(first) = seen.first() {
                assert!(*first > newest, "{first} after {newest}");
            }
            newest = seen.last().copied().unwrap_or(newest);
            read += seen.len() as u64;
            missed += gap;
            if newest == WRITTEN - 1 {
                break;
            }
            if turn % pause_every == 0 {
                thread::sleep(pause);
            }
        }
        (read, missed)
    };
    let slow = Duration::from_millis(3);
    thread::scope(|scope| {
        let paces = [(1_000, Duration::ZERO), (100, slow), (3, slow), (1, slow)];
        let readers = paces.map(|(every, pause)| scope.spawn(move || read(every, pause)));
        let mut written = 0;
        for size in (1..100).cycle() {
            let end = WRITTEN.min(written + size);
            ring.publish(&mut events(written..end));
            written = end;
            if written == WRITTEN {
                break;
            }
        }
        for reader in readers {
            let (read, missed) = reader.join().unwrap();
            assert_eq!(read + missed, WRITTEN as u64);
        }
    });
    assert_eq!(ring.len(), 2_000);
}

/// Each follower waits whenever it has read everything, so that most publications find some of them
/// asleep and some on the way to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_follower_sleeps_through_the_last_publication() {
    const FOLLOWERS: usize = 50;
    const BATCHES: i64 = 3_000;
    let ring = Arc::new(FlowRing::new(10_000));
    let follow = |ring: Arc<FlowRing>| async move {
        let mut end = ring.subscribe();
        let (mut position, mut seen) = (0, Vec::new());
        while seen.len() < BATCHES as usize {
            let position_now = position;
            end.wait_for(|&end| end > position_now).await.unwrap();
            let (more, missed) = drain(&ring, &mut position);
            assert_eq!(missed, 0);
            seen.extend(more);
        }
        seen
    };
    let followers: Vec<_> = (0..FOLLOWERS)
        .map(|_| tokio::spawn(follow(Arc::clone(&ring))))
        .collect();
    let writer = tokio::task::spawn_blocking(move || {
        for written in 0..BATCHES {
            ring.publish(&mut events([written]));
            if written % 7 == 0 {
                thread::yield_now();
            }
        }
    });
    for follower in followers {
        let seen = timeout(Duration::from_secs(60), follower).await;
        assert!(seen.unwrap().unwrap().into_iter().eq(0..BATCHES));
    }
    writer.await.unwrap();
}

/// An event in a millisecond: how often a follower is told, and how many events late at most.
async fn told(ring: &FlowRing, followers: usize) -> (u64, u64) {
    let begin = ring.end();
    let mut ends: Vec<_> = (0..followers).map(|_| ring.subscribe()).collect();
    let (mut told, mut late) = (0, 0);
    for written in begin..begin + 1_000 {
        ring.publish(&mut events([written as i64]));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let last = ends.last_mut().unwrap();
        told += u64::from(last.has_changed().unwrap());
        late = late.max(ring.end() - *last.borrow_and_update());
    }
    (told, late)
}

#[tokio::test(start_paused = true)]
async fn the_more_followers_the_rarer_they_are_told_and_none_waits_long() {
    let ring = FlowRing::new(10_000);
    let (often, at_once) = told(&ring, 2).await;
    assert!(often >= 999 && at_once <= 1, "{often} times, {at_once} ms");
    let (rarely, soon) = told(&ring, 5_000).await;
    assert!((45..60).contains(&rarely), "{rarely} times");
    assert!((15..25).contains(&soon), "{soon} ms");
}

#[tokio::test(start_paused = true)]
async fn many_followers_of_a_small_ring_are_told_before_it_overtakes_them() {
    let ring = FlowRing::new(40);
    let (_, late) = told(&ring, 5_000).await;
    assert!(late <= 8, "{late} events");
}

#[tokio::test(start_paused = true)]
async fn many_followers_are_told_at_once_what_comes_after_a_silence() {
    let ring = FlowRing::new(10_000);
    let mut ends: Vec<_> = (0..5_000).map(|_| ring.subscribe()).collect();
    for end in 1..10 {
        let published = tokio::time::Instant::now();
        ring.publish(&mut events([0]));
        let told = ends[0].wait_for(|&told| told == end).await;
        assert!(told.is_ok() && published.elapsed() < Duration::from_millis(2));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn followers_end_with_the_ring() {
    let ring = FlowRing::new(3);
    let mut end = ring.subscribe();
    ring.publish(&mut events([1]));
    end.wait_for(|&end| end == 1).await.unwrap();
    drop(ring);
    let ended = timeout(Duration::from_secs(60), end.wait_for(|&end| end > 1)).await;
    assert!(ended.unwrap().is_err());
}

#[test]
fn walking_back_meets_the_same_events() {
    let ring = FlowRing::new(100);
    for written in 0..50 {
        ring.publish(&mut events(written * 7..written * 7 + 7));
    }
    let mut seen = Vec::new();
    let mut position = u64::MAX;
    while let Some(batch) = ring.read_back(position) {
        position = batch.start();
        seen.extend(
            batch
                .from(position)
                .iter()
                .rev()
                .map(|it| it.event.time_ns()),
        );
    }
    assert!(seen.into_iter().eq((250..350).rev()));
    assert_eq!(position, ring.oldest());
}

fn message(time_ns: i64, bytes: usize) -> Event {
    let flow = flow_api::flow::Flow {
        node_name: "n".repeat(bytes),
        ..Default::default()
    };
    Event::Message(Message {
        time_ns,
        message: Box::new(flow),
    })
}

#[test]
fn a_limit_of_memory_evicts_the_oldest_and_readers_are_told() {
    const LIMIT: u64 = 1 << 20;
    let ring = FlowRing::with_limits(Limits::of_bytes(LIMIT));
    let mut written = 0;
    while written < 10_000 {
        ring.publish(
            &mut (0..10)
                .map(|index| message(written + index, 5_000))
                .collect(),
        );
        written += 10;
        assert!(ring.fill().bytes <= LIMIT, "{:?}", ring.fill());
    }
    // A message takes 5 kB and its fields; a segment less than a tenth of the limit.
    let fill = ring.fill();
    assert!((50..210).contains(&fill.events), "{fill:?}");
    assert_eq!(
        fill.span_ns,
        Some((written - fill.events as i64, written - 1))
    );
    let (seen, missed) = drain(&ring, &mut 0);
    assert_eq!(seen.len() as u64, fill.events);
    assert_eq!(seen.len() as u64 + missed, written as u64);
}

#[test]
fn what_readers_had_encoded_counts_towards_the_limit_of_memory() {
    const LIMIT: u64 = 1 << 20;
    let ring = FlowRing::with_limits(Limits::of_bytes(LIMIT));
    let flows = ring.capacity();
    ring.publish(&mut events(0..flows as i64));
    let before = ring.fill();
    let (mut position, mut read) = (0, 0);
    let node = NodeFacts::default();
    let around = Surroundings::now(&node);
    loop {
        match ring.read(position) {
            Read::Batch(batch) => {
                let (encoded, origin) = batch.encoded();
                for (slot, at) in batch.from(position).iter().zip(position..) {
                    let event = (at - origin) as usize;
                    let (group, first) = (event / GROUP, event % GROUP);
                    let slots = slice::from_ref(slot);
                    encoded.frames(group, slots, first, 1 << first, &around);
                    read += 1;
                }
                ring.weigh(&batch);
                ring.weigh(&batch);
                position = batch.end();
            }
            Read::Missed { resume, .. } => position = resume,
            Read::End => break,
        }
    }
    let after = ring.fill();
    assert!(read > 0 && after.bytes <= LIMIT && after.events < before.events);
}

#[test]
fn a_ring_of_no_memory_keeps_what_came_last() {
    let ring = FlowRing::with_limits(Limits::of_bytes(0));
    for written in 0..20 {
        ring.publish(&mut (0..9).map(|at| message(written * 9 + at, 99)).collect());
    }
    assert_eq!(drain(&ring, &mut 0), (vec![179], 179));
}

#[test]
fn an_empty_ring_has_no_span() {
    let ring = FlowRing::new(3);
    assert_eq!((ring.fill().events, ring.fill().span_ns), (0, None));
    assert!(ring.read_back(9).is_none());
    ring.publish(&mut events([7]));
    assert_eq!(ring.fill().span_ns, Some((7, 7)));
    ring.publish(&mut events([8, 9, 10]));
    assert_eq!(
        (ring.fill().events, ring.fill().span_ns),
        (3, Some((8, 10)))
    );
}
