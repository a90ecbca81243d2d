//! The data path allocates nothing for a record.
#![expect(
    unsafe_code,
    reason = "an allocator that counts is one of the things unsafe is for"
)]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
};

use flow_observer::decode::{Start, decode, dissect, dissect_as_hubble};

/// The system's allocator, with a count for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator; the count touches no memory of its own
// beyond a cell that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations_of(work: impl Fn()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn decoding_a_record_allocates_nothing() {
    assert!(allocations_of(|| drop(black_box(Box::new(1)))) > 0);
    for (name, packet, _) in support::ordinary() {
        let record = support::trace_record(&packet);
        let count = allocations_of(|| {
            for cut in 0..record.len() {
                black_box(decode(&record[..cut])).ok();
            }
            black_box(decode(&record)).unwrap();
            black_box(dissect(&packet, false, Start::Ethernet));
            black_box(dissect_as_hubble(&packet, Start::Ethernet, None)).unwrap();
        });
        assert_eq!(count, 0, "{name}");
    }
}
