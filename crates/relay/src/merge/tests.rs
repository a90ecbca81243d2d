//! The merge against its rules, and against a sorted list.

use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_secs(1);

fn at(seconds: i64) -> Time {
    Time { seconds, nanos: 0 }
}

/// A merge of open lanes whose events are called `a10`: lane and time.
struct Scene {
    merge: Merge<String>,
    lanes: Vec<LaneId>,
    start: Instant,
}

impl Scene {
    fn with_lanes(count: usize) -> Self {
        let mut merge = Merge::new();
        let lanes: Vec<_> = (0..count).map(|_| merge.add_lane()).collect();
        lanes.iter().for_each(|lane| merge.open(*lane));
        Self {
            merge,
            lanes,
            start: Instant::now(),
        }
    }

    fn queue(&mut self, lane: usize, times: &[i64]) {
        self.merge.push(self.lanes[lane], named(lane, times), None);
    }

    /// The same in a following query, where the wall clock shows 1000.
    fn arrive(&mut self, after: Duration, lane: usize, times: &[i64]) {
        let arrived = Arrived {
            at: self.start + after,
            newest_credible: at(1000),
        };
        self.merge
            .push(self.lanes[lane], named(lane, times), Some(arrived));
    }

    fn released(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.merge.pop())
            .map(|(_, item)| item)
            .collect()
    }

    fn released_after(&mut self, after: Duration) -> Vec<String> {
        let now = self.start + after;
        let mut all = self.released();
        while self.merge.expire(now, HOLD).is_some_and(|next| next <= now) {
            all.extend(self.released());
        }
        all.extend(self.released());
        all
    }
}

fn named(lane: usize, times: &[i64]) -> Vec<(Time, String)> {
    let name = ["a", "b", "c", "d"][lane];
    times
        .iter()
        .map(|time| (at(*time), format!("{name}{time}")))
        .collect()
}

#[test]
fn the_oldest_head_goes_first_once_every_lane_has_one() {
    let mut scene = Scene::with_lanes(2);
    scene.queue(0, &[10, 30]);
    assert_eq!(scene.released(), [""; 0], "b may still bring an older one");
    scene.queue(1, &[20, 40]);
    assert_eq!(scene.released(), ["a10", "b20", "a30"]);
    let lane = scene.lanes[0];
    scene.merge.close(lane);
    assert_eq!(scene.released(), ["b40"]);
    assert!(scene.merge.is_empty());
}

#[test]
fn equal_times_go_by_lane_and_then_by_arrival_however_they_come() {
    let mut scene = Scene::with_lanes(2);
    scene.queue(1, &[10, 10]);
    scene.queue(0, &[10]);
    assert_eq!(
        scene.released(),
        ["a10"],
        "a may have another one of the same time"
    );
    scene.queue(0, &[10, 11]);
    assert_eq!(scene.released(), ["a10", "b10", "b10"]);
}

#[test]
fn a_single_lane_is_never_held() {
    let mut scene = Scene::with_lanes(2);
    let lane = scene.lanes[1];
    scene.merge.close(lane);
    scene.arrive(Duration::ZERO, 0, &[10, 20]);
    assert_eq!(scene.released(), ["a10", "a20"]);
}

#[test]
fn a_silent_lane_delays_the_others_by_the_hold_and_no_longer() {
    let mut scene = Scene::with_lanes(2);
    scene.arrive(Duration::ZERO, 0, &[10, 20]);
    assert_eq!(
        scene.released_after(HOLD - Duration::from_millis(1)),
        [""; 0]
    );
    assert_eq!(
        scene.merge.expire(scene.start, HOLD),
        Some(scene.start + HOLD)
    );
    assert_eq!(scene.released_after(HOLD), ["a10", "a20"]);
}

#[test]
fn a_silent_lane_that_has_passed_a_time_delays_nothing_up_to_it() {
    let mut scene = Scene::with_lanes(3);
    scene.arrive(Duration::ZERO, 0, &[10, 20]);
    let (b, c) = (scene.lanes[1], scene.lanes[2]);
    scene.merge.passed(b, at(20));
    assert_eq!(scene.released(), [""; 0]);
    scene.merge.passed(c, at(10));
    assert_eq!(scene.released(), ["a10"]);
    assert_eq!(scene.merge.all_passed(), Some(at(10)));
    // What a stream that broke has promised is asked for again.
    scene.merge.close(c);
    scene.merge.open(c);
    scene.merge.passed(b, at(30));
    assert_eq!(scene.released(), [""; 0]);
    assert_eq!(scene.merge.all_passed(), None);
    scene.merge.passed(c, at(30));
    assert_eq!(scene.released(), ["a20"]);
}

