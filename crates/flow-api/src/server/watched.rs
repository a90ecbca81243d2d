//! What tells a file from one before, from outside, and when a changed one may be read.
//!
//! Files are looked at, not listened to: a look costs a microsecond, sees a file that is written in
//! place, renamed into place, or behind a symbolic link that is turned (as Kubernetes does with
//! ConfigMaps and Secrets), and needs nothing of the kernel that a network file system would not have.

use std::{fs, mem, os::unix::fs::MetadataExt as _, path::Path};

/// What a file looks like. Symbolic links are followed, so that one that is turned makes it another
/// file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// As it is now; `None` for a file that is not there.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// One file or several, looked at from time to time.
#[derive(Clone, Debug)]
pub struct Watched<T> {
    /// What was read, or could not be.
    pub(super) read: T,
    /// What the last look found.
    pub(super) found: T,
}

impl<T: Clone + PartialEq> Watched<T> {
    /// Of what is read now. To be taken before the contents: what changes in between is seen as a change.
    #[must_use]
    pub fn new(read: T) -> Self {
        Self {
            found: read.clone(),
            read,
        }
    }

    /// Whether this is another than what was read, and at rest: the look before found the same, so
    /// that a file that is being written is not read by half. Each change is told once.
    pub fn has_changed(&mut self, now: T) -> bool {
        let was = mem::replace(&mut self.found, now);
        let is_new = self.found == was && self.found != self.read;
        if is_new {
            self.read = was;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_when_two_looks_found_the_same() {
        let mut watched = Watched::new('a');
        let told = "abbbcbcca".chars().map(|now| watched.has_changed(now));
        let told: Vec<bool> = told.collect();
        // b rests at its second look, c at the second of the last two; b in between never rests.
        let expected = [false, false, true, false, false, false, false, true, false];
        assert_eq!(told, expected);
    }
}
