//! One named network namespace: running closures inside it and writing its settings.
//!
//! A namespace belongs to a thread, so whatever happens inside one happens on an OS thread of its
//! own that never returns to the caller's pool.

use std::{
    fs::{self, File},
    path::PathBuf,
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

/// Where iproute2 keeps the names of network namespaces.
pub(crate) const DIRECTORY: &str = "/run/netns";

/// A network namespace with a name under `/run/netns`. Cheap to clone; owns nothing: the
/// [`Cluster`](crate::Cluster) makes and removes the name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    pub(crate) fn named(name: String) -> Self {
        Self { name }
    }

    /// The name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for the namespace.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(DIRECTORY).join(&self.name)
    }

    /// The namespace's number in the kernel: the inode of [`Namespace::path`].
    ///
    /// # Errors
    /// When the namespace is gone.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.path();
        let metadata =
            fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(metadata.ino())
    }

    /// Opens the namespace, to be entered with `setns`.
    pub(crate) fn open(&self) -> Result<File> {
        let path = self.path();
        File::open(&path)
            .with_context(|| format!("cannot open network namespace {}", path.display()))
    }

    /// Runs `body` on a new thread inside the namespace and waits for what it returns.
    ///
    /// # Errors
    /// When the namespace cannot be entered, and what `body` returns.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = self.open()?;
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&namespace)?;
                body()
            });
            inside
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the thread in {} panicked", self.name)))
        })
    }

    /// Starts `body` on a new thread inside the namespace. Returns once the thread is inside.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        name: &str,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Option<T>>> {
        let namespace = self.open()?;
        let (entered, wait) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let inside = enter(&namespace);
                let ready = inside.is_ok();
                // The receiver waits below until this arrives, so it can only be gone with the process.
                entered.send(inside).ok()?;
                ready.then(body)
            })?;
        wait.recv()
            .map_err(|_| anyhow!("the thread {name} ended before it began"))??;
        Ok(thread)
    }

    /// Writes network settings, each a path under `/proc/sys/net` and its value. A setting that
    /// this kernel does not have is left out.
    pub(crate) fn write_settings(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.run(|| {
            for (path, value) in settings {
                let path = format!("/proc/sys/net/{path}");
                match fs::write(&path, value) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    result => result.with_context(|| format!("cannot write {value} to {path}"))?,
                }
            }
            Ok(())
        })
    }
}

fn enter(namespace: &File) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .context("cannot enter a network namespace: run as root, or give the process CAP_SYS_ADMIN")
}
