use std::fs::Permissions;

use super::*;
use crate::export::spec::Compression;

const LINE: &str = "{\"n\":1}\n";

fn log(path: &Path, max_bytes: u64, max_backups: usize) -> LogFile {
    let rotation = Rotation {
        max_bytes,
        max_backups,
        compression: Compression::None,
        ..Rotation::default()
    };
    LogFile::new(path, rotation, SyncPolicy::Never, Arc::default()).unwrap()
}

fn append(log: &mut LogFile, text: &str) -> Result<(), String> {
    let mut lines = text.as_bytes().to_vec();
    log.append(&mut lines).map_err(|error| error.to_string())?;
    assert!(lines.is_empty());
    Ok(())
}

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_torn_line_is_cut_off_and_one_that_only_lacks_its_end_is_completed() {
    let long = format!("{{\"text\":\"{}", "x".repeat(200_000));
    for (before, after) in [
        ("", ""),
        (LINE, LINE),
        ("{\"a\":1}\n{\"b\"", "{\"a\":1}\n"),
        ("{\"b\"", ""),
        ("{\"a\":1}\n{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n"),
        ("{\"a\":1}\n\0\0\0\0", "{\"a\":1}\n"),
        ("some other text", "some other text\n"),
        (&*format!("{LINE}{long}"), LINE),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.log");
        fs::write(&path, before).unwrap();
        append(&mut log(&path, 0, 0), LINE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{after}{LINE}"));
    }
}

#[test]
fn no_line_straddles_files_and_none_is_lost_between_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = log(&folder.path().join("flows.log"), 20, 0);
    let lines: String = (0..7).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    append(&mut log, &lines).unwrap();
    append(&mut log, &format!("{{\"long\":\"{}\"}}\n", "x".repeat(50))).unwrap();
    append(&mut log, LINE).unwrap();
    drop(log);
    let files = files(folder.path());
    let lengths: Vec<usize> = files.iter().map(|(_, text)| text.lines().count()).collect();
    assert_eq!(lengths, [2, 2, 2, 1, 1, 1]);
    assert_eq!(files[5].0, "flows.log");
    let all: String = files.into_iter().map(|(_, text)| text).collect();
    assert!(all.starts_with(&lines) && all.ends_with(LINE));
}

#[test]
fn only_so_many_rotated_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = log(&folder.path().join("flows.log"), 8, 2);
    append(&mut log, &LINE.repeat(9)).unwrap();
    log.keeper.tidy();
    drop(log);
    // The thread stops between two jobs, so that the last rotations may be left to the next start.
    let path = folder.path().join("flows.log");
    let log = self::log(&path, 8, 2);
    let begun = Instant::now();
    while files(folder.path()).len() > 3 {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    }
    drop(log);
}

#[test]
fn a_file_that_is_moved_or_removed_is_begun_anew_with_the_folder_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/flows.log");
    let mut log = log(&path, 0, 0);
    append(&mut log, LINE).unwrap();
    fs::rename(&path, folder.path().join("moved")).unwrap();
    append(&mut log, LINE).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), LINE);
    fs::remove_dir_all(folder.path().join("a")).unwrap();
    append(&mut log, LINE).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), LINE);
    assert_eq!(
        fs::read_to_string(folder.path().join("moved")).unwrap(),
        LINE
    );
}

#[test]
fn two_that_write_to_the_same_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut first = log(&path, 0, 0);
    append(&mut first, LINE).unwrap();
    let mut second = log(&path, 0, 0);
    let error = append(&mut second, LINE).unwrap_err();
    assert!(error.contains("another process"), "{error}");
    drop(first);
    append(&mut second, LINE).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), LINE.repeat(2));
}

#[test]
fn what_cannot_be_written_stays_with_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = log(folder.path(), 0, 0);
    let mut lines = LINE.as_bytes().to_vec();
    assert!(log.append(&mut lines).is_err());
    assert_eq!(lines, LINE.as_bytes());
    // Every write to it fails as on a disk that is full.
    let mut full = self::log(Path::new("/dev/full"), 0, 0);
    let fault = full.append(&mut lines).unwrap_err();
    assert_eq!((fault.kind(), &*lines), ("no_space", LINE.as_bytes()));
}

#[test]
fn a_file_is_rotated_by_age_and_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let rotation = Rotation {
        max_age: Duration::from_millis(1),
        ..Rotation::default()
    };
    let mut log = LogFile::new(&path, rotation, SyncPolicy::Rotation, Arc::default()).unwrap();
    append(&mut log, LINE).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
    log.tick().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(files(folder.path()).len(), 2);
}
