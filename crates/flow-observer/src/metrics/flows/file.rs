//! The file that says which metrics to make: read again when it changes.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flow_api::server::{Stamp, Watched};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Metric, Mistake, Reloads, config::parse};
use crate::{bounded::read_text, counters::Counters};

/// How often to look. A changed file is read at the second look that finds it the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A longer file is none of this kind: a filter with ten thousand addresses takes a fifth of that.
const MAX_BYTES: u64 = 1 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is too long to be one.
    #[error("{} is longer than {MAX_BYTES} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// What it says means nothing.
    #[error("{}:{}: {}", path.display(), mistake.line, mistake.reason)]
    Mistake {
        /// The file.
        path: PathBuf,
        /// What is wrong in it, and where.
        mistake: Mistake,
    },
}

/// Metrics as a file has them.
///
/// # Errors
/// When it cannot be read, or something in it cannot be used.
pub fn read(path: &Path) -> Result<Vec<Metric>, FileError> {
    Ok(read_after(path, &HashMap::new())?.0)
}

/// The same after others were read, with the text.
fn read_after(
    path: &Path,
    known: &HashMap<String, Metric>,
) -> Result<(Vec<Metric>, String), FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let Some(text) = read_text(path, MAX_BYTES).map_err(failed)? else {
        let path = path.to_owned();
        return Err(FileError::TooLong { path });
    };
    match parse(&text, known) {
        Ok(metrics) => Ok((metrics, text)),
        Err(mistake) => Err(FileError::Mistake {
            path: path.to_owned(),
            mistake,
        }),
    }
}

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct WatchedConfig {
    path: PathBuf,
    watched: Watched<Option<Stamp>>,
    current: watch::Sender<Arc<[Metric]>>,
    /// All that were ever counted, as they were last. Their labels cannot change: whoever adds up
    /// what was scraped would add up different things.
    known: HashMap<String, Metric>,
    reloads: Arc<Reloads>,
    /// Where changes are counted.
    counters: Arc<Counters>,
}

impl WatchedConfig {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or something in it cannot be used.
    pub(crate) fn open(path: &Path, counters: Arc<Counters>) -> Result<Self, FileError> {
        let mut config = Self {
            path: path.to_owned(),
            // Before it is read: what changes in between is a change.
            watched: Watched::new(Stamp::of(path)),
            current: watch::Sender::new(Arc::default()),
            known: HashMap::new(),
            reloads: Arc::default(),
            counters,
        };
        config.take()?;
        Ok(config)
    }

    /// What it says, now and later.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<[Metric]>> {
        self.current.subscribe()
    }

    /// What became of its changes.
    pub(crate) fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// What it says now is so from now on, unless something in it cannot be used.
    fn take(&mut self) -> Result<(), FileError> {
        let (metrics, text) = read_after(&self.path, &self.known)?;
        self.reloads.took(&text);
        let by_name = metrics.iter().map(|it| (it.name.clone(), it.clone()));
        self.known.extend(by_name);
        self.current.send_replace(metrics.into());
        Ok(())
    }

    /// Looks at it. The last good one holds until the next.
    fn look(&mut self) {
        if !self.watched.has_changed(Stamp::of(&self.path)) {
            return;
        }
        let taken = self.take();
        self.counters.metrics_config(taken.is_ok());
        match taken {
            Ok(()) => info!(path = %self.path.display(), "metrics changed"),
            Err(error) => {
                self.reloads.refused();
                let cause = std::error::Error::source(&error).map(tracing::field::display);
                warn!(%error, cause, "metrics stay as they were");
            }
        }
    }

    /// Looks at the file until `closing`.
    pub(crate) async fn follow(mut self, closing: CancellationToken) {
        while closing
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let looked = spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(it) => self = it,
                Err(error) => return warn!(%error, "the metrics' file is not followed any more"),
            }
        }
    }
}
