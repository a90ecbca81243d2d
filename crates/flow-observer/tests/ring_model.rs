//! What threads share of the flow ring, in every order that the memory model allows: a model
//! checker runs each test with all of them.
//!
//! The files are those of the library; `sync` is the checker's in the place of the library's own.

#[path = "../src/ring/call.rs"]
mod call;
#[path = "../src/ring/run.rs"]
mod run;

mod sync {
    pub(super) use loom::{
        cell::UnsafeCell,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize, Ordering},
        },
    };

    /// As Tokio's `Notify` with one waiter: a call that comes early is kept.
    pub(super) struct Signal(loom::sync::Notify);

    impl Signal {
        pub(super) fn new() -> Self {
            Self(loom::sync::Notify::new())
        }

        pub(super) fn notify_one(&self) {
            self.0.notify();
        }

        /// Blocks the thread: nothing else runs on it.
        #[expect(clippy::unused_async, reason = "as the library's own")]
        pub(super) async fn notified(&self) {
            self.0.wait();
        }
    }
}

use loom::{future::block_on, thread};

use call::Call;
use run::Appender;
use sync::{Arc, AtomicUsize, Ordering};

#[test]
fn a_reader_sees_whole_values_in_order_and_none_that_was_not_published() {
    loom::model(|| {
        let mut appender = Appender::with_capacity(3);
        let values = Arc::clone(appender.run());
        let reader = thread::spawn(move || {
            let len = values.len();
            let seen: Vec<Box<usize>> = (0..len).map_while(|at| values.get(at).cloned()).collect();
            assert_eq!(seen, (0..len).map(Box::new).collect::<Vec<_>>());
            // The first two are published at once.
            assert_ne!(len, 1);
        });
        assert_eq!(appender.extend((0..2).map(Box::new)), 2);
        assert_eq!(appender.room(), 1);
        assert_eq!(appender.extend((2..9).map(Box::new)), 1);
        assert_eq!(appender.room(), 0);
        reader.join().unwrap();
    });
}

#[test]
fn values_are_dropped_once_by_whoever_has_them_last() {
    loom::model(|| {
        let token = Arc::new(());
        let mut appender = Appender::with_capacity(2);
        let values = Arc::clone(appender.run());
        let reader = thread::spawn(move || values.get(0).is_some());
        appender.extend(std::iter::once(Arc::clone(&token)));
        assert_eq!(appender.run().capacity(), 2);
        drop(appender);
        reader.join().unwrap();
        // What is left is this one; the checker complains of memory that nobody freed.
        assert!(Arc::try_unwrap(token).is_ok());
    });
}

#[test]
fn memory_is_used_again_only_when_nobody_has_it() {
    loom::model(|| {
        let mut appender = Appender::with_capacity(1);
        let values = Arc::clone(appender.run());
        let reader = thread::spawn(move || values.get(0).cloned());
        appender.extend(std::iter::once(Box::new(1)));
        let run = Arc::clone(appender.run());
        drop(appender);
        if let Some(mut again) = Appender::reusing(run) {
            assert!(again.run().get(0).is_none());
            assert_eq!(again.extend(std::iter::once(Box::new(2))), 1);
            assert_eq!(again.run().get(0).cloned(), Some(Box::new(2)));
        }
        assert!(reader.join().unwrap().is_none_or(|value| *value == 1));
    });
}

#[test]
fn what_lies_before_the_end_is_visible() {
    loom::model(|| {
        let end = Arc::new(AtomicUsize::new(0));
        let mut appender = Appender::with_capacity(2);
        let (values, seen_end) = (Arc::clone(appender.run()), Arc::clone(&end));
        let reader = thread::spawn(move || {
            let end = seen_end.load(Ordering::Acquire);
            assert!(end <= values.len());
        });
        for value in 0..2 {
            appender.extend(std::iter::once(value));
            end.store(value + 1, Ordering::Release);
        }
        reader.join().unwrap();
    });
}

/// A publication that the announcer slept through would leave it waiting for ever, which the
/// checker reports.
#[test]
fn no_publication_is_slept_through() {
    const PUBLICATIONS: usize = 3;
    loom::model(|| {
        let shared = Arc::new((AtomicUsize::new(0), Call::new()));
        let writing = Arc::clone(&shared);
        let writer = thread::spawn(move || {
            let (end, call) = &*writing;
            for published in 1..=PUBLICATIONS {
                end.store(published, Ordering::Release);
                call.raise();
            }
        });
        let (end, call) = &*shared;
        block_on(async {
            loop {
                call.answer().await;
                if end.load(Ordering::Acquire) == PUBLICATIONS {
                    break;
                }
            }
        });
        writer.join().unwrap();
    });
}
