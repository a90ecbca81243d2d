//! Files that were rotated: what they are called, which of them stay, and how they are packed.
//!
//! `flows.log` becomes `flows-2026-01-31T09-30-00.250.log`, by UTC, as Hubble's do, and with packing
//! `….log.gz` or `….log.zst`. What was begun when a process died is begun anew.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::atomic::{AtomicBool, Ordering},
};

use prost_types::Timestamp;

use super::spec::{Compression, Rotation};
use crate::encode::{nanoseconds, timestamp};

/// What a time in a name looks like: `2026-01-31T09-30-00.250`.
const TIME_LEN: usize = 23;
/// Behind the name of a packed file that is being made.
const PARTIAL: &str = ".partial";
/// What is packed at once, before looking whether to stop.
const BLOCK: usize = 256 << 10;

/// How the rotated files of a path are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    folder: PathBuf,
    /// Before the time.
    prefix: String,
    /// Behind it, with its dot.
    extension: String,
}

/// A rotated file, in the forms in which it is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Backup {
    plain: Option<PathBuf>,
    packed: Vec<PathBuf>,
    partial: Vec<PathBuf>,
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().map(OsStr::to_string_lossy);
        let name = name.unwrap_or_default();
        let (base, extension) = match name.rsplit_once('.') {
            Some((base, extension)) => (base.to_owned(), format!(".{extension}")),
            None => (name.into_owned(), String::new()),
        };
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            prefix: format!("{base}-"),
            extension,
        }
    }

    /// Where a file that is rotated now goes. Names are in the order in which they are given, also
    /// when the clock is set back: the oldest files are those that go.
    pub(super) fn next(&self, now_ns: i64) -> io::Result<PathBuf> {
        const MILLISECOND: i64 = 1_000_000;
        let newest = self.list()?.into_keys().next_back();
        let after = newest.and_then(|time| time_of(&time));
        let time_ns = after.map_or(now_ns, |after| now_ns.max(after + MILLISECOND));
        let name = format!("{}{}{}", self.prefix, time_text(time_ns), self.extension);
        Ok(self.folder.join(name))
    }

    /// The rotated files by their times.
    fn list(&self) -> io::Result<BTreeMap<String, Backup>> {
        let mut backups: BTreeMap<String, Backup> = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some((time, form)) = name.to_str().and_then(|name| self.parts(name)) else {
                continue;
            };
            let backup = backups.entry(time.to_owned()).or_default();
            match form {
                "" => backup.plain = Some(entry.path()),
                ".gz" | ".zst" => backup.packed.push(entry.path()),
                ".gz.partial" | ".zst.partial" => backup.partial.push(entry.path()),
                _ => {}
            }
        }
        Ok(backups)
    }

    /// The time in a name, and what stands behind the extension.
    fn parts<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let rest = name.strip_prefix(&self.prefix)?;
        let (time, rest) = rest.split_at_checked(TIME_LEN)?;
        let form = rest.strip_prefix(&self.extension)?;
        time_of(time).is_some().then_some((time, form))
    }
}

/// A time as names have it.
fn time_text(time_ns: i64) -> String {
    let time = timestamp(time_ns);
    let seconds = Timestamp { nanos: 0, ..time }.to_string();
    let seconds = seconds.trim_end_matches('Z').replace(':', "-");
    format!("{seconds}.{:03}", time.nanos / 1_000_000)
}

fn time_of(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let is_exact = text.len() == TIME_LEN && time.get(8..9) == Some(".");
    let time = Timestamp::from_str(&format!("{date}T{}Z", time.replace('-', ":"))).ok()?;
    is_exact.then(|| nanoseconds(time))
}

/// Removes the files that are too many and what was half made, and packs the others, until told to
/// stop.
pub(super) fn tidy(names: &Names, rotation: &Rotation, stop: &AtomicBool) -> io::Result<()> {
    let backups = names.list()?;
    let surplus = match rotation.max_backups {
        0 => 0,
        kept => backups.len().saturating_sub(kept),
    };
    for (index, backup) in backups.into_values().enumerate() {
        for partial in &backup.partial {
            fs::remove_file(partial)?;
        }
        if index < surplus {
            for path in backup.packed.iter().chain(&backup.plain) {
                fs::remove_file(path)?;
            }
            continue;
        }
        let Some(plain) = backup.plain else { continue };
        // What it was packed into may not be whole.
        for packed in &backup.packed {
            fs::remove_file(packed)?;
        }
        if rotation.compression != Compression::None && !stop.load(Ordering::Relaxed) {
            pack(&plain, rotation.compression, stop)?;
        }
    }
    Ok(())
}

