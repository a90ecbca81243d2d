//! From the kernel's clock to wall clock time.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How long a measured offset is used. The wall clock is slewed by at most 500 ppm, so in a second
/// it moves by at most half a millisecond; a step is followed within the second.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The distance between CLOCK_MONOTONIC and CLOCK_REALTIME, measured anew every second.
pub(super) struct WallClock {
    offset_ns: i64,
    measured_at: Option<Instant>,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self {
            offset_ns: 0,
            measured_at: None,
        }
    }

    /// Nanoseconds to add to a CLOCK_MONOTONIC time.
    pub(super) fn offset_ns(&mut self) -> i64 {
        if self
            .measured_at
            .is_none_or(|at| at.elapsed() >= MEASURE_EVERY)
        {
            if let Some(offset_ns) = measure() {
                self.offset_ns = offset_ns;
            }
            self.measured_at = Some(Instant::now());
        }
        self.offset_ns
    }
}

/// Reads both clocks a few times and believes the reading that was least disturbed.
fn measure() -> Option<i64> {
    (0..5)
        .filter_map(|_| {
            let before = nanoseconds(ClockId::CLOCK_MONOTONIC)?;
            let wall = nanoseconds(ClockId::CLOCK_REALTIME)?;
            let after = nanoseconds(ClockId::CLOCK_MONOTONIC)?;
            Some((after - before, wall - (before + (after - before) / 2)))
        })
        .min_by_key(|&(disturbance, _)| disturbance)
        .map(|(_, offset)| offset)
}

fn nanoseconds(clock: ClockId) -> Option<i64> {
    let now = clock_gettime(clock).ok()?;
    Some(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn monotonic_time_plus_offset_is_wall_clock_time() {
        let offset_ns = WallClock::new().offset_ns();
        let wall = nanoseconds(ClockId::CLOCK_MONOTONIC).unwrap() + offset_ns;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let difference = now.as_nanos() as i64 - wall;
        assert!(difference.abs() < 1_000_000_000, "off by {difference} ns");
    }
}
