//! Says a thing at most once in a while, so that a client cannot fill the log.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The least time between two lines about the same thing.
const EVERY: Duration = Duration::from_secs(10);

/// One thing that may happen often.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
}

impl Quiet {
    /// How often it has happened since it was told, this time included, if it may be told now.
    pub(super) fn happened(&self) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.untold += 1;
        if state.told.is_some_and(|told| told.elapsed() < EVERY) {
            return None;
        }
        state.told = Some(Instant::now());
        Some(std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once() {
        let quiet = Quiet::default();
        assert_eq!(quiet.happened(), Some(1));
        assert_eq!(quiet.happened(), None);
    }
}