/// Packs a file and removes it. Either of the two is there whole at any moment.
fn pack(plain: &Path, compression: Compression, stop: &AtomicBool) -> io::Result<()> {
    let ending = match compression {
        Compression::None => return Ok(()),
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    };
    let named = |ending: &str| {
        let mut name = plain.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (packed, partial) = (named(ending), named(&format!("{ending}{PARTIAL}")));
    let input = File::open(plain)?;
    let output = File::create(&partial)?;
    output.set_permissions(input.metadata()?.permissions())?;
    let packing = match compression {
        Compression::Zstd => {
            let mut packer = zstd::Encoder::new(output, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            packer.include_checksum(true)?;
            copy(input, packer, stop)
                .and_then(|packer| packer.map(zstd::Encoder::finish).transpose())
        }
        Compression::Gzip | Compression::None => {
            let packer = flate2::write::GzEncoder::new(output, flate2::Compression::default());
            let packed = copy(input, packer, stop);
            packed.and_then(|packer| packer.map(flate2::write::GzEncoder::finish).transpose())
        }
    };
    match packing {
        Ok(Some(output)) => {
            // On the disk before the other is gone.
            output.sync_all()?;
            fs::rename(&partial, &packed)?;
            fs::remove_file(plain)
        }
        Ok(None) => fs::remove_file(&partial),
        Err(error) => {
            // What failed first is what there is to say. What is left is removed by the next one.
            drop(fs::remove_file(&partial));
            Err(error)
        }
    }
}

/// Copies all of a file; `None` when it was stopped.
fn copy<W: Write>(mut input: File, mut output: W, stop: &AtomicBool) -> io::Result<Option<W>> {
    let mut block = vec![0; BLOCK];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let read = input.read(&mut block)?;
        if read == 0 {
            return Ok(Some(output));
        }
        output.write_all(&block[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn rotation(max_backups: usize, compression: Compression) -> Rotation {
        Rotation {
            max_backups,
            compression,
            ..Rotation::default()
        }
    }

    static GO_ON: AtomicBool = AtomicBool::new(false);

    #[test]
    fn names_are_hubbles_and_in_order_whatever_the_clock_does() {
        let folder = tempfile::tempdir().unwrap();
        let names = Names::of(&folder.path().join("flows.v1.log"));
        let time_ns = 1_769_851_800_250_999_999;
        let first = names.next(time_ns).unwrap();
        assert_eq!(
            first.file_name().unwrap().to_str(),
            Some("flows.v1-2026-01-31T09-30-00.250.log")
        );
        fs::write(&first, "").unwrap();
        let second = names.next(time_ns - 3_600_000_000_000).unwrap();
        assert_eq!(
            second.file_name().unwrap().to_str(),
            Some("flows.v1-2026-01-31T09-30-00.251.log")
        );
        let plain = Names::of(Path::new("flows"));
        assert_eq!(plain.folder, Path::new("."));
        assert_eq!(
            plain.parts("flows-2026-01-31T09-30-00.251.gz"),
            Some(("2026-01-31T09-30-00.251", ".gz"))
        );
        for other in [
            "flows-2026-01-31",
            "flows",
            "flows-2026-01-31T09-30-00,251",
            "other-2026-01-31T09-30-00.251",
        ] {
            assert_eq!(
                plain.parts(other).map(|it| it.1).filter(|it| it.is_empty()),
                None,
                "{other}"
            );
        }
    }

    #[test]
    fn the_newest_stay_packed_or_not_and_nobody_elses_files_are_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.log");
        for file in [
            "flows-2026-01-31T09-30-00.001.log.gz",
            "flows-2026-01-31T09-30-00.002.log",
            "flows-2026-01-31T09-30-00.003.log.zst",
            "flows-2026-01-31T09-30-00.004.log",
            "flows-2026-01-31.log",
            "flows.log",
            "other.log",
        ] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        tidy(&Names::of(&path), &rotation(2, Compression::None), &GO_ON).unwrap();
        let left = [
            "flows-2026-01-31.log",
            "flows-2026-01-31T09-30-00.003.log.zst",
            "flows-2026-01-31T09-30-00.004.log",
            "flows.log",
            "other.log",
        ];
        assert_eq!(names_in(folder.path()), left);
        tidy(&Names::of(&path), &rotation(0, Compression::None), &GO_ON).unwrap();
        assert_eq!(names_in(folder.path()).len(), left.len());
    }

    #[test]
    fn what_was_half_packed_is_packed_again() {
        let text = "{\"flow\":{}}\n".repeat(1000);
        for (compression, ending) in [(Compression::Gzip, "gz"), (Compression::Zstd, "zst")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("flows.log");
            let plain = "flows-2026-01-31T09-30-00.001.log";
            fs::write(folder.path().join(plain), &text).unwrap();
            fs::write(folder.path().join(format!("{plain}.{ending}")), "half").unwrap();
            fs::write(
                folder.path().join(format!("{plain}.{ending}.partial")),
                "less",
            )
            .unwrap();
            tidy(&Names::of(&path), &rotation(5, compression), &GO_ON).unwrap();
            let packed = format!("{plain}.{ending}");
            assert_eq!(names_in(folder.path()), [packed.as_str()]);
            let bytes = fs::read(folder.path().join(packed)).unwrap();
            let mut unpacked = String::new();
            match compression {
                Compression::Zstd => zstd::Decoder::new(&*bytes)
                    .unwrap()
                    .read_to_string(&mut unpacked),
                _ => flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut unpacked),
            }
            .unwrap();
            assert!(unpacked == text, "{ending}");
        }
    }

    #[test]
    fn packing_that_is_stopped_leaves_what_it_began_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows-2026-01-31T09-30-00.001.log");
        fs::write(&path, "x").unwrap();
        pack(&path, Compression::Gzip, &AtomicBool::new(true)).unwrap();
        assert_eq!(
            names_in(folder.path()),
            ["flows-2026-01-31T09-30-00.001.log"]
        );
    }
}
