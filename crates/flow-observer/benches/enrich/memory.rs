//! What it takes in memory.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use flow_observer::enrich::{Directory, Inventory, facts::Provider};

use crate::cluster::{ENDPOINTS, NAMES, NODE, names, pods, services, snapshot, told};

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(
    unsafe_code,
    reason = "an allocator that hands everything on to the system's"
)]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps to the contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What is kept, in bytes, beside what a plain map of the same would keep.
pub(crate) fn print() {
    let bytes = |make: &dyn Fn() -> Box<dyn Send>| {
        let before = IN_USE.load(Ordering::Relaxed);
        let made = make();
        let after = IN_USE.load(Ordering::Relaxed);
        drop(made);
        after - before
    };
    let directory_of = |providers: &'static [Provider]| {
        move || -> Box<dyn Send> {
            let directory = Directory::new(NODE, Inventory::default());
            for &provider in providers {
                let facts = match provider {
                    Provider::Pods => pods(1),
                    Provider::Services => services(),
                    _ => names(),
                };
                directory.replace(provider, facts);
            }
            Box::new(directory)
        }
    };
    let empty = bytes(&directory_of(&[]));
    let facts = bytes(&|| Box::new(pods(1)));
    let known = bytes(&directory_of(&[Provider::Pods])) - empty;
    let served = bytes(&directory_of(&[Provider::Pods, Provider::Services])) - empty - known;
    let named = bytes(&directory_of(&[Provider::Inventory])) - empty;
    let each = |bytes: usize, of: u32| bytes / of as usize;
    println!("a directory that knows nothing: {empty} bytes");
    println!(
        "the facts themselves: {} bytes per endpoint",
        each(facts, ENDPOINTS)
    );
    println!("endpoint: {} bytes", each(known, ENDPOINTS));
    println!("backend of a service: {} bytes", each(served, ENDPOINTS));
    println!("address with a fixed name: {} bytes", each(named, NAMES));
    let (snapshot, counters) = (snapshot(), Arc::default());
    let told = bytes(&|| Box::new(told(&snapshot, &counters)));
    println!("address with a name from DNS: {} bytes", each(told, NAMES));
}
