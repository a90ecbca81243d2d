//! How to work, as user space says before the programs are loaded.

use probe_events::Settings;

/// User space sets it. The verifier knows each value, and removes what is never done.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings {
    interval_ns: 0,
    aggregation: 0,
    tcp_flags: 0,
    payload_bytes: 0,
    drops_per_second: 0,
};

/// One function per setting, so that a program reads those that it needs.
macro_rules! settings {
    ($($name:ident: $kind:ty,)*) => {$(
        #[doc = concat!("See [`Settings::", stringify!($name), "`].")]
        #[inline(always)]
        pub(crate) fn $name() -> $kind {
            // SAFETY: a valid static; volatile since the loader writes it behind the compiler's back.
            unsafe { core::ptr::read_volatile(&raw const SETTINGS.$name) }
        }
    )*};
}

settings! {
    interval_ns: u64,
    aggregation: u32,
    tcp_flags: u32,
    payload_bytes: u32,
    drops_per_second: u32,
}
