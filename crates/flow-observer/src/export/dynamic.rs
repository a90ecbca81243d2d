//! Exporters by a file that changes: those that it names are there, and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use flow_api::server::{Stamp, Watched};
use md5::{Digest as _, Md5};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::{
    STATIC,
    config::{self, ConfigError},
    counts::Applied,
    exporter::Exporter,
    feed::Feed,
    spec::{Spec, SyncPolicy, Target},
};
use crate::assemble::now_ns;

/// How often to look. A changed file is read at the second look that finds it the same, so within
/// Hubble's five seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An exporter whose settings changed has so long to end; the next one then begins where it was.
const PATIENCE: Duration = Duration::from_secs(3);

/// The thread that looks at the file.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// Closing it ends the thread.
    closing: SyncSender<()>,
    thread: JoinHandle<Vec<Exporter>>,
}

impl Dynamic {
    /// Reads the file and starts its exporters; then looks whether it changes. `taken` is what others
    /// write to.
    pub(super) fn start(
        path: PathBuf,
        sync: SyncPolicy,
        feed: Feed,
        taken: Option<Target>,
    ) -> io::Result<Self> {
        let mut running = Running {
            sync,
            feed,
            taken,
            exporters: BTreeMap::new(),
            is_beginning: true,
        };
        // Before it is read: what changes in between is a change.
        let watched = Watched::new(Stamp::of(&path));
        let read = config::read(&path);
        running.take(&path, read);
        running.is_beginning = false;
        let (closing, closed) = sync_channel(0);
        let runtime = Handle::current();
        let thread = thread::Builder::new()
            .name("export-config".to_owned())
            .spawn(move || {
                let _within = runtime.enter();
                running.follow(&path, watched, &closed);
                let exporters = running.exporters.into_values();
                exporters.map(|(_, exporter)| exporter).collect()
            })?;
        Ok(Self { closing, thread })
    }

    /// Looks no longer; hands out the exporters.
    pub(super) fn stop(self) -> Vec<Exporter> {
        drop(self.closing);
        self.thread.join().unwrap_or_else(|_panicked| {
            warn!("the thread that looks at the exporters' configuration ended early");
            Vec::new()
        })
    }
}

/// The exporters of the file, by name.
struct Running {
    sync: SyncPolicy,
    feed: Feed,
    taken: Option<Target>,
    exporters: BTreeMap<String, (Spec, Exporter)>,
    /// The rings are new, too: nothing in them is to be missed.
    is_beginning: bool,
}

impl Running {
    fn follow(&mut self, path: &Path, mut watched: Watched<Option<Stamp>>, closed: &Receiver<()>) {
        while let Err(RecvTimeoutError::Timeout) = closed.recv_timeout(LOOK_EVERY) {
            if watched.has_changed(Stamp::of(path)) {
                self.take(path, config::read(path));
            }
        }
    }

    /// What the file says now is so, unless it is broken.
    fn take(&mut self, path: &Path, read: Result<(Vec<Spec>, String), ConfigError>) {
        let counts = Arc::clone(&self.feed.counts);
        let read = read.and_then(|(specs, text)| match self.conflict(&specs) {
            None => Ok((specs, text)),
            Some(message) => Err(ConfigError::Mistake {
                path: path.to_owned(),
                line: 1,
                message,
            }),
        });
        match read {
            Ok((specs, text)) => {
                self.apply(specs);
                counts.applied(Applied {
                    hash: hash(&text),
                    seconds: now_ns() / 1_000_000_000,
                });
            }
            Err(error) => {
                counts.reconfigured("failure");
                warn!(%error, "exporters stay as they are: their configuration is broken");
            }
        }
    }

    /// What belongs to the exporter of the command line already.
    fn conflict(&self, specs: &[Spec]) -> Option<String> {
        let taken = self.taken.as_ref()?;
        if specs.iter().any(|spec| spec.name == STATIC) {
            return Some(format!(
                "duplicated flowlog name {STATIC}: it is that of --export-file"
            ));
        }
        let is_taken = |spec: &Spec| spec.target == *taken && *taken != Target::Stdout;
        let message = format!("duplicated flowlog path {taken}: --export-file names it");
        specs.iter().any(is_taken).then_some(message)
    }

    fn apply(&mut self, specs: Vec<Spec>) {
        let counts = Arc::clone(&self.feed.counts);
        let names: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let is_gone = |name: &String| !names.contains(name.as_str());
        let gone: Vec<_> = self
            .exporters
            .extract_if(.., |name, _| is_gone(name))
            .collect();
        for (name, (_, exporter)) in gone {
            exporter.close();
            drop(exporter.join(PATIENCE));
            counts.forget(&name);
            counts.reconfigured("remove");
            info!(exporter = name, "exports no longer");
        }
        for spec in specs {
            let sorted = spec.sorted();
            let (operation, positions) = match self.exporters.remove(&spec.name) {
                Some((before, exporter)) if before == sorted => {
                    self.exporters.insert(spec.name, (before, exporter));
                    continue;
                }
                Some((_, exporter)) => {
                    exporter.close();
                    // The next one goes on where it was: nothing is missing, and nothing is twice.
                    ("update", exporter.join(PATIENCE))
                }
                None => ("add", self.is_beginning.then(|| self.feed.beginning())),
            };
            match Exporter::start(&spec, true, self.sync, &self.feed, positions) {
                Ok(exporter) => {
                    info!(exporter = spec.name, target = %spec.target, operation, "exporting flows");
                    counts.reconfigured(operation);
                    self.exporters.insert(spec.name, (sorted, exporter));
                }
                Err(error) => {
                    counts.reconfigured("failure");
                    warn!(exporter = spec.name, %error, "cannot export");
                }
            }
        }
    }
}

/// Tells one text from another. As in Hubble, so that one can see whether agents of both have the same.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    let first = digest.as_slice().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_the_hash_that_hubble_gives_it() {
        // The MD5 of nothing is d41d8cd98f00b204 and as much again.
        assert_eq!(hash(""), 0x04b2_008f_d98c_1dd4);
    }
}
