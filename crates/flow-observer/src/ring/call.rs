//! How followers learn of what was published, without the writer waking each of them.
//!
//! ```text
//! writer ──call──▶ announcer ──watch──▶ follower, follower, ...
//! ```
//!
//! The writer raises a flag, and wakes the announcer if the flag was down. The announcer, a task,
//! takes the flag down and then looks how far the ring goes. So what was published before a flag
//! that was up already is seen by the look that follows when it is taken down.

use super::sync::{AtomicBool, Ordering, Signal};

/// The writer's call to the announcer.
pub(super) struct Call {
    /// Raised by the writer, taken down by the announcer.
    raised: AtomicBool,
    signal: Signal,
}

impl Call {
    pub(super) fn new() -> Self {
        Self {
            raised: AtomicBool::new(false),
            signal: Signal::new(),
        }
    }

    /// Calls; costs little when the last call was not answered yet.
    pub(super) fn raise(&self) {
        // Releases what was published, whether or not the flag was up: the announcer acquires it
        // from the last of the calls in a row.
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.signal.notify_one();
        }
    }

    /// Waits for a call. What was published before it, the caller sees from now on.
    pub(super) async fn answer(&self) {
        self.signal.notified().await;
        self.raised.swap(false, Ordering::AcqRel);
    }
}
