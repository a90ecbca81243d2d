//! Why lines cannot be written for now.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

/// The first retry comes so soon, and each further one after twice the time.
const FIRST_RETRY: Duration = Duration::from_millis(100);
/// Retries come so often at least: a disk that has room again is used soon, and one that has not costs
/// nothing to speak of.
const LAST_RETRY: Duration = Duration::from_secs(2);

/// An attempt that failed, as it is counted and told.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}")]
pub(super) struct Fault {
    /// What was tried.
    what: &'static str,
    #[source]
    source: io::Error,
}

impl Fault {
    /// For `map_err`.
    pub(super) fn of(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { what, source }
    }

    /// In which few words it is counted.
    pub(super) fn kind(&self) -> &'static str {
        match self.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no_space",
            ErrorKind::PermissionDenied => "permission",
            ErrorKind::ReadOnlyFilesystem => "read_only",
            ErrorKind::NotFound | ErrorKind::NotADirectory => "not_found",
            ErrorKind::ResourceBusy => "in_use",
            ErrorKind::BrokenPipe => "closed",
            ErrorKind::WouldBlock => "not_read",
            _ => "failed",
        }
    }
}

/// A fault that lasts, and when to try again.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) kind: &'static str,
    retry_after: Duration,
    retry_at: Instant,
}

impl Standing {
    /// After another attempt that failed.
    pub(super) fn after(before: Option<&Self>, kind: &'static str) -> Self {
        let retry_after = before.map_or(FIRST_RETRY, |before| {
            (before.retry_after * 2).min(LAST_RETRY)
        });
        Self {
            kind,
            retry_after,
            retry_at: Instant::now() + retry_after,
        }
    }

    /// How long it is to the next attempt; zero if it is due.
    pub(super) fn wait(&self) -> Duration {
        self.retry_at.saturating_duration_since(Instant::now())
    }
}
