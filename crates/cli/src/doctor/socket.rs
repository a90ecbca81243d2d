//! Whether somebody listens on a Unix socket that we may use.

use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::FileTypeExt as _,
    path::Path,
    time::Duration,
};

use tokio::net::UnixStream;

use super::report::{Failure, Step};
use crate::source::reason;

/// Connects to the socket.
pub(super) async fn open(path: &Path, patience: Duration) -> Result<UnixStream, Failure> {
    let shown = path.display();
    let failed = |cause| Failure::new(Step::Socket, cause);
    match fs::metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(failed(format!("{shown} is no socket")).next("check --server"));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(failed(format!("{shown} does not exist"))
                .next("start one with 'palomar agent', or check --server"));
        }
        Err(error) => return Err(refused(path, &error)),
    }
    match tokio::time::timeout(patience, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            Err(failed(format!("nobody listens on {shown}"))
                .next("the agent that made it has ended: start it again"))
        }
        Ok(Err(error)) => Err(refused(path, &error)),
        Err(_elapsed) => Err(failed(format!("no answer on {shown} within {patience:?}"))
            .next("the agent may be stopped: see its log")),
    }
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    let cause = format!("cannot open {}: {}", path.display(), reason(error));
    let failure = Failure::new(Step::Socket, cause);
    match error.kind() {
        ErrorKind::PermissionDenied => {
            failure.next("run as root, or as a member of the socket's group")
        }
        _ => failure,
    }
}
