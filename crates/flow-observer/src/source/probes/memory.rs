//! Memory that was needed once.

/// Gives back what was freed. Reading the kernel's own types takes some forty megabytes for a
/// moment, and the names of its functions several, which the allocator would keep for an agent that
/// never needs as much again.
#[expect(
    unsafe_code,
    reason = "no library wraps this function of the allocator"
)]
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no memory is passed; the allocator only looks at what is free.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
