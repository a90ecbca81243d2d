//! Atomic arithmetic on map values, which several CPUs share.
//!
//! The standard library has none for this target, though the instructions have been there since
//! Linux 5.12.

/// Adds, and returns what was there before.
///
/// # Safety
/// `value` is an aligned field of a map value.
#[inline(always)]
pub(crate) unsafe fn fetch_add(value: *mut u64, addend: u64) -> u64 {
    let mut result = addend;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "{result} = atomic_fetch_add((u64 *)({value} + 0), {result})",
            value = in(reg) value,
            result = inout(reg) result,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller's.
    unsafe {
        result = core::sync::atomic::AtomicU64::from_ptr(value)
            .fetch_add(result, core::sync::atomic::Ordering::Relaxed);
    }
    result
}

/// Replaces by zero, and returns what was there before.
///
/// # Safety
/// As [`fetch_add`].
#[inline(always)]
pub(crate) unsafe fn take(value: *mut u64) -> u64 {
    let mut result = 0;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller's.
    unsafe {
        core::arch::asm!(
            "{result} = xchg_64({value} + 0, {result})",
            value = in(reg) value,
            result = inout(reg) result,
            options(nostack),
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller's.
    unsafe {
        result = core::sync::atomic::AtomicU64::from_ptr(value)
            .swap(result, core::sync::atomic::Ordering::Relaxed);
    }
    result
}

/// The same number, of which the compiler forgets where it came from. The verifier's knowledge and
/// the compiler's differ: a test that the compiler finds needless may be the one that the verifier
/// wants to see.
#[inline(always)]
pub(crate) fn forget(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    {
        let mut number = number;
        // An instruction that does nothing: without any, two lines of source would have the same
        // place in the program, which the kernel refuses.
        // SAFETY: moves a register onto itself.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) number, options(nostack, nomem, pure));
        }
        number
    }
    #[cfg(not(target_arch = "bpf"))]
    core::hint::black_box(number)
}
