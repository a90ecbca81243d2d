//! The containers and units of this host that have a network of their own, found without asking
//! whoever runs them.
//!
//! In: what `/proc` tells of processes, and the files that container runtimes leave for themselves.
//! Out: an endpoint for each network namespace in which somebody runs whose cgroup tells who it is.
//! A thread looks every two seconds, and at once when the host's devices change, as they do when a
//! container starts.

mod addresses;
mod scan;
mod state;

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tracing::warn;

use self::scan::{CONTAINER, Scanner};
use super::{
    Directory,
    facts::{Change, Fact, Key, Provider},
    provider::Reports,
    standing::Standing,
};
use crate::source::{LocalDevices, SourceSpec};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often to see whether to stop, or whether devices changed. Also how long a look may be
/// put off after the one before.
const WAKE_EVERY: Duration = Duration::from_millis(250);

/// Whether to look for containers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ContainerMode {
    /// When flows come from this host and nobody else names its workloads.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl ContainerMode {
    /// Whether to look; `has_kubernetes` when Kubernetes names the workloads.
    pub(crate) fn is_on(self, source: &SourceSpec, has_kubernetes: bool) -> bool {
        match self {
            Self::Auto => *source == SourceSpec::Probes && !has_kubernetes,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// Looks for containers until it is dropped.
pub(crate) struct Containers {
    standing: Arc<Standing>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Containers {
    /// Starts looking. `devices` are the host's.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(
        directory: Arc<Directory>,
        devices: Arc<ArcSwap<LocalDevices>>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let standing = Arc::new(Standing::new("containers", "/proc".to_owned()));
        let looking = {
            let (stop, standing) = (Arc::clone(&stop), Arc::clone(&standing));
            move || look(&directory, &devices, &standing, &stop)
        };
        let thread = thread::Builder::new()
            .name("containers".to_owned())
            .spawn(looking)?;
        Ok(Self {
            standing,
            stop,
            thread: Some(thread),
        })
    }

    /// Who says how it is doing.
    pub(crate) fn reports(&self) -> Arc<dyn Reports> {
        Arc::clone(&self.standing) as Arc<dyn Reports>
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                warn!("the thread that looks for containers ended early");
            }
        }
    }
}

fn look(
    directory: &Directory,
    devices: &ArcSwap<LocalDevices>,
    standing: &Standing,
    stop: &AtomicBool,
) {
    let mut scanner = Scanner::new(Path::new("/"));
    let mut told = BTreeMap::new();
    let mut seen = devices.load_full();
    while !stop.load(Ordering::Relaxed) {
        if let Some(found) = look_once(&mut scanner, standing, &told) {
            let changes = changes(&told, &found);
            if !changes.is_empty() {
                directory.apply(Provider::Containers, changes);
            }
            told = found;
        }
        let looked = Instant::now();
        loop {
            thread::park_timeout(WAKE_EVERY);
            let now = devices.load_full();
            let is_news = !Arc::ptr_eq(&now, &seen) && now.names != seen.names;
            seen = now;
            if is_news || looked.elapsed() >= LOOK_EVERY || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

/// Who is there now; nothing where that cannot be seen, and what was told before holds.
fn look_once(
    scanner: &mut Scanner,
    standing: &Standing,
    told: &BTreeMap<Key, Fact>,
) -> Option<BTreeMap<Key, Fact>> {
    let found = match scanner.scan() {
        Ok(found) => found,
        Err(error) => {
            standing.is_lost(error.to_string());
            return None;
        }
    };
    if found != *told {
        let is_container = |fact: &&Fact| match fact {
            Fact::Endpoint(it) => it.workload.as_ref().is_some_and(|it| it.kind == CONTAINER),
            _ => false,
        };
        let containers = found.values().filter(is_container).count();
        standing.knows([
            ("containers", containers),
            ("units", found.len() - containers),
        ]);
    }
    match scanner.left_out() {
        None => standing.is_good(),
        Some(reason) => standing.is_partial(reason),
    }
    Some(found)
}

/// What makes `after` of `before`.
fn changes(before: &BTreeMap<Key, Fact>, after: &BTreeMap<Key, Fact>) -> Vec<Change> {
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| Change::Remove(key.clone()));
    let new = after
        .iter()
        .filter(|(key, fact)| before.get(*key) != Some(fact))
        .map(|(key, fact)| Change::Put(key.clone(), fact.clone()));
    gone.chain(new).collect()
}

#[cfg(test)]
mod tests;
