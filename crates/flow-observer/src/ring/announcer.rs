//! The task that tells followers how far the ring goes.
//!
//! Who waits for the first events after a silence is told at once. While events keep coming, many followers
//! are told now and then: waking each of them costs the same whether there is one event or a hundred.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use super::call::Call;

/// From one announcement to the next, so much for each follower: some times what it takes to wake it
/// and to let it have a look, so that a busy ring is not kept busier by those who look.
const PAUSE_PER_FOLLOWER: Duration = Duration::from_micros(20);
/// What nobody notices.
const MAX_PAUSE: Duration = Duration::from_millis(20);
/// The clock of timers: fewer than fifty followers are told without a pause.
const TICK: Duration = Duration::from_millis(1);
/// A pause ends once such a part of the ring is new, so that nobody is overtaken for it.
const NEW_PART: u64 = 8;

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
    /// A pause ends after so many events.
    patience: u64,
    /// Followers receive; the sender ends with the ring.
    announced: watch::Sender<u64>,
    /// Somebody has subscribed.
    arrived: Notify,
}

impl Announcer {
    /// For a ring of so many events.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                end: AtomicU64::new(0),
                call: Call::new(),
                patience: (capacity / NEW_PART).max(1),
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
        let end = shared.end.load(Ordering::Acquire);
        shared.announced.send_replace(end);
        shared.pause(end).await;
    }
}

impl Shared {
    /// Lets events gather behind what was announced, for the longer the more followers there are.
    async fn pause(&self, announced: u64) {
        let followers = u32::try_from(self.announced.receiver_count()).unwrap_or(u32::MAX);
        let pause = PAUSE_PER_FOLLOWER.saturating_mul(followers).min(MAX_PAUSE);
        let until = Instant::now() + pause;
        while Instant::now() + TICK <= until
            && self.end.load(Ordering::Acquire) - announced < self.patience
        {
            tokio::time::sleep(TICK).await;
        }
    }
}
