//! The file that says which metrics to make: read again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flow_api::server::{Stamp, Watched};
use flow_filter::Filter;
use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ConfigError, Metric, parse_yaml};

/// How often to look. A changed file is read at the second look that finds it the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
        source: std::io::Error,
    },
    /// It is none.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: ConfigError,
    },
    /// A filter makes no sense.
    #[error("{}: {source}", path.display())]
    Filter {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        source: flow_filter::FilterError,
    },
}

/// Metrics as a file has them.
///
/// # Errors
/// When it cannot be read, or something in it cannot be used.
pub fn read(path: &Path) -> Result<Vec<Metric>, FileError> {
    let path_of = || path.to_owned();
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read {
        path: path_of(),
        source,
    })?;
    let metrics = parse_yaml(&text).map_err(|source| FileError::Config {
        path: path_of(),
        source,
    })?;
    for metric in &metrics {
        Filter::compile(&metric.include, &metric.exclude).map_err(|source| FileError::Filter {
            path: path_of(),
            source,
        })?;
    }
    Ok(metrics)
}

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct WatchedConfig {
    path: PathBuf,
    watched: Watched<Option<Stamp>>,
    current: watch::Sender<Arc<[Metric]>>,
}

impl WatchedConfig {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or something in it cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self, FileError> {
        let watched = Watched::new(Stamp::of(path));
        let metrics = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            watched,
            current: watch::Sender::new(metrics.into()),
        })
    }

    /// What it says, now and later.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<[Metric]>> {
        self.current.subscribe()
    }

    /// Looks at the file until `closing`. The last good one holds until the next.
    pub(crate) async fn follow(mut self, closing: CancellationToken) {
        while closing
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let looked = spawn_blocking(move || {
                if self.watched.has_changed(Stamp::of(&self.path)) {
                    match read(&self.path) {
                        Ok(metrics) => {
                            info!(path = %self.path.display(), "metrics changed");
                            self.current.send_replace(metrics.into());
                        }
                        Err(error) => {
                            let cause =
                                std::error::Error::source(&error).map(tracing::field::display);
                            warn!(%error, cause, "metrics stay as they were");
                        }
                    }
                }
                self
            });
            match looked.await {
                Ok(it) => self = it,
                Err(error) => return warn!(%error, "the metrics' file is not followed any more"),
            }
        }
    }
}
