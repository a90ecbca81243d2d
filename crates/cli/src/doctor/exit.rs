//! How the command ends.

use std::fmt::Display;

/// Why the command does not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Exit {
    /// A server is not well. Its line says everything.
    #[error("a check failed")]
    Failed,
    /// It is not clear what to look at.
    #[error("{0}")]
    Usage(String),
}

impl Exit {
    /// A mistake on the command line or in the settings.
    pub(crate) fn usage(error: impl Display) -> anyhow::Error {
        Self::Usage(format!("{error:#}")).into()
    }

    /// The exit code.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage(_) => 2,
        }
    }
}