#[test]
fn what_is_older_than_an_expired_event_goes_before_it() {
    let mut scene = Scene::with_lanes(3);
    scene.arrive(Duration::ZERO, 0, &[20]);
    scene.arrive(HOLD / 2, 1, &[10, 30]);
    assert_eq!(scene.released_after(HOLD), ["b10", "a20"]);
    assert_eq!(scene.released_after(HOLD * 2), ["b30"]);
}

#[test]
fn a_late_event_is_handed_on_at_once() {
    let mut scene = Scene::with_lanes(2);
    scene.arrive(Duration::ZERO, 0, &[20]);
    assert_eq!(scene.released_after(HOLD), ["a20"]);
    scene.arrive(HOLD, 1, &[10]);
    assert_eq!(scene.released(), ["b10"]);
}

#[test]
fn events_of_one_lane_that_are_out_of_order_are_put_in_order_while_they_wait() {
    let mut scene = Scene::with_lanes(2);
    scene.queue(0, &[12, 10, 11]);
    scene.queue(1, &[20]);
    assert_eq!(scene.released(), ["a10", "a11", "a12"]);
}

#[test]
fn a_clock_that_is_ahead_does_not_flush_the_others() {
    let mut scene = Scene::with_lanes(3);
    scene.arrive(Duration::ZERO, 0, &[5000]);
    scene.arrive(HOLD / 2, 1, &[20]);
    assert_eq!(scene.released_after(HOLD), ["a5000"]);
    scene.arrive(HOLD, 2, &[10]);
    scene.arrive(HOLD, 0, &[5001]);
    assert_eq!(scene.released(), ["c10"]);
    scene.arrive(HOLD, 2, &[30]);
    assert_eq!(scene.released(), ["b20"]);
}

#[test]
fn events_without_time_go_first() {
    let mut scene = Scene::with_lanes(2);
    scene.queue(0, &[10]);
    let lane = scene.lanes[1];
    scene
        .merge
        .push(lane, [(Time::UNKNOWN, "unknown".to_owned())], None);
    assert_eq!(scene.released(), ["unknown"]);
}

