//! The thread that does what would hold up the writing: it packs and removes rotated files, and makes
//! what was written outlast a loss of power.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tracing::warn;

use super::{
    backups::{Names, tidy},
    spec::Rotation,
};

/// Jobs of one exporter that wait. They are of two kinds, and one of each that waits stands for all
/// that come later.
const MOST_JOBS: usize = 4;

/// What is to be done beside the writing.
enum Job {
    /// Rotated files changed.
    Tidy,
    /// What was written is to outlast a loss of power.
    Sync(File),
}

/// The thread that does what would hold up the writing. Dropping it stops the thread; what it leaves
/// is done after the next start.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    pub(super) fn start(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let (jobs, receiver) = sync_channel(MOST_JOBS);
        let stop = Arc::new(AtomicBool::new(false));
        let (path, stopped) = (path.to_owned(), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("export-files".to_owned())
            .spawn(move || keep(&path, &rotation, &receiver, &stopped))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            stop,
        })
    }

    pub(super) fn tidy(&self) {
        self.take(Job::Tidy);
    }

    pub(super) fn sync(&self, file: File) {
        self.take(Job::Sync(file));
    }

    /// A queue that is full has a job of the same kind in it, which comes after all that was done.
    fn take(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            drop(jobs.try_send(job));
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that keeps exported files ended early");
        }
    }
}

fn keep(path: &Path, rotation: &Rotation, jobs: &Receiver<Job>, stop: &AtomicBool) {
    let names = Names::of(path);
    for job in jobs {
        let (what, done) = match job {
            Job::Tidy => ("tidy", tidy(&names, rotation, stop)),
            Job::Sync(file) => ("sync", file.sync_data()),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %path.display(), what, %error, "cannot keep exported files in order");
            }
            _ => {}
        }
    }
}
