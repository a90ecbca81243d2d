//! Whose a cgroup is, by its number: the inode number of its directory.
//!
//! The process that came with the number usually still runs in it, and tells the path for two small
//! reads. For what is left a thread of its own walks the tree, and the next question finds the
//! answer. Numbers of cgroups are not used again.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use tracing::debug;

use super::cgroup;
use crate::{cgroup::Owner, recent::Recent};

/// Cgroups that are remembered, half of them: as many as are busy at a time.
const GENERATION: usize = 4_096;
/// How long a number stays unknown before it is asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// How often the tree may be walked.
const WALK_EVERY: Duration = Duration::from_secs(2);
/// Cgroups that a walk visits. Large hosts have some thousand.
const MAX_WALKED: usize = 65_536;
/// `/proc/PID/cgroup` has a line for each hierarchy.
const MAX_LINES: u64 = 64 << 10;

type Walked = ArcSwap<HashMap<u64, Arc<Owner>>>;

/// Owners of cgroups, as far as they were asked for.
pub(super) struct Owners {
    /// Where cgroup v2 is mounted.
    root: Option<PathBuf>,
    known: Recent<u64, Known>,
    walked: Arc<Walked>,
    walking: Arc<AtomicBool>,
    walked_at: Option<Instant>,
}

struct Known {
    /// Nobody's, for `None`.
    owner: Option<Arc<Owner>>,
    /// When to ask again; `None` for what is certain.
    until: Option<Instant>,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self::under(cgroup::mounted_at().ok())
    }

    fn under(root: Option<PathBuf>) -> Self {
        Self {
            root,
            known: Recent::with_generation(GENERATION),
            walked: Arc::default(),
            walking: Arc::default(),
            walked_at: None,
        }
    }

    /// The owner of a cgroup in which the process was.
    pub(super) fn of(&mut self, cgroup_id: u64, pid: u32) -> Option<Arc<Owner>> {
        let now = Instant::now();
        if let Some(known) = self.known.get_mut(&cgroup_id)
            && known.until.is_none_or(|until| now < until)
        {
            return known.owner.clone();
        }
        let known = self.look(cgroup_id, pid).unwrap_or_else(|| {
            self.walk(now);
            Known {
                owner: None,
                until: Some(now + UNKNOWN_FOR),
            }
        });
        let owner = known.owner.clone();
        self.known.insert(cgroup_id, known);
        owner
    }

    fn look(&self, cgroup_id: u64, pid: u32) -> Option<Known> {
        let root = self.root.as_deref()?;
        let owner = match self.walked.load().get(&cgroup_id) {
            Some(owner) => Some(Arc::clone(owner)),
            None => Owner::of_path(&path_of(root, cgroup_id, pid)?).map(Arc::new),
        };
        Some(Known { owner, until: None })
    }

    /// Starts a walk, unless there is one, or was just now.
    fn walk(&mut self, now: Instant) {
        let Some(root) = self.root.clone() else {
            return;
        };
        let too_soon = self.walked_at.is_some_and(|at| now < at + WALK_EVERY);
        if too_soon || self.walking.swap(true, Ordering::Relaxed) {
            return;
        }
        self.walked_at = Some(now);
        let (walked, walking) = (Arc::clone(&self.walked), Arc::clone(&self.walking));
        let walk = move || {
            walked.store(Arc::new(walk(&root)));
            walking.store(false, Ordering::Relaxed);
        };
        let started = thread::Builder::new()
            .name("cgroups".to_owned())
            .spawn(walk);
        if let Err(error) = started {
            self.walking.store(false, Ordering::Relaxed);
            debug!(%error, "cannot look at all cgroups");
        }
    }
}

/// The path of the process's cgroup, if that is the one with this number. The process may be another
/// by now, or have moved.
fn path_of(root: &Path, cgroup_id: u64, pid: u32) -> Option<String> {
    let lines =
        crate::bounded::read_plain(&PathBuf::from(format!("/proc/{pid}/cgroup")), MAX_LINES)?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::"))?;
    let directory = root.join(path.strip_prefix('/')?);
    (fs::metadata(directory).ok()?.ino() == cgroup_id).then(|| path.to_owned())
}

/// Everything in the tree that belongs to somebody.
fn walk(root: &Path) -> HashMap<u64, Arc<Owner>> {
    let mut owners = HashMap::new();
    let mut left = vec![root.to_owned()];
    let mut walked = 0;
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            walked += 1;
            if walked > MAX_WALKED {
                debug!(bound = MAX_WALKED, "too many cgroups to look at all");
                return owners;
            }
            let path = entry.path();
            let owner = path
                .strip_prefix(root)
                .ok()
                .and_then(|path| Owner::of_path(path.to_str()?));
            owners.extend(owner.map(|owner| (entry.ino(), Arc::new(owner))));
            left.push(path);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No process has this number.
    const NOBODY: u32 = u32::MAX;

    #[test]
    fn a_walk_finds_what_belongs_to_somebody() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&service).unwrap();
        let ino = |path: &Path| fs::metadata(path).unwrap().ino();
        let owners = walk(root.path());
        assert_eq!(
            owners[&ino(&service)].unit.as_deref(),
            Some("nginx.service")
        );
        assert!(!owners.contains_key(&ino(&root.path().join("system.slice"))));
    }

    #[test]
    fn a_cgroup_whose_process_is_gone_is_found_by_the_next_question_but_one() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/nginx.service");
        fs::create_dir_all(&service).unwrap();
        let number = fs::metadata(&service).unwrap().ino();
        let mut owners = Owners::under(Some(root.path().to_owned()));
        let deadline = Instant::now() + Duration::from_secs(10);
        let owner = loop {
            if let Some(owner) = owners.of(number, NOBODY) {
                break owner;
            }
            assert!(Instant::now() < deadline, "not found");
            thread::yield_now();
        };
        assert_eq!(owner.unit.as_deref(), Some("nginx.service"));
    }

    #[test]
    fn this_process_is_in_the_cgroup_that_its_number_tells() {
        // Without cgroup v2 there is nothing to find.
        let Ok(root) = cgroup::mounted_at() else {
            return;
        };
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = own
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .unwrap();
        let directory = root.join(own.trim_start_matches('/'));
        // In a namespace of cgroups the mount may show another part of the tree.
        let Ok(metadata) = fs::metadata(directory) else {
            return;
        };
        let found = path_of(&root, metadata.ino(), std::process::id());
        assert_eq!(found.as_deref(), Some(own));
        assert_eq!(path_of(&root, metadata.ino() + 1, std::process::id()), None);
    }
}