/// One step of a random history: a batch of a lane, or letting out what can go.
#[derive(Clone, Debug)]
enum Step {
    Push(usize, usize),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..5usize, 1..6usize).prop_map(|(lane, count)| Step::Push(lane, count)),
        1 => Just(Step::Pop),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    /// Against the model: all events, sorted by time, then lane, then arrival.
    #[test]
    fn a_finite_merge_is_the_sorted_union_however_the_batches_come(
        mut streams in proptest::collection::vec(proptest::collection::vec(0..50i64, 0..30), 5),
        steps in steps(),
    ) {
        streams.iter_mut().for_each(|stream| stream.sort_unstable());
        let mut model: Vec<(Time, usize, usize)> = Vec::new();
        for (lane, stream) in streams.iter().enumerate() {
            model.extend(stream.iter().enumerate().map(|(nth, time)| (at(*time), lane, nth)));
        }
        model.sort_unstable();

        let mut merge = Merge::new();
        let lanes: Vec<_> = (0..streams.len()).map(|_| merge.add_lane()).collect();
        lanes.iter().for_each(|lane| merge.open(*lane));
        let mut sent = vec![0_usize; streams.len()];
        let mut merged = Vec::new();
        let rest = (0..streams.len()).map(|lane| Step::Push(lane, usize::MAX));
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Push(lane, count) => {
                    let end = sent[lane].saturating_add(count).min(streams[lane].len());
                    let batch = (sent[lane]..end)
                        .map(|nth| (at(streams[lane][nth]), (at(streams[lane][nth]), lane, nth)));
                    merge.push(lanes[lane], batch, None);
                    sent[lane] = end;
                    if end == streams[lane].len() {
                        merge.close(lanes[lane]);
                    }
                }
                Step::Pop => merged.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item)),
            }
        }
        merged.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item));
        prop_assert!(merge.is_empty());
        prop_assert_eq!(merged, model);
    }

    /// Held or late, in order or not: what goes in comes out, once.
    #[test]
    fn a_following_merge_loses_and_doubles_nothing(
        batches in proptest::collection::vec(
            (0..4usize, proptest::collection::vec(0..2000i64, 1..8), 0..400u64),
            0..60,
        ),
    ) {
        let mut scene = Scene::with_lanes(4);
        let mut elapsed = Duration::ZERO;
        let mut expected = Vec::new();
        let mut released = Vec::new();
        for (lane, times, wait) in batches {
            elapsed += Duration::from_millis(wait);
            expected.extend(named(lane, &times).into_iter().map(|(_, name)| name));
            scene.arrive(elapsed, lane, &times);
            released.extend(scene.released_after(elapsed));
        }
        released.extend(scene.released_after(elapsed + HOLD));
        prop_assert!(scene.merge.is_empty());
        released.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(released, expected);
    }

    /// Flows that take less than the hold from when they happen until they come, however they
    /// interleave, with and without peers that say how far they are: all of them, in order.
    #[test]
    fn a_following_merge_is_in_order_where_nothing_is_later_than_the_hold(
        streams in proptest::collection::vec(
            proptest::collection::vec((0..400u64, 0..999u64), 0..25),
            1..6,
        ),
        talks in proptest::collection::vec(any::<bool>(), 6),
        looks in proptest::collection::vec(1..700u64, 1..40),
    ) {
        let time = |millis: u64| Time {
            seconds: (millis / 1000) as i64,
            nanos: (millis % 1000) as i32 * 1_000_000,
        };
        // (when it comes, when it was, lane), by when it comes.
        let mut arrivals = Vec::new();
        for (lane, stream) in streams.iter().enumerate() {
            let (mut was, mut comes) = (0, 0);
            for (gap, delay) in stream {
                was += gap;
                comes = comes.max(was + delay);
                arrivals.push((comes, was, lane));
            }
        }
        arrivals.sort_by_key(|(comes, ..)| *comes);
        let mut expected: Vec<_> = arrivals.iter().map(|(_, was, lane)| (*was, *lane)).collect();
        expected.sort_unstable();

        let start = Instant::now();
        let mut merge = Merge::new();
        let lanes: Vec<_> = streams.iter().map(|_| merge.add_lane()).collect();
        lanes.iter().for_each(|lane| merge.open(*lane));
        let mut released = Vec::new();
        let (mut now, mut taken) = (0, 0);
        for wait in looks.iter().cycle() {
            now += wait;
            while let Some((comes, was, lane)) = arrivals.get(taken).filter(|it| it.0 <= now) {
                let arrived = Arrived {
                    at: start + Duration::from_millis(*comes),
                    newest_credible: time(*comes),
                };
                merge.push(lanes[*lane], [(time(*was), (*was, *lane))], Some(arrived));
                taken += 1;
            }
            for (lane, id) in lanes.iter().enumerate().filter(|(lane, _)| talks[*lane]) {
                // The last moment before what it has not sent yet.
                let next = arrivals[taken..].iter().find(|it| it.2 == lane);
                let passed = next.map_or(now, |it| now.min(it.1.saturating_sub(1)));
                if passed > 0 {
                    merge.passed(*id, time(passed));
                }
            }
            let moment = start + Duration::from_millis(now);
            released.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item));
            while merge.expire(moment, HOLD).is_some_and(|next| next <= moment) {
                released.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item));
            }
            released.extend(std::iter::from_fn(|| merge.pop()).map(|(_, item)| item));
            if taken == arrivals.len() && merge.is_empty() {
                break;
            }
        }
        prop_assert_eq!(released, expected);
    }
}

#[test]
fn peers_that_come_and_go_take_no_more_places_than_there_were_at_once() {
    let mut scene = Scene::with_lanes(2);
    for round in 0..1000 {
        scene.queue(0, &[2 * round + 1]);
        scene.queue(1, &[2 * round]);
        let left = scene.lanes[1];
        scene.merge.remove(left);
        scene.merge.remove(left);
        if round % 2 == 0 {
            // The next one comes while something of the last one is still queued.
            scene.lanes[1] = scene.merge.add_lane();
        }
        let expected = [format!("b{}", 2 * round), format!("a{}", 2 * round + 1)];
        assert_eq!(scene.released(), expected);
        if round % 2 == 1 {
            scene.lanes[1] = scene.merge.add_lane();
        }
        scene.merge.open(scene.lanes[1]);
    }
    assert_eq!(scene.merge.lanes.len(), 3);
}

#[test]
fn what_is_said_of_a_lane_that_was_removed_does_not_concern_the_one_in_its_place() {
    let mut scene = Scene::with_lanes(2);
    let left = scene.lanes[1];
    scene.merge.remove(left);
    let new = scene.merge.add_lane();
    assert_eq!((new.place, scene.merge.lanes.len()), (left.place, 2));
    scene.merge.open(left);
    scene.queue(0, &[1]);
    assert_eq!(scene.released(), ["a1"], "nobody waits for a closed lane");
    scene.merge.open(new);
    scene.merge.close(left);
    scene.merge.passed(left, at(9));
    scene.merge.push(left, named(1, &[2]), None);
    scene.queue(0, &[3]);
    assert!(scene.released().is_empty(), "the new lane is waited for");
    scene.merge.push(new, named(1, &[4]), None);
    assert_eq!(scene.released(), ["a3"]);
}
