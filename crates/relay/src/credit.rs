//! Credit: the right to have so many bytes waiting in the merge.
//!
//! A reader takes credit before it hands a batch over, and the batch gives it back when its last
//! event leaves. That is the only bound there is on what a call holds, and the only one it needs.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::defaults::{CREDIT_UNIT_BYTES, HELD_BYTES};

/// What the peers of a following call may hold together, on top of what each has of its own.
#[derive(Clone, Debug)]
pub(crate) struct SharedCredit(Arc<Semaphore>);

impl SharedCredit {
    /// So much.
    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / CREDIT_UNIT_BYTES)))
    }

    /// Whether one of the next batches may have to wait.
    pub(crate) fn is_nearly_used_up(&self) -> bool {
        self.0.available_permits() < NEARLY_USED_UP_BYTES / CREDIT_UNIT_BYTES
    }
}

/// More than a batch of the smallest messages takes to hold.
const NEARLY_USED_UP_BYTES: usize = HELD_BYTES / 16;

/// One peer's credit in one call: its own first, then the shared one.
#[derive(Debug)]
pub(crate) struct Credit {
    own_units: u32,
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

impl Credit {
    /// So much of its own.
    pub(crate) fn new(own_bytes: usize, shared: SharedCredit) -> Self {
        let own_units = units(own_bytes);
        Self {
            own_units,
            own: Arc::new(Semaphore::new(own_units as usize)),
            shared: shared.0,
        }
    }

    /// Waits for credit; dropping what is returned gives it back. `bytes` count as the peer's own, and
    /// `held_bytes`, with what it takes to hold them, as what is shared. A single message may be larger
    /// than all that a peer has of its own, and then goes when nothing else of it is waiting.
    ///
    /// # Errors
    /// Never: the semaphores are not closed.
    pub(crate) async fn take(&self, bytes: usize, held_bytes: usize) -> Result<Paid, AcquireError> {
        let own = units(bytes).min(self.own_units);
        // Nearly always; what follows costs several times as much.
        if let Ok(permit) = Arc::clone(&self.own).try_acquire_many_owned(own) {
            return Ok(Paid::own(permit));
        }
        tokio::select! {
            biased;
            permit = Arc::clone(&self.own).acquire_many_owned(own) => permit.map(Paid::own),
            permit = Arc::clone(&self.shared).acquire_many_owned(units(held_bytes)) => {
                permit.map(Paid::shared)
            }
        }
    }
}

/// What something was paid with.
#[derive(Debug)]
pub(crate) struct Paid {
    /// Given back when dropped.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Not with what the peer has of its own: it is held because others are slow.
    pub(crate) is_shared: bool,
}

impl Paid {
    fn own(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit,
            is_shared: false,
        }
    }

    fn shared(permit: OwnedSemaphorePermit) -> Self {
        Self {
            permit,
            is_shared: true,
        }
    }
}

fn units(bytes: usize) -> u32 {
    let units = bytes.div_ceil(CREDIT_UNIT_BYTES).max(1);
    u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const KIB: usize = CREDIT_UNIT_BYTES;

    /// What is there at once.
    fn taken(credit: &Credit, bytes: usize, held_bytes: usize) -> Option<Paid> {
        credit.take(bytes, held_bytes).now_or_never()?.ok()
    }

    #[test]
    fn a_peer_uses_its_own_credit_first_then_the_shared_one_and_then_waits() {
        let shared = SharedCredit::of_bytes(4 * KIB);
        let (a, b) = (
            Credit::new(2 * KIB, shared.clone()),
            Credit::new(2 * KIB, shared),
        );
        let own = taken(&a, 2 * KIB, 2 * KIB).unwrap();
        assert!(!own.is_shared);
        let held: Vec<_> = (0..4).map(|_| taken(&a, 1, 1).unwrap()).collect();
        assert!(held.iter().all(|it| it.is_shared));
        assert!(taken(&a, 1, 1).is_none());
        assert!(taken(&b, 2 * KIB, 2 * KIB).is_some(), "b has its own");
        drop(own);
        assert!(taken(&a, KIB, KIB).is_some());
    }

    #[test]
    fn a_message_larger_than_all_credit_goes_when_nothing_else_waits() {
        let credit = Credit::new(2 * KIB, SharedCredit::of_bytes(0));
        let small = taken(&credit, 1, 1).unwrap();
        assert!(taken(&credit, 100 * KIB, 100 * KIB).is_none());
        drop(small);
        assert!(taken(&credit, 100 * KIB, 100 * KIB).is_some());
    }

    #[test]
    fn what_is_held_is_paid_for_in_full() {
        let credit = Credit::new(2 * KIB, SharedCredit::of_bytes(100 * KIB));
        let _own = taken(&credit, 2 * KIB, 2 * KIB).unwrap();
        // A message that is larger than what a peer has of its own, and one of a byte that takes more
        // to hold.
        let large = taken(&credit, 60 * KIB, 60 * KIB).unwrap();
        assert!(taken(&credit, 60 * KIB, 60 * KIB).is_none());
        let _small = taken(&credit, 1, 40 * KIB).unwrap();
        assert!(taken(&credit, 1, 1).is_none());
        drop(large);
        assert!(taken(&credit, 60 * KIB, 60 * KIB).is_some());
    }
}
