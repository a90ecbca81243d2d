//! What the parts of the ring that threads share are made of. The model checker in
//! `tests/ring_model` puts its own in the place of these.

pub(super) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// Wakes one task. A call that nobody waits for is kept for whoever waits next.
pub(super) type Signal = tokio::sync::Notify;

/// Memory that is written through a shared reference.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Lends the value to be read.
    pub(super) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Lends the value to be written.
    pub(super) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
