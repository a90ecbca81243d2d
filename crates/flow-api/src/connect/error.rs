//! Why there is no connection, in one line.

use std::{error::Error, io, path::PathBuf, time::Duration};

use super::Target;

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

/// The innermost error's text. The layers around it say only that a connection failed, which the
/// message around this one says already.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    plain(&innermost.to_string())
}

/// `Permission denied (os error 13)` is `permission denied` to a reader.
fn plain(text: &str) -> String {
    let text = text.split(" (os error ").next().unwrap_or(text);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // Not a name in capitals, such as DNS.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_the_innermost_one_in_plain_words() {
        let denied = io::Error::from_raw_os_error(13);
        let wrapped = io::Error::other(io::Error::other(denied));
        let target = Target::Unix("/run/observer.sock".into());
        assert_eq!(
            ConnectError::unreachable(&target, &wrapped).to_string(),
            "cannot connect to unix:///run/observer.sock: permission denied"
        );
    }

    #[test]
    fn names_in_capitals_keep_them() {
        assert_eq!(plain("DNS says no"), "DNS says no");
        assert_eq!(
            plain("Connection refused (os error 111)"),
            "connection refused"
        );
    }
}
