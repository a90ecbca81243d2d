//! What a cluster leaves on the machine has its owner's process id in its name, so that it can be
//! removed by anyone once the owner is gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, umount2};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::netns::DIRECTORY;

/// One directory per cluster: sockets, the inventory, what the children said.
const RUN_DIRECTORY: &str = "/run/palomar-testbed";
const PREFIX: &str = "palomar-";

/// Tells the clusters of this machine apart: `<pid>-<seq>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClusterId {
    pid: u32,
    sequence: u32,
}

impl ClusterId {
    pub(crate) fn next() -> Self {
        static SEQUENCE: AtomicU32 = AtomicU32::new(1);
        Self {
            pid: process::id(),
            sequence: SEQUENCE.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(crate) fn run_directory(&self) -> PathBuf {
        PathBuf::from(RUN_DIRECTORY).join(format!("{}-{}", self.pid, self.sequence))
    }

    /// The name of the network namespace for `part` of this cluster.
    pub(crate) fn namespace_name(&self, part: &str) -> String {
        format!("{PREFIX}{}-{}-{part}", self.pid, self.sequence)
    }

    /// The cluster that `<pid>-<seq>`, alone or followed by a dash and anything, belongs to.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(3, '-');
        let pid = parts.next()?.parse().ok()?;
        let sequence = parts.next()?.parse().ok()?;
        Some(Self { pid, sequence })
    }

    fn owner_is_dead(&self) -> bool {
        !Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

/// Removes what clusters of processes that no longer run have left: namespaces and run directories.
/// [`Cluster::start`](crate::Cluster::start) does this first.
///
/// # Errors
/// When something was found that cannot be removed, as without the privileges of who made it.
pub fn sweep() -> Result<()> {
    remove_where(ClusterId::owner_is_dead)
}

/// Removes everything that belongs to the cluster `id`.
pub(crate) fn remove(id: &ClusterId) -> Result<()> {
    remove_where(|found| found == id)
}

/// On SIGINT and SIGTERM removes the clusters of this process, then ends it as the signal would
/// have. For programs that do not handle these signals themselves.
///
/// # Errors
/// When the signals cannot be caught or the thread that waits for them cannot be started.
pub fn remove_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot catch signals")?;
    thread::Builder::new()
        .name("testbed-signals".to_owned())
        .spawn(move || {
            let Some(signal) = signals.forever().next() else {
                return;
            };
            if let Err(error) = remove_where(|id| id.pid == process::id()) {
                tracing::warn!(%error, "cannot remove a test cluster");
            }
            // Fails only for signals that do not end a process by default.
            emulate_default_handler(signal).ok();
        })
        .context("cannot start the thread that waits for signals")?;
    Ok(())
}

fn remove_where(unwanted: impl Fn(&ClusterId) -> bool) -> Result<()> {
    for name in names_in(DIRECTORY)? {
        if name
            .strip_prefix(PREFIX)
            .and_then(ClusterId::parse)
            .is_some_and(|id| unwanted(&id))
        {
            remove_namespace(&Path::new(DIRECTORY).join(name))?;
        }
    }
    for name in names_in(RUN_DIRECTORY)? {
        if ClusterId::parse(&name).is_some_and(|id| unwanted(&id)) {
            let path = Path::new(RUN_DIRECTORY).join(name);
            gone_is_fine(fs::remove_dir_all(&path))
                .with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Takes the name away; the kernel frees the namespace when the last process has left it.
fn remove_namespace(path: &Path) -> Result<()> {
    use nix::errno::Errno;
    match umount2(path, MntFlags::MNT_DETACH) {
        // Not mounted: the maker died between creating the file and mounting on it, or another
        // process sweeps at the same time.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("cannot unmount {}", path.display()));
        }
    }
    gone_is_fine(fs::remove_file(path)).with_context(|| format!("cannot remove {}", path.display()))
}

fn names_in(directory: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot list {directory}"))?,
    };
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_cluster() {
        let id = ClusterId {
            pid: 41,
            sequence: 1,
        };
        let name = id.namespace_name("shop.web-0");
        assert_eq!(
            ClusterId::parse(name.strip_prefix(PREFIX).unwrap()),
            Some(id.clone())
        );
        assert_eq!(ClusterId::parse("41-1"), Some(id));
    }

    #[test]
    fn names_of_others_belong_to_no_cluster() {
        for name in ["", "web", "41", "41-", "cni-41-1"] {
            assert_eq!(ClusterId::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn the_tenth_cluster_is_not_the_first() {
        assert_ne!(
            ClusterId::parse("41-10-node-1"),
            ClusterId::parse("41-1-node-1")
        );
    }
}
