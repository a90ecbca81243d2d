//! How much there was lately: a sliding window of counts.

use std::time::{Duration, Instant};

/// A window is counted in so many parts; the oldest is forgotten as a new one begins.
const SLOTS: usize = 10;

/// Where in time a count belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    slot: Duration,
}

/// A moment as windows know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The number of the part that it is in.
    slot: u64,
    /// How long the parts that are remembered are, up to this moment, in seconds.
    covered: f64,
}

impl Clock {
    /// A clock for windows of this length.
    pub(super) fn new(began: Instant, window: Duration) -> Self {
        Self {
            began,
            slot: (window / SLOTS as u32).max(Duration::from_millis(1)),
        }
    }

    /// The same, begun at another time.
    pub(super) fn begun(self, began: Instant) -> Self {
        Self { began, ..self }
    }

    pub(super) fn at(&self, now: Instant) -> Moment {
        let age = now.saturating_duration_since(self.began).as_secs_f64();
        let slot = self.slot.as_secs_f64();
        let number = (age / slot).floor();
        // The part at hand is not over, and before the beginning there was none.
        let covered = (age - (number - (SLOTS as f64 - 1.0)).max(0.0) * slot).max(slot / 10.0);
        Moment {
            slot: number as u64,
            covered,
        }
    }
}

/// What was counted in the last parts.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    newest: u64,
    flows: [u32; SLOTS],
    bytes: [u64; SLOTS],
}

impl Window {
    pub(super) fn add(&mut self, at: Moment, flows: u64, bytes: u64) {
        self.move_to(at.slot);
        let index = (at.slot % SLOTS as u64) as usize;
        let flows = u32::try_from(flows).unwrap_or(u32::MAX);
        self.flows[index] = self.flows[index].saturating_add(flows);
        self.bytes[index] = self.bytes[index].saturating_add(bytes);
    }

    /// Forgets what is too old.
    fn move_to(&mut self, slot: u64) {
        let passed = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for age in 0..passed {
            let index = ((slot - age) % SLOTS as u64) as usize;
            self.flows[index] = 0;
            self.bytes[index] = 0;
        }
        self.newest = self.newest.max(slot);
    }

    /// Flows and bytes per second. Moves nothing, so that reading is free of order.
    pub(super) fn rates(&self, at: Moment) -> (f64, f64) {
        let oldest = (at.slot + 1).saturating_sub(SLOTS as u64);
        let (mut flows, mut bytes) = (0u64, 0u64);
        for slot in oldest..=at.slot.min(self.newest) {
            // What is older than the newest by a whole turn was overwritten.
            if slot + SLOTS as u64 > self.newest {
                let index = (slot % SLOTS as u64) as usize;
                flows += u64::from(self.flows[index]);
                bytes = bytes.saturating_add(self.bytes[index]);
            }
        }
        (flows as f64 / at.covered, bytes as f64 / at.covered)
    }

    /// Whether nothing came for as long as is remembered.
    pub(super) fn is_silent(&self, at: Moment) -> bool {
        at.slot.saturating_sub(self.newest) >= SLOTS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_with_what_comes_and_fall_when_it_stops() {
        let began = Instant::now();
        let clock = Clock::new(began, Duration::from_secs(10));
        let at = |ms| clock.at(began + Duration::from_millis(ms));
        let mut window = Window::default();
        for second in 0..20 {
            window.add(at(second * 1_000 + 500), 7, 70);
        }
        let (flows, bytes) = window.rates(at(20_000 - 1));
        assert!((flows - 7.0).abs() < 0.1, "{flows}");
        assert!((bytes - 70.0).abs() < 1.0, "{bytes}");
        let (flows, _) = window.rates(at(25_000));
        assert!((2.0..4.5).contains(&flows), "{flows}");
        assert!(!window.is_silent(at(25_000)));
        let (flows, _) = window.rates(at(30_000));
        assert!(flows.abs() < f64::EPSILON, "{flows}");
        assert!(window.is_silent(at(30_000)));
    }

    #[test]
    fn before_a_window_has_passed_the_time_since_the_beginning_counts() {
        let began = Instant::now();
        let clock = Clock::new(began, Duration::from_secs(10));
        let mut window = Window::default();
        window.add(clock.at(began + Duration::from_millis(200)), 100, 0);
        let (flows, _) = window.rates(clock.at(began + Duration::from_secs(2)));
        assert!((flows - 50.0).abs() < 0.1, "{flows}");
    }
}
