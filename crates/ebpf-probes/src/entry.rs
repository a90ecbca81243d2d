//! The parts of an entry of the flow table, which several CPUs may work on at the same time.

use probe_events::{Account, FlowState, Marks, Phase};

use crate::atomic;

/// See [`Phase::Leaving`].
///
/// # Safety
/// `state` is a live entry.
#[inline(always)]
pub(crate) unsafe fn is_leaving(state: *mut FlowState) -> bool {
    // SAFETY: the caller's.
    unsafe { core::ptr::read_volatile(&raw const (*state).phase) != Phase::Live as u32 }
}

/// # Safety
/// `state` is a live entry.
#[inline(always)]
pub(crate) unsafe fn marks(state: *mut FlowState, index: usize) -> *mut Marks {
    // SAFETY: the caller's; the mask keeps the verifier from looking for larger ones.
    unsafe { (&raw mut (*state).marks).cast::<Marks>().add(index & 3) }
}

/// # Safety
/// `state` is a live entry.
#[inline(always)]
pub(crate) unsafe fn account(state: *mut FlowState, index: usize) -> *mut Account {
    // SAFETY: as above.
    unsafe {
        (&raw mut (*state).accounts)
            .cast::<Account>()
            .add(index & 3)
    }
}

/// # Safety
/// `account` lies in a live entry.
#[inline(always)]
pub(crate) unsafe fn add(account: *mut Account, packets: u64, bytes: u64) {
    // SAFETY: the caller's; the fields are aligned.
    unsafe {
        atomic::fetch_add(&raw mut (*account).packets, packets);
        atomic::fetch_add(&raw mut (*account).bytes, bytes);
    }
}

/// # Safety
/// `account` lies in a live entry.
#[inline(always)]
pub(crate) unsafe fn take(account: *mut Account) -> (u64, u64) {
    // SAFETY: the caller's. A packet that another CPU counts between the two exchanges splits over
    // two records; the sums are the same.
    unsafe {
        if (*account).packets | (*account).bytes == 0 {
            return (0, 0);
        }
        (
            atomic::take(&raw mut (*account).packets),
            atomic::take(&raw mut (*account).bytes),
        )
    }
}
