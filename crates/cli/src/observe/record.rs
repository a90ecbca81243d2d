//! `--record`: what is shown is saved, too, as a file that `--input-file` reads.
//!
//! In: lines of JSON. Out: a file that at any time holds whole lines only: they are written a block at
//! a time, and a block that does not fit is taken back. A block of a packed file is a member of its
//! own, so that nothing is lost with the end of a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::flags::{Accept, Flag, Section, ValueError, value};
use crate::source::reason;

/// What is packed at once: more packs little better, and less does worse.
const BLOCK_BYTES: usize = 512 * 1024;

/// A smaller block is packed once its first line is as old as this.
const BLOCK_AGE: Duration = Duration::from_secs(1);

/// The flags.
pub(crate) const SECTION: Section = Section {
    heading: "Record Flags",
    flags: &[
        Flag::value(
            "record",
            "FILE",
            "Save what is shown, too, as JSON lines for --input-file; packed if the name ends in .gz or \
            .zst",
        ),
        Flag::switch("record-overwrite", "Replace the file if there is one"),
    ],
};

/// What was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordArgs {
    path: String,
    overwrite: bool,
}

impl Accept for RecordArgs {
    fn accept(&mut self, flag: &'static Flag, text: &str) -> Result<bool, ValueError> {
        match flag.long {
            "record" => text.clone_into(&mut self.path),
            "record-overwrite" => self.overwrite = value::switch(text)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl RecordArgs {
    pub(crate) fn is_given(&self) -> bool {
        !self.path.is_empty()
    }

    /// Makes the file, if one is wanted.
    ///
    /// # Errors
    /// It exists, or cannot be made.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Recorder>> {
        if !self.is_given() {
            if self.overwrite {
                anyhow::bail!("--record-overwrite says what --record may do: add --record");
            }
            return Ok(None);
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if self.overwrite {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        let path = self.path.clone();
        match options.open(&path) {
            Ok(file) => Ok(Some(Recorder::new(path, file, !self.overwrite))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => anyhow::bail!(
                "cannot record to {path}: it exists; name another file or add --record-overwrite"
            ),
            Err(error) => anyhow::bail!("cannot record to {path}: {}", reason(&error)),
        }
    }
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Packing {
    Gzip,
    Nothing,
    Zstd,
}

impl Packing {
    fn of(path: &str) -> Self {
        let ends = |ending: &str| path.to_ascii_lowercase().ends_with(ending);
        if ends(".gz") {
            Self::Gzip
        } else if ends(".zst") || ends(".zstd") {
            Self::Zstd
        } else {
            Self::Nothing
        }
    }
}

/// A file that lines are saved in.
#[derive(Debug)]
pub(crate) struct Recorder {
    path: String,
    file: File,
    packing: Packing,
    /// Whole lines that wait to be packed.
    block: Vec<u8>,
    begun: Option<Instant>,
    /// What the file holds, in bytes.
    written: u64,
    is_broken: bool,
    /// Take the file away again unless something comes of it.
    is_in_doubt: bool,
}

/// Who asked in vain asks again, and must not find a file in the way.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.is_in_doubt && self.written == 0 {
            // What is left behind is empty.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

impl Recorder {
    fn new(path: String, file: File, is_new: bool) -> Self {
        Self {
            packing: Packing::of(&path),
            path,
            file,
            block: Vec::new(),
            begun: None,
            written: 0,
            is_broken: false,
            is_in_doubt: is_new,
        }
    }

    /// Takes whole lines.
    ///
    /// # Errors
    /// They cannot be written. The file then holds those from before, and takes no more.
    pub(crate) fn save(&mut self, lines: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(lines);
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let is_due = self.packing == Packing::Nothing
            || self.block.len() >= BLOCK_BYTES
            || begun.elapsed() >= BLOCK_AGE;
        if is_due { self.write() } else { Ok(()) }
    }

    /// Writes what waits. A recording that ended well is kept even if it is empty.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub(crate) fn finish(&mut self, is_well: bool) -> io::Result<()> {
        self.is_in_doubt &= !is_well;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        self.begun = None;
        if self.block.is_empty() || self.is_broken {
            return Ok(());
        }
        let packed = match self.packing {
            Packing::Nothing => None,
            Packing::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(&self.block)?;
                Some(encoder.finish()?)
            }
            Packing::Zstd => Some(compress_to_vec(&*self.block, CompressionLevel::Fastest)),
        };
        let block = packed.as_deref().unwrap_or(&self.block);
        let outcome = self.file.write_all(block);
        let length = block.len() as u64;
        self.block.clear();
        if let Err(error) = outcome {
            self.is_broken = true;
            // A pipe takes nothing back, and has no whole lines to protect.
            self.file.set_len(self.written).ok();
            let reason = reason(&error);
            let path = &self.path;
            return Err(io::Error::other(format!(
                "cannot record to {path}: {reason}; it holds what was shown until then"
            )));
        }
        self.written += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_ending_of_the_name_says_how_to_pack() {
        for (path, expected) in [
            ("a.json", Packing::Nothing),
            ("a.gz.json", Packing::Nothing),
            ("a.json.GZ", Packing::Gzip),
            ("a.zst", Packing::Zstd),
        ] {
            assert_eq!(Packing::of(path), expected, "{path}");
        }
    }

    #[test]
    fn blocks_follow_each_other_in_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("flows.json.gz");
        let args = RecordArgs {
            path: path.display().to_string(),
            overwrite: false,
        };
        let mut recorder = args.open().unwrap().unwrap();
        for line in ["one\n", "two\n"] {
            recorder.save(line.as_bytes()).unwrap();
            recorder.finish(true).unwrap();
        }
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(File::open(&path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "one\ntwo\n");
        let error = args.open().unwrap_err().to_string();
        assert!(error.contains("it exists; name another file"), "{error}");
    }

    #[test]
    fn a_full_disk_is_told_and_ends_the_file() {
        let mut recorder = Recorder::new(
            "/dev/full".to_owned(),
            OpenOptions::new().write(true).open("/dev/full").unwrap(),
            false,
        );
        let error = recorder.save(b"line\n").unwrap_err().to_string();
        assert!(
            error.starts_with("cannot record to /dev/full: no space left on device"),
            "{error}"
        );
        // Said once.
        recorder.save(b"line\n").unwrap();
    }
}
