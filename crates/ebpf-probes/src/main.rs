//! The eBPF programs: what the kernel side of an agent sees.
//!
//! Packets come in through four classifiers (both directions of a pod's device and of a network
//! device) and through the `kfree_skb` tracepoint; records leave through one ring buffer, in the
//! layout of the crate `probe-events`. User space loads the object, tells it where the running
//! kernel keeps its fields, and attaches each program.
//!
//! The programs only watch: classifiers pass every packet on to the next program.
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

mod drops;
mod flow_table;
mod maps;
mod trace;
mod tuple;

/// The licence that the kernel asks for; this crate is under MIT or GPL-2.0.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic: the verifier would refuse a program that could get here.
    loop {}
}
