//! A file that lines are appended to.
//!
//! In: whole lines. Out: a file in which each line is complete, and rotated ones beside it. What could
//! not be written stays with the caller. A line that a crash or a full disk tore is cut off, or
//! completed if only its end is missing, before anything is appended.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use serde::de::IgnoredAny;
use tracing::warn;

use super::{
    backups::Names,
    counts::ExporterCounts,
    fault::Fault,
    keeper::Keeper,
    spec::{Rotation, SyncPolicy},
};
use crate::assemble::now_ns;

/// Flows say who talks to whom, which is for the owner of the file. It may be opened to others
/// afterwards: a file that follows one has its permissions.
const MODE: u32 = 0o600;
/// What is read at once of a tail that was torn.
const BLOCK: u64 = 64 << 10;
/// A torn line that is longer is not looked at, only cut off.
const LONGEST_LINE: u64 = 16 << 20;

/// A file that is written to, or will be.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    sync: SyncPolicy,
    names: Names,
    keeper: Keeper,
    counts: Arc<ExporterCounts>,
    open: Option<Open>,
    /// Our own last write may have left a part of a line, all of which will be written again.
    is_torn: bool,
    synced: Instant,
}

/// The file while it is open.
#[derive(Debug)]
struct Open {
    file: File,
    len: u64,
    /// Device and inode: the path may come to name another file.
    id: (u64, u64),
    /// Anything else, as `/dev/null`, is only written to.
    is_regular: bool,
    /// When it was begun.
    begun: Instant,
    is_synced: bool,
}

impl LogFile {
    /// Opens no file yet: that may fail, and is tried again.
    pub(super) fn new(
        path: &Path,
        rotation: Rotation,
        sync: SyncPolicy,
        counts: Arc<ExporterCounts>,
    ) -> io::Result<Self> {
        let keeper = Keeper::start(path, rotation)?;
        // What a process before has left.
        keeper.tidy();
        Ok(Self {
            path: path.to_owned(),
            rotation,
            sync,
            names: Names::of(path),
            keeper,
            counts,
            open: None,
            is_torn: false,
            synced: Instant::now(),
        })
    }

    /// Writes whole lines, and takes those that were written out of `lines`.
    pub(super) fn append(&mut self, lines: &mut Vec<u8>) -> Result<(), Fault> {
        let mut written = 0;
        let result = self.write(lines, &mut written);
        lines.drain(..written);
        if result.is_err() {
            // Whatever is wrong with it, what is at the path then is looked at anew.
            self.open = None;
        }
        result
    }

    fn write(&mut self, lines: &[u8], written: &mut usize) -> Result<(), Fault> {
        while let Some(rest) = lines.get(*written..).filter(|rest| !rest.is_empty()) {
            let (max_bytes, max_age) = (self.rotation.max_bytes, self.rotation.max_age);
            let open = self.opened()?;
            let is_old = !max_age.is_zero() && open.begun.elapsed() >= max_age;
            let room = match max_bytes {
                0 => u64::MAX,
                max_bytes => max_bytes.saturating_sub(open.len),
            };
            let fitting = fitting_lines(rest, room);
            if open.is_regular && open.len > 0 && (is_old || fitting == 0) {
                self.rotate()?;
                continue;
            }
            // A line that is longer than a file may be has one of its own.
            let len = match fitting {
                0 => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
                fitting => fitting,
            };
            let chunk = &rest[..len];
            let (whole, result) = open.write_lines(chunk);
            *written += whole;
            let lines = memchr::memchr_iter(b'\n', &chunk[..whole]).count();
            self.counts.wrote(&chunk[..whole], lines as u64);
            if let Err(error) = result {
                self.is_torn = true;
                return Err(error);
            }
        }
        Ok(())
    }

    /// The file at the path, as it is now: others may have moved or removed it.
    fn opened(&mut self) -> Result<&mut Open, Fault> {
        let is_there = self.open.as_ref().is_some_and(|open| {
            fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == open.id)
        });
        if !is_there {
            if let Some(open) = self.open.take() {
                warn!(path = %self.path.display(), "the exported file was moved or removed: beginning another");
                drop(open);
            }
            let open = Open::at(&self.path, None, self.is_torn)?;
            self.is_torn = false;
            self.open = Some(open);
        }
        // It was put there just now.
        self.open
            .as_mut()
            .ok_or_else(|| Fault::of("open the file")(io::Error::from(ErrorKind::NotFound)))
    }

    /// Gives the file another name, and begins a new one.
    fn rotate(&mut self) -> Result<(), Fault> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let backup = self
            .names
            .next(now_ns())
            .map_err(Fault::of("rotate the file"))?;
        fs::rename(&self.path, &backup).map_err(Fault::of("rotate the file"))?;
        self.counts.rotated();
        let metadata = open.file.metadata().ok();
        if self.sync != SyncPolicy::Never && !open.is_synced {
            self.keeper.sync(open.file);
        }
        self.keeper.tidy();
        let like = metadata.as_ref();
        self.open = Some(Open::at(&self.path, like, false)?);
        Ok(())
    }

    /// Does what is due although nothing is written.
    pub(super) fn tick(&mut self) -> Result<(), Fault> {
        let max_age = self.rotation.max_age;
        let is_old =
            |open: &Open| open.is_regular && open.len > 0 && open.begun.elapsed() >= max_age;
        if !max_age.is_zero() && self.open.as_ref().is_some_and(is_old) {
            self.rotate()?;
        }
        if let SyncPolicy::Every(interval) = self.sync
            && self.synced.elapsed() >= interval
        {
            self.sync_aside();
        }
        Ok(())
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn due(&self) -> Option<Duration> {
        let max_age = self.rotation.max_age;
        let open = self.open.as_ref().filter(|open| open.len > 0)?;
        let rotate = (!max_age.is_zero()).then(|| max_age.saturating_sub(open.begun.elapsed()));
        let sync = match self.sync {
            SyncPolicy::Every(interval) if !open.is_synced => {
                Some(interval.saturating_sub(self.synced.elapsed()))
            }
            _ => None,
        };
        rotate.into_iter().chain(sync).min()
    }

    fn sync_aside(&mut self) {
        self.synced = Instant::now();
        if let Some(open) = self.open.as_mut().filter(|open| !open.is_synced)
            && let Ok(file) = open.file.try_clone()
        {
            open.is_synced = true;
            self.keeper.sync(file);
        }
    }

    /// Nothing more will come.
    pub(super) fn finish(&mut self) {
        if self.sync != SyncPolicy::Never
            && let Some(open) = &self.open
            && let Err(error) = open.file.sync_data()
        {
            warn!(path = %self.path.display(), %error, "cannot sync the exported file");
        }
    }
}

