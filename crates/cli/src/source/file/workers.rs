//! Blocks in, what came of them out, in the order of the blocks: the work is done by as many threads
//! as there are processors.
//!
//! A worker takes the next block while it holds the inputs, works on its own, and then waits until
//! it is its turn to hand over. So there are never more blocks than workers, and whoever receives
//! slowly slows the reading.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::mpsc;

use super::blocks::{Block, Blocks, Next};

/// More threads than this would wait for each other, or for the disk.
const MOST_WORKERS: usize = 16;

/// What waits for the receiver: one while it is at another. When full, the workers wait.
const WAITING: usize = 1;

/// What comes out.
#[derive(Debug)]
pub(super) enum Step<T> {
    /// A block is done.
    Done(T),
    /// Everything that was there was read; more may come.
    CaughtUp,
    /// It cannot go on.
    Failed(anyhow::Error),
    /// Everything was read.
    End,
}

/// What the workers share.
struct Shared<T> {
    source: Mutex<Source>,
    /// The number of the block that is handed over next, or [`GIVEN_UP`].
    turn: Mutex<u64>,
    turned: Condvar,
    steps: mpsc::Sender<Step<T>>,
}

struct Source {
    blocks: Blocks,
    /// Of the next block.
    number: u64,
    is_over: bool,
}

/// A worker is gone without its block, so no other gets its turn.
const GIVEN_UP: u64 = u64::MAX;

/// Starts the workers. Each makes its own tool, which turns blocks into what is handed over.
/// A channel that closes without [`Step::End`] or [`Step::Failed`] tells that one of them broke.
pub(super) fn start<T, W>(
    blocks: Blocks,
    make_tool: impl Fn() -> W,
) -> anyhow::Result<mpsc::Receiver<Step<T>>>
where
    T: Send + 'static,
    W: FnMut(&Block) -> T + Send + 'static,
{
    let (steps, receiver) = mpsc::channel(WAITING);
    let source = Source {
        blocks,
        number: 0,
        is_over: false,
    };
    let shared = Arc::new(Shared {
        source: Mutex::new(source),
        turn: Mutex::new(0),
        turned: Condvar::new(),
        steps,
    });
    let workers = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..workers.min(MOST_WORKERS) {
        let (shared, tool) = (Arc::clone(&shared), make_tool());
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || shared.work(tool))?;
    }
    Ok(receiver)
}

impl<T> Shared<T> {
    fn work(&self, mut tool: impl FnMut(&Block) -> T) {
        let _on_panic = OnPanic(self);
        let mut block = Block::default();
        while let Some((number, next)) = self.take(&mut block) {
            let step = match next {
                Ok(Next::Block) => Step::Done(tool(&block)),
                Ok(Next::CaughtUp) => Step::CaughtUp,
                Ok(Next::End) => Step::End,
                Err(error) => Step::Failed(error),
            };
            if !self.hand_over(number, step) {
                lock(&self.source).is_over = true;
            }
        }
    }

    fn take(&self, block: &mut Block) -> Option<(u64, anyhow::Result<Next>)> {
        let mut source = lock(&self.source);
        if source.is_over {
            return None;
        }
        let next = source.blocks.next(block);
        source.is_over = !matches!(next, Ok(Next::Block | Next::CaughtUp));
        let number = source.number;
        source.number += 1;
        Some((number, next))
    }

    /// Says no if nobody wants more.
    fn hand_over(&self, number: u64, step: Step<T>) -> bool {
        let mut turn = lock(&self.turn);
        while *turn != number {
            if *turn == GIVEN_UP {
                return false;
            }
            turn = self
                .turned
                .wait(turn)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let is_received = self.steps.blocking_send(step).is_ok();
        *turn = number + 1;
        self.turned.notify_all();
        is_received
    }
}

/// Lets the others go when a worker panics: they would wait for its turn.
struct OnPanic<'a, T>(&'a Shared<T>);

impl<T> Drop for OnPanic<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            *lock(&self.0.turn) = GIVEN_UP;
            self.0.turned.notify_all();
        }
    }
}

/// What a panic leaves behind is whole: nothing is half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
