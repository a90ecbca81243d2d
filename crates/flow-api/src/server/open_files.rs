//! Room for connections: each is a file descriptor.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::debug;

/// More than [`Limits::connections`](super::Limits) and all else that an agent opens.
const ENOUGH: u64 = 16_384;

/// Raises the bound on open files as far as the system lets us, up to what a server needs. It is
/// low by default for the sake of programs that use `select`, which this one does not.
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = ENOUGH.min(hard);
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        debug!(%error, "cannot raise the bound on open files");
    }
}
