//! One file or standard input: bytes, from begin to end, and what is added later where that is
//! followed.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    sync::Arc,
};

use super::compressed::unpacked;
use crate::source::reason;

/// Standard input's name on the command line.
const STDIN: &str = "-";

/// A file that is read from its begin to its end.
pub(super) struct Input {
    name: Arc<str>,
    /// What is no file is opened once only: who writes into a pipe would notice.
    opened: Option<File>,
    /// `None` until it is read, and again when all of it was.
    reader: Option<Box<dyn Read + Send>>,
    /// Another handle of what is read, if that is a file that can grow.
    file: Option<File>,
    /// A read takes as long as somebody else likes.
    may_keep_us_waiting: bool,
    /// Bytes that were read of it.
    position: u64,
    /// No more will come.
    is_over: bool,
}

impl Input {
    /// A file, or standard input for `-`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        let opened = (name != STDIN).then(|| open(name)).transpose()?;
        Ok(Self {
            // A file is opened again when its turn comes: there may be more than a process may open.
            opened: opened.filter(|it| !is_file(it)),
            name: name.into(),
            reader: None,
            file: None,
            may_keep_us_waiting: true,
            position: 0,
            is_over: false,
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether what was read should be shown before more is asked for, as of a pipe.
    pub(super) fn may_keep_us_waiting(&self) -> bool {
        self.may_keep_us_waiting
    }

    /// Whether something may be added to it: it is a file, not a packed one, and not over.
    pub(super) fn can_grow(&self) -> bool {
        self.file.is_some()
    }

    /// Reads what comes next; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        if self.reader.is_none() {
            self.open()?;
        }
        let Some(reader) = &mut self.reader else {
            return Ok(0);
        };
        loop {
            match reader.read(buffer) {
                Ok(read) => {
                    self.position += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.finish();
                    anyhow::bail!("read {}: {}", self.name, reason(&error));
                }
            }
        }
    }

    /// Lets go of the file: nothing more is read of it.
    pub(super) fn finish(&mut self) {
        self.reader = None;
        self.file = None;
        self.is_over = true;
    }

    /// Begins again if the file at this path is another one now, or was cut off. Says whether so.
    pub(super) fn begin_again_if_replaced(&mut self) -> bool {
        let Some(read) = self.file.as_ref().and_then(|file| file.metadata().ok()) else {
            return false;
        };
        // Between the old file's going and the new one's coming there is none: later, then.
        let Ok(there) = fs::metadata(&*self.name) else {
            return false;
        };
        let is_replaced = !is_same(&read, &there) || there.len() < self.position;
        if is_replaced {
            self.reader = None;
            self.file = None;
            self.position = 0;
        }
        is_replaced
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let is_stdin = &*self.name == STDIN;
        let file = match self.opened.take() {
            Some(opened) => opened,
            None if is_stdin => stdin()?,
            None => open(&self.name)?,
        };
        let is_file = is_file(&file);
        self.may_keep_us_waiting = !is_file;
        let other = file.try_clone().ok();
        let (reader, was_packed) = unpacked(file)
            .map_err(|error| anyhow::anyhow!("read {}: {}", self.name, reason(&error)))?;
        self.reader = Some(reader);
        self.file = other.filter(|_| is_file && !is_stdin && !was_packed);
        Ok(())
    }
}

fn is_file(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn open(name: &str) -> anyhow::Result<File> {
    File::open(name).map_err(|error| anyhow::anyhow!("open {name}: {}", reason(&error)))
}

/// Standard input without the small buffer before it.
fn stdin() -> anyhow::Result<File> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    Ok(stdin
        .map_err(|error| anyhow::anyhow!("open {STDIN}: {}", reason(&error)))?
        .into())
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
