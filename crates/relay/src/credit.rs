//! Credit: the right to have so many bytes waiting in the merge.
//!
//! A reader takes credit before it hands a batch over, and the batch gives it back when its last
//! event leaves. That is the only bound there is on what a call holds, and the only one it needs.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::defaults::{BATCH_BYTES, CREDIT_UNIT_BYTES};

/// What the peers of a following call may hold together, on top of what each has of its own.
#[derive(Clone, Debug)]
pub(crate) struct SharedCredit(Arc<Semaphore>);

impl SharedCredit {
    /// So much.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / CREDIT_UNIT_BYTES)))
    }

    /// Whether the next batch may have to wait.
    pub(crate) fn is_nearly_used_up(&self) -> bool {
        self.0.available_permits() < BATCH_BYTES / CREDIT_UNIT_BYTES
    }
}

/// One peer's credit in one call: its own first, then the shared one.
#[derive(Debug)]
pub(crate) struct Credit {
    own_units: usize,
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

impl Credit {
    /// So much of its own.
    pub(crate) fn new(own_bytes: usize, shared: SharedCredit) -> Self {
        let own_units = own_bytes / CREDIT_UNIT_BYTES;
        Self {
            own_units,
            own: Arc::new(Semaphore::new(own_units)),
            shared: shared.0,
        }
    }

    /// Waits for so much credit; dropping what is returned gives it back. A single message may be
    /// larger than all of it, and then goes when nothing else is waiting.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    pub(crate) async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AcquireError> {
        let units = bytes.div_ceil(CREDIT_UNIT_BYTES).clamp(1, self.own_units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // Nearly always; what follows costs several times as much.
        if let Ok(permit) = Arc::clone(&self.own).try_acquire_many_owned(units) {
            return Ok(permit);
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.own).acquire_many_owned(units) => permit,
            permit = Arc::clone(&self.shared).acquire_many_owned(units) => permit,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const KIB: usize = CREDIT_UNIT_BYTES;

    #[test]
    fn a_peer_uses_its_own_credit_first_then_the_shared_one_and_then_waits() {
        let shared = SharedCredit::of_bytes(4 * KIB);
        let (a, b) = (
            Credit::new(2 * KIB, shared.clone()),
            Credit::new(2 * KIB, shared),
        );
        let own = a.take(2 * KIB).now_or_never().unwrap().unwrap();
        let held: Vec<_> = (0..4)
            .map(|_| a.take(1).now_or_never().unwrap().unwrap())
            .collect();
        assert!(a.take(1).now_or_never().is_none());
        assert!(b.take(2 * KIB).now_or_never().is_some(), "b has its own");
        drop(own);
        assert!(a.take(KIB).now_or_never().is_some());
        drop(held);
    }

    #[test]
    fn a_message_larger_than_all_credit_goes_when_nothing_else_waits() {
        let credit = Credit::new(2 * KIB, SharedCredit::of_bytes(0));
        let small = credit.take(1).now_or_never().unwrap();
        assert!(credit.take(100 * KIB).now_or_never().is_none());
        drop(small);
        assert!(credit.take(100 * KIB).now_or_never().is_some());
    }
}
