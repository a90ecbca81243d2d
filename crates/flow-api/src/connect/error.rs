//! Why there is no connection, in one line.

use std::{error::Error, io, path::PathBuf, time::Duration};

use super::Target;
use crate::cause::root_cause;

/// Why a server could not be reached. Shown as it is; it holds its whole cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing answered in time; usually a firewall or a wrong address.
    #[error("cannot connect to {target}: no answer within {after:?}")]
    TimedOut {
        /// Whom we asked.
        target: Target,
        /// How long we waited.
        after: Duration,
    },
    /// The attempt failed: nobody listens, access is denied, the name has no address, TLS failed.
    #[error("cannot connect to {target}: {cause}")]
    Unreachable {
        /// Whom we asked.
        target: Target,
        /// The innermost reason.
        cause: String,
    },
    /// A certificate or key file with something else in it; usually the two were swapped.
    #[error("TLS file {} holds no {expected} in PEM form", file.display())]
    InvalidFile {
        /// The file.
        file: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A certificate or key file that cannot be read; usually a wrong path.
    #[error("cannot read TLS file {}: {}", file.display(), root_cause(cause))]
    UnreadableFile {
        /// The file.
        file: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

impl ConnectError {
    pub(super) fn unreachable(target: &Target, error: &(dyn Error + 'static)) -> Self {
        Self::Unreachable {
            target: target.clone(),
            cause: root_cause(error),
        }
    }
}
