//! How fast something that was recorded is handed out.

use std::time::{Duration, Instant};

/// How fast a recording is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pace {
    /// As fast as it can be read.
    #[default]
    FullSpeed,
    /// With the pauses that were between the events.
    Realtime,
}

/// A longer pause is not waited for: a recording that was stopped and continued, or times that are
/// wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Tells when an event of a recording is due.
pub(super) struct Clock {
    pace: Pace,
    /// When the event of a certain time (nanoseconds since 1970) was handed out.
    anchor: Option<(Instant, i64)>,
}

impl Clock {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, anchor: None }
    }

    /// How long it is from `now` until an event is due; zero when it is. The first event is due at
    /// once, and so is one that is older than the one before.
    pub(super) fn wait(&mut self, time_ns: i64, now: impl FnOnce() -> Instant) -> Duration {
        if self.pace == Pace::FullSpeed {
            return Duration::ZERO;
        }
        let now = now();
        let (start, first_ns) = *self.anchor.get_or_insert((now, time_ns));
        let since_first = u64::try_from(time_ns.saturating_sub(first_ns)).unwrap_or(0);
        let pause = Duration::from_nanos(since_first).saturating_sub(now - start);
        if pause > LONGEST_PAUSE {
            self.anchor = Some((now, time_ns));
            return Duration::ZERO;
        }
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn at_full_speed_everything_is_due() {
        let mut clock = Clock::new(Pace::FullSpeed);
        for time_ns in [0, i64::MAX, i64::MIN] {
            assert_eq!(clock.wait(time_ns, Instant::now), Duration::ZERO);
        }
    }

    #[test]
    fn in_realtime_an_event_is_due_as_long_after_the_first_as_it_was() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut clock = Clock::new(Pace::Realtime);
        assert_eq!(clock.wait(100 * SECOND, || start), Duration::ZERO);
        let pause = clock.wait(103 * SECOND, || later(1));
        assert_eq!(pause, Duration::from_secs(2));
        assert_eq!(clock.wait(103 * SECOND, || later(3)), Duration::ZERO);
        assert_eq!(clock.wait(90 * SECOND, || later(3)), Duration::ZERO);
    }

    #[test]
    fn a_pause_of_years_is_a_wrong_time_and_not_waited_for() {
        let start = Instant::now();
        let mut clock = Clock::new(Pace::Realtime);
        assert_eq!(clock.wait(0, || start), Duration::ZERO);
        assert_eq!(clock.wait(i64::MAX - SECOND, || start), Duration::ZERO);
        let pause = clock.wait(i64::MAX, || start);
        assert_eq!(pause, Duration::from_secs(1));
    }
}
