//! The eBPF programs: what the kernel side of an agent sees.
//!
//! Packets come in through classifiers, one for each direction of each kind of device, and through
//! the `kfree_skb` tracepoint; records leave through one ring buffer, in the layout of the crate
//! `probe-events`. User space loads the object, tells it where the running kernel keeps its fields,
//! attaches each program, and runs one of them itself: `retire`, which empties the flow table.
//!
//! ```text
//! packet -> quick --> counted in the flow table
//!             |                ^
//!             v                |
//!      plain or walk -> tuple -+-> trace -> ring <- drops <- freed packet
//!                              +<- retire ---^
//! ```
//!
//! The programs only watch: classifiers pass every packet on to the next program.
#![no_std]
#![no_main]
// The compiler for this target is asked for it by `cargo xtask probes`.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(
    unsafe_code,
    reason = "BPF helpers and kernel memory are behind raw pointers"
)]
#![allow(
    missing_docs,
    reason = "the macros of aya-ebpf make items that cannot carry documentation"
)]

#[macro_use]
mod classifier;

mod atomic;
mod drops;
mod entry;
mod flow_table;
mod maps;
mod opaque;
mod payload;
mod plain;
mod quick;
mod retire;
mod settings;
mod trace;
mod tuple;
mod walk;
mod work;

/// The licence that the kernel asks for; this crate is under MIT or GPL-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic: the verifier would refuse a program that could get here.
    loop {}
}
