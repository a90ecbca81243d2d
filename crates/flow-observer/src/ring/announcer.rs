//! The task that tells followers how far the ring goes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};

use super::call::Call;

/// Announces the end of the ring.
pub(super) struct Announcer {
    shared: Arc<Shared>,
    /// Runs once somebody has subscribed.
    task: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// Position after the newest event.
    end: AtomicU64,
    call: Call,
    /// Followers receive; the sender ends with the ring.
    announced: watch::Sender<u64>,
    /// Somebody has subscribed.
    arrived: Notify,
}

impl Announcer {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                end: AtomicU64::new(0),
                call: Call::new(),
                announced: watch::Sender::new(0),
                arrived: Notify::new(),
            }),
            task: Mutex::default(),
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.shared.end.load(Ordering::Acquire)
    }

    /// The ring goes on to here. Nobody is told before [`Self::call`].
    pub(super) fn set_end(&self, end: u64) {
        self.shared.end.store(end, Ordering::Release);
    }

    pub(super) fn call(&self) {
        self.shared.call.raise();
    }

    /// A receiver of the end, which the task tells it whenever it moves.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        let receiver = self.shared.announced.subscribe();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // A task ends early only with its runtime.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(tokio::spawn(announce(Arc::clone(&self.shared))));
        }
        drop(task);
        self.shared.arrived.notify_one();
        receiver
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

async fn announce(shared: Arc<Shared>) {
    loop {
        // Nobody to tell: calls are left unanswered, so that they cost the writer least.
        while shared.announced.receiver_count() == 0 {
            shared.arrived.notified().await;
        }
        shared.call.answer().await;
        shared
            .announced
            .send_replace(shared.end.load(Ordering::Acquire));
    }
}
