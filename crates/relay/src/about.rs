//! What a peer says of itself.

use crate::defaults::CLOCK_WARNING;

/// What is kept of a peer's version.
const LONGEST_VERSION: usize = 64;

/// What a peer has said of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Empty until it is known.
    pub(crate) version: String,
    /// `None` for a peer that does not tell.
    pub(crate) clock: Option<Clock>,
}

/// How far a peer's clock is off ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// Negative for one that is behind.
    pub(crate) ahead_seconds: f64,
    /// How well that is known: half of the time that the answer took.
    pub(crate) within_seconds: f64,
}

impl About {
    /// What came with an answer. A version is shown as it is, so that it has a bound.
    pub(crate) fn new(version: &str, clock: Option<Clock>) -> Self {
        Self {
            version: version.chars().take(LONGEST_VERSION).collect(),
            clock,
        }
    }
}

impl Clock {
    /// Whether it is certainly so far off that flows of this peer are out of place.
    pub(crate) fn is_off(self) -> bool {
        self.ahead_seconds.abs() - self.within_seconds > CLOCK_WARNING.as_secs_f64()
    }
}
