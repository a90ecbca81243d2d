//! How far the ring is complete: up to when all that was seen is in it.
//!
//! Whoever fills the ring says so, for only they know what they have looked at. A thread that is not given a
//! processor says nothing, and nobody is told that it was past a time which it has not come to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Horizon {
    /// Nanoseconds since 1970.
    until_ns: AtomicI64,
    askers: AtomicUsize,
}

/// Somebody who asks again and again, until this is dropped.
#[derive(Debug)]
pub(crate) struct Asker(Arc<Horizon>);

impl Default for Horizon {
    /// Complete, since nobody fills it, or with events of any time.
    fn default() -> Self {
        Self {
            until_ns: AtomicI64::new(i64::MAX),
            askers: AtomicUsize::new(0),
        }
    }
}

impl Horizon {
    /// What is published from now on is later. To be said when all before is published.
    pub(crate) fn reach(&self, until_ns: i64) {
        self.until_ns.store(until_ns, Ordering::Release);
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.askers.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn ask(self: &Arc<Self>) -> Asker {
        self.askers.fetch_add(1, Ordering::Relaxed);
        Asker(Arc::clone(self))
    }
}

impl Asker {
    /// Who reads the ring to its end after this has all events up to then.
    pub(crate) fn until_ns(&self) -> i64 {
        self.0.until_ns.load(Ordering::Acquire)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.askers.fetch_sub(1, Ordering::Relaxed);
    }
}
