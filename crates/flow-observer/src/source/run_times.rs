//! How long the source's programs in the kernel ran.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Totals of each program since it was loaded, a second old at most. The source writes them where it
/// was asked to measure; anyone reads.
#[derive(Debug, Default)]
pub struct RunTimes(Mutex<BTreeMap<String, RunTime>>);

/// How often a program ran, and for how long in all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RunTime {
    /// How often.
    pub runs: u64,
    /// For how long.
    pub time: Duration,
}

impl RunTimes {
    /// As they are now, by program.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, RunTime> {
        self.lock().clone()
    }

    /// Takes the totals of a program.
    #[cfg(any(feature = "probes", test))]
    pub(crate) fn set(&self, program: &str, run_time: RunTime) {
        let mut all = self.lock();
        match all.get_mut(program) {
            Some(known) => *known = run_time,
            None => drop(all.insert(program.to_owned(), run_time)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, RunTime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
