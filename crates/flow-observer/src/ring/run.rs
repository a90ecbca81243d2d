//! A run of values that grows at its end while others read it.
//!
//! The memory for all values is taken at once. One [`Appender`] fills it from the front; any number
//! of readers see what is filled. A value that is visible is never written again, so that readers
//! need no lock, and the one that writes never waits for them.
//!
//! ```text
//! | value | value | value |   -   |   -   |
//!   never written again   ^ len           ^ capacity
//! ```

#![expect(
    unsafe_code,
    reason = "what is beyond the visible values is not initialised"
)]

use std::mem::MaybeUninit;

use super::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// The values, for readers.
pub(super) struct Run<T> {
    /// A cell is as its value: both of its layers are transparent.
    pub(super) cells: Box<[UnsafeCell<MaybeUninit<T>>]>,
    /// How many values are visible. Those are initialised, and only shared references to them
    /// exist; the rest belongs to the appender.
    len: AtomicUsize,
}

// SAFETY: a run hands out shared references to its values (`Sync`), and drops them wherever its
// last owner is (`Send`). The appender, which writes through a shared run, is one for each run.
unsafe impl<T: Send + Sync> Sync for Run<T> {}

impl<T> Run<T> {
    /// How many values are visible.
    pub(super) fn len(&self) -> usize {
        // Pairs with the release of the appender: what it wrote before is seen.
        self.len.load(Ordering::Acquire)
    }

    /// How many values there will be.
    pub(super) fn capacity(&self) -> usize {
        self.cells.len()
    }

    /// Drops the values.
    fn clear(&mut self) {
        let len = self.len.load(Ordering::Relaxed);
        // First, so that a value whose drop panics is not dropped again.
        self.len.store(0, Ordering::Relaxed);
        for cell in &self.cells[..len] {
            // SAFETY: values before `len` are initialised, and nobody else has the run: it is
            // borrowed for writing.
            cell.with_mut(|cell| unsafe { (*cell).assume_init_drop() });
        }
    }

    /// A value that is visible.
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len() {
            return None;
        }
        // SAFETY: values before `len` are initialised and never written again while the run lives.
        self.cells[index].with(|cell| Some(unsafe { (*cell).assume_init_ref() }))
    }
}

impl<T> Drop for Run<T> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The one that fills a run.
pub(super) struct Appender<T> {
    run: Arc<Run<T>>,
    len: usize,
}

impl<T> Appender<T> {
    /// An empty run.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let cells = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit()));
        Self {
            run: Arc::new(Run {
                cells: cells.collect(),
                len: AtomicUsize::new(0),
            }),
            len: 0,
        }
    }

    /// The memory of a run that nobody else has, emptied; `None` if somebody has it.
    pub(super) fn reusing(mut run: Arc<Run<T>>) -> Option<Self> {
        Arc::get_mut(&mut run)?.clear();
        Some(Self { run, len: 0 })
    }

    /// What is being filled.
    pub(super) fn run(&self) -> &Arc<Run<T>> {
        &self.run
    }

    /// How many values more there is room for.
    pub(super) fn room(&self) -> usize {
        self.run.capacity() - self.len
    }

    /// Takes as many values as there is room for, and then makes them visible at once. Tells how
    /// many those were.
    pub(super) fn extend(&mut self, values: impl Iterator<Item = T>) -> usize {
        let before = self.len;
        for (cell, value) in self.run.cells[before..].iter().zip(values) {
            // SAFETY: readers only touch values before `run.len`, which is at most `self.len`, and
            // there is no other appender: `self` is borrowed for writing and cannot be cloned.
            cell.with_mut(|cell| unsafe { (*cell).write(value) });
            self.len += 1;
        }
        self.run.len.store(self.len, Ordering::Release);
        self.len - before
    }
}
