//! What exporters counted, for status and metrics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::counters::{Stage, StageCount};

/// Numbers of all exporters of a process.
#[derive(Debug, Default)]
pub struct ExportCounts {
    exporters: Mutex<BTreeMap<String, Arc<ExporterCounts>>>,
    reconfigurations: Mutex<BTreeMap<&'static str, u64>>,
    applied: Mutex<Option<Applied>>,
}

/// The configuration file that holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Applied {
    /// Tells its contents from others: as in Hubble, the first eight bytes of their MD5.
    pub hash: u64,
    /// When it was applied; seconds since 1970.
    pub seconds: i64,
}

/// How an exporter is doing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExporterStatus {
    /// Its name.
    pub name: String,
    /// Where it writes to.
    pub target: String,
    /// Whether it is one of the configuration file.
    pub is_dynamic: bool,
    /// Whether its end has not come.
    pub is_active: bool,
    /// Lines that were written.
    pub lines: u64,
    /// Bytes that were written, before anything was packed.
    pub bytes: u64,
    /// How often a file was full, or old, and another one begun.
    pub rotations: u64,
    /// Events that will not be written.
    pub lost: u64,
    /// The same by reason.
    pub lost_by: BTreeMap<&'static str, u64>,
    /// Attempts that failed, by reason.
    pub faults: BTreeMap<&'static str, u64>,
    /// Why nothing can be written for now; empty if all is well.
    pub reason: String,
}

impl ExportCounts {
    /// Makes room for the numbers of an exporter, in place of one of the same name.
    pub(super) fn of(&self, name: &str, target: String, is_dynamic: bool) -> Arc<ExporterCounts> {
        let mut exporters = lock(&self.exporters);
        // One that is changed goes on counting.
        let before = exporters.get(name).filter(|it| it.target == target);
        let counts = before.cloned().unwrap_or_else(|| {
            Arc::new(ExporterCounts {
                target,
                is_dynamic,
                ..ExporterCounts::default()
            })
        });
        counts.is_ended.store(false, Ordering::Relaxed);
        exporters.insert(name.to_owned(), Arc::clone(&counts));
        counts
    }

    /// An exporter is no longer configured.
    pub(super) fn forget(&self, name: &str) {
        lock(&self.exporters).remove(name);
    }

    /// The configuration file changed something, or could not.
    pub(super) fn reconfigured(&self, operation: &'static str) {
        *lock(&self.reconfigurations).entry(operation).or_default() += 1;
    }

    pub(super) fn applied(&self, applied: Applied) {
        *lock(&self.applied) = Some(applied);
    }

    /// How often the configuration file changed what: `add`, `update`, `remove`, `failure`.
    #[must_use]
    pub fn reconfigurations(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.reconfigurations).clone()
    }

    /// The configuration file that holds, if one does.
    #[must_use]
    pub fn last_applied(&self) -> Option<Applied> {
        *lock(&self.applied)
    }

    /// How each exporter is doing.
    #[must_use]
    pub fn exporters(&self) -> Vec<ExporterStatus> {
        let exporters = lock(&self.exporters);
        let status = |(name, counts): (&String, &Arc<ExporterCounts>)| {
            let lost_by = lock(&counts.lost).clone();
            ExporterStatus {
                name: name.clone(),
                target: counts.target.clone(),
                is_dynamic: counts.is_dynamic,
                is_active: !counts.is_ended.load(Ordering::Relaxed),
                lines: counts.lines(),
                bytes: counts.bytes.load(Ordering::Relaxed),
                rotations: counts.rotations.load(Ordering::Relaxed),
                lost: lost_by.values().sum(),
                lost_by,
                faults: lock(&counts.faults).clone(),
                reason: lock(&counts.reason).clone(),
            }
        };
        exporters.iter().map(status).collect()
    }

    /// All numbers, by exporter and reason.
    pub(crate) fn stages(&self) -> Vec<StageCount> {
        let mut stages = Vec::new();
        let mut add = |what, kind: String, count, is_loss| {
            stages.push(StageCount {
                stage: Stage::Export,
                what,
                kind,
                count,
                is_loss,
            });
        };
        for (name, counts) in &*lock(&self.exporters) {
            add("lines", name.clone(), counts.lines(), false);
            for (reason, &count) in &*lock(&counts.lost) {
                add("lost", format!("{name}, {reason}"), count, true);
            }
            for (reason, &count) in &*lock(&counts.faults) {
                add("faults", format!("{name}, {reason}"), count, false);
            }
            for (what, number) in [("bytes", &counts.bytes), ("rotations", &counts.rotations)] {
                let count = number.load(Ordering::Relaxed);
                if count > 0 {
                    add(what, name.clone(), count, false);
                }
            }
        }
        for (operation, &count) in &*lock(&self.reconfigurations) {
            add("reconfigurations", (*operation).to_owned(), count, false);
        }
        stages
    }
}

/// Numbers of one exporter.
#[derive(Debug, Default)]
pub(super) struct ExporterCounts {
    target: String,
    is_dynamic: bool,
    is_ended: AtomicBool,
    lines: AtomicU64,
    bytes: AtomicU64,
    rotations: AtomicU64,
    /// Events that will not be written, by reason.
    lost: Mutex<BTreeMap<&'static str, u64>>,
    /// Attempts that failed, by reason.
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// Why nothing can be written for now.
    reason: Mutex<String>,
}

impl ExporterCounts {
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub(super) fn wrote(&self, bytes: &[u8], lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn rotated(&self) {
        self.rotations.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, reason: &'static str, count: u64) {
        *lock(&self.lost).entry(reason).or_default() += count;
    }

    pub(super) fn failed(&self, kind: &'static str, reason: String) {
        *lock(&self.faults).entry(kind).or_default() += 1;
        *lock(&self.reason) = reason;
    }

    pub(super) fn recovered(&self) {
        lock(&self.reason).clear();
    }

    pub(super) fn ended(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