/// How many bytes of whole lines there are in so much room.
fn fitting_lines(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let window = lines.get(..room).unwrap_or(lines);
    memchr::memrchr(b'\n', window).map_or(0, |end| end + 1)
}

impl Open {
    /// Opens the file at a path, or makes it and the folders above it. A new one is as the one before.
    fn at(path: &Path, like: Option<&fs::Metadata>, is_torn: bool) -> Result<Self, Fault> {
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(Fault::of("make the folder"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .open(path)
            .map_err(Fault::of("open the file"))?;
        if let Some(like) = like {
            // As good as it gets: a file that is not quite like the other is better than none.
            drop(file.set_permissions(like.permissions()));
            drop(std::os::unix::fs::fchown(
                &file,
                Some(like.uid()),
                Some(like.gid()),
            ));
        }
        let metadata = file.metadata().map_err(Fault::of("open the file"))?;
        let is_regular = metadata.is_file();
        let mut len = 0;
        if is_regular {
            // Two that append to the same file would rotate and cut what the other writes.
            file.try_lock().map_err(|_in_use| {
                let error = io::Error::new(
                    ErrorKind::ResourceBusy,
                    "another process or exporter writes to it",
                );
                Fault::of("lock the file")(error)
            })?;
            len = mend(path, &mut file, is_torn).map_err(Fault::of("mend the end of the file"))?;
        }
        // Its age, if it was there before and the clock does not say that it is of tomorrow.
        let born = metadata.created().or_else(|_| metadata.modified()).ok();
        let age = born.and_then(|born| SystemTime::now().duration_since(born).ok());
        let age = age.filter(|_| len > 0).unwrap_or_default();
        let now = Instant::now();
        Ok(Self {
            file,
            len,
            id: (metadata.dev(), metadata.ino()),
            is_regular,
            begun: now.checked_sub(age).unwrap_or(now),
            is_synced: true,
        })
    }

    /// Writes lines. Tells how many bytes of whole lines the file has of them; it has nothing else.
    fn write_lines(&mut self, lines: &[u8]) -> (usize, Result<(), Fault>) {
        self.is_synced = false;
        let mut written = 0;
        let error = loop {
            match self.file.write(&lines[written..]) {
                Ok(0) => break io::Error::from(ErrorKind::WriteZero),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
            if written == lines.len() {
                self.len += written as u64;
                return (written, Ok(()));
            }
        };
        let whole = fitting_lines(&lines[..written], u64::MAX);
        self.len += whole as u64;
        // If this fails, too, the file is mended when it is opened again.
        let cut = match self.is_regular && whole < written {
            true => self.file.set_len(self.len),
            false => Ok(()),
        };
        drop(cut);
        (whole, Err(Fault::of("write")(error)))
    }
}

/// Sees to it that a file ends with the end of a line, and tells its length. What is behind the last
/// line end is cut off, unless it is a whole line without its end, or none of ours.
fn mend(path: &Path, file: &mut File, is_ours_and_torn: bool) -> io::Result<u64> {
    let len = file.seek(SeekFrom::End(0))?;
    let whole = end_of_last_line(file, len)?;
    if whole == len {
        return Ok(len);
    }
    let tail = match len - whole {
        torn @ ..=LONGEST_LINE if !is_ours_and_torn => {
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(whole))?;
            io::Read::by_ref(file).take(torn).read_to_end(&mut tail)?;
            tail
        }
        _ => Vec::new(),
    };
    let is_other = tail.first().is_some_and(|&byte| byte != b'{' && byte != 0);
    if is_other || serde_json::from_slice::<IgnoredAny>(&tail).is_ok() {
        file.write_all(b"\n")?;
        return Ok(len + 1);
    }
    let bytes = len - whole;
    if !is_ours_and_torn {
        warn!(path = %path.display(), bytes, "the exported file ended within a line, which is cut off");
    }
    file.set_len(whole)?;
    Ok(whole)
}

/// Where the last line that has an end ends; 0 if there is none.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK as usize];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = memchr::memrchr(b'\n', block) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
