//! Many files, packed files, files that grow.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::*;

fn observe_files(flags: &[&str], files: &[&Path]) -> Ran {
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    let mut args = vec!["observe", "-o", "json"];
    for file in &files {
        args.extend(["--input-file", file]);
    }
    args.extend(flags);
    run(&args)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_are_read_in_the_order_given_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two.gz", "three"].map(|name| folder.path().join(name));
    // The last line of a file needs no end, and begins no line of the next one.
    fs::write(&one, ASKS).unwrap();
    let members = [gzip(&format!("{DROPPED}\n")), gzip(&format!("{ANSWERS}\n"))];
    fs::write(&two, members.concat()).unwrap();
    fs::write(&three, "").unwrap();
    let stdout = observe_files(&[], &[&two, &three, &one]).ok();
    assert_eq!(uuids(&stdout), ["dropped", "answers", "asks"]);
    let stdout = observe_files(&["--last", "2"], &[&one, &two]).ok();
    assert_eq!(uuids(&stdout), ["dropped", "answers"]);
    let stdout = observe_files(&["--first", "2"], &[&one, &two]).ok();
    assert_eq!(uuids(&stdout), ["asks", "dropped"]);
}

#[test]
fn bad_lines_are_told_by_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.json", "two.json"].map(|name| folder.path().join(name));
    fs::write(&one, format!("{ASKS}\n").repeat(3_000) + "junk\n").unwrap();
    fs::write(&two, format!("{ASKS}\nrubbish\n{ANSWERS}\n")).unwrap();
    let ran = observe_files(&["--last", "1"], &[&one, &two]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(uuids(&ran.stdout), ["answers"]);
    let warnings: Vec<&str> = ran.stderr.lines().collect();
    let told = |line: &str, path: &Path, number| {
        format!("line={line} file={} number={number}", path.display())
    };
    assert_eq!(warnings.len(), 2, "{}", ran.stderr);
    assert!(
        warnings[0].ends_with(&told("junk", &one, 3_001)),
        "{}",
        warnings[0]
    );
    assert!(
        warnings[1].ends_with(&told("rubbish", &two, 2)),
        "{}",
        warnings[1]
    );
}

#[test]
fn a_damaged_archive_is_an_error_after_what_could_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.gz");
    let mut packed = gzip(&format!("{ASKS}\n").repeat(3));
    packed.truncate(packed.len() - 4);
    fs::write(&path, packed).unwrap();
    let ran = observe_files(&[], &[&path]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(uuids(&ran.stdout), ["asks", "asks", "asks"]);
    assert!(ran.stderr.starts_with("read "), "{}", ran.stderr);
}

/// A run that follows files.
struct Following {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Following {
    fn start(flags: &[&str], files: &[&Path]) -> Self {
        let mut command = palomar(&["observe", "-f", "-o", "json"]);
        for file in files {
            command.arg("--input-file").arg(file);
        }
        let mut child = command.args(flags).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        uuids(&line).concat()
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

fn add(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn what_is_added_to_a_file_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    fs::write(&one, format!("{ASKS}\n{ASKS}\n{ANSWERS}\n")).unwrap();
    fs::write(&two, "").unwrap();
    // The last one of what is there, then everything.
    let mut following = Following::start(&["--last", "1"], &[&one, &two]);
    assert_eq!(following.next(), "answers");
    add(&two, &format!("{DROPPED}\n"));
    assert_eq!(following.next(), "dropped");
    // A line counts when it is whole.
    let (begin, end) = ASKS.split_at(100);
    add(&one, begin);
    add(&two, &format!("{ANSWERS}\n"));
    assert_eq!(following.next(), "answers");
    add(&one, &format!("{end}\n{DROPPED}\n"));
    assert_eq!(following.next(), "asks");
    assert_eq!(following.next(), "dropped");
    following.stop();
}

#[test]
fn a_file_that_is_replaced_or_cut_off_is_read_from_its_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.json");
    fs::write(&path, format!("{ASKS}\n{ASKS}\n")).unwrap();
    let mut following = Following::start(&[], &[&path]);
    assert_eq!(following.next(), "asks");
    assert_eq!(following.next(), "asks");
    // As a rotation does it.
    fs::rename(&path, folder.path().join("flows.json.1")).unwrap();
    fs::write(&path, format!("{ANSWERS}\n")).unwrap();
    assert_eq!(following.next(), "answers");
    // As copying and cutting does it.
    File::create(&path)
        .unwrap()
        .write_all(format!("{LOST}\n").as_bytes())
        .unwrap();
    assert_eq!(following.next(), "-");
    following.stop();
}
