//! How long to wait before trying again.

use std::time::Duration;

use crate::defaults::RETRY_FIRST;

/// Pauses that double up to a cap. Each is shortened at random by up to half, so that the peers
/// of a cluster that lost its network do not come back in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    cap: Duration,
}

impl Backoff {
    /// Starts at [`RETRY_FIRST`], or the cap if that is less.
    pub(crate) fn with_cap(cap: Duration) -> Self {
        Self {
            next: RETRY_FIRST.min(cap),
            cap,
        }
    }

    /// The pause to make now.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.cap);
        pause.mul_f64(1.0 - fastrand::f64() / 2.0)
    }

    /// What was tried has worked.
    pub(crate) fn reset(&mut self) {
        self.next = RETRY_FIRST.min(self.cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_keep_at_least_half_their_length() {
        let mut backoff = Backoff::with_cap(Duration::from_secs(1));
        for expected_millis in [200, 400, 800, 1000, 1000] {
            let pause = backoff.next().as_millis();
            assert!(
                (expected_millis / 2..=expected_millis).contains(&pause),
                "{pause}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= RETRY_FIRST);
    }
}
