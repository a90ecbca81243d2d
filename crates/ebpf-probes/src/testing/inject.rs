//! For tests only: writes records as another program's datapath would.
//!
//! Run by `BPF_PROG_TEST_RUN`, the program sends the packet it is given to a perf event array as it is, so
//! that a test decides every byte of a record.
#![no_std]
#![no_main]
#![allow(
    unsafe_code,
    reason = "BPF helpers and kernel memory are behind raw pointers"
)]
#![allow(
    missing_docs,
    reason = "the macros of aya-ebpf make items that cannot carry documentation"
)]

#[path = "../classifier.rs"]
#[macro_use]
mod classifier;

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_F_CURRENT_CPU, TC_ACT_OK},
    helpers::generated::bpf_perf_event_output,
    macros::map,
    maps::PerfEventByteArray,
    programs::TcContext,
};

/// Where the records go; as many slots as there are CPUs.
#[map]
static EVENTS: PerfEventByteArray = PerfEventByteArray::new(0);

classifier! {
    /// Returns what the kernel said to the record, 0 when it was taken.
    fn inject(ctx) -> i32 {
        let nothing = [0u8; 8];
        // The kernel appends as many bytes of the packet as the upper half of the flags tells.
        let flags = u64::from(ctx.len()) << 32 | u64::from(BPF_F_CURRENT_CPU as u32);
        // SAFETY: the context and the map are the kernel's own; none of `nothing` is read.
        let result = unsafe {
            bpf_perf_event_output(
                ctx.as_ptr(),
                (&raw const EVENTS).cast_mut().cast(),
                flags,
                nothing.as_ptr().cast_mut().cast(),
                0,
            )
        };
        if result == 0 {
            TC_ACT_OK
        } else {
            result as i32
        }
    }
}

/// The licence that the kernel asks for; this crate is under MIT or GPL-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic: the verifier would refuse a program that could get here.
    loop {}
}
