//! `observe --record`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::*;
use crate::server::{End, serve};

#[test]
fn what_is_shown_is_saved_and_can_be_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.json");
    let path = path.to_str().unwrap();
    let lines = [ASKS, UNREACHABLE, LOST, ANSWERS, DROPPED];
    let ran = observe(
        &["--record", path, "--where", "tcp || !has(verdict)"],
        &lines,
    );
    assert_eq!(
        (ran.code, ran.stdout.lines().count()),
        (Some(0), 3),
        "{ran:?}"
    );
    let saved = std::fs::read_to_string(path).unwrap();
    assert_eq!(saved, format!("{ASKS}\n{LOST}\n{ANSWERS}\n"));
    let again = run(&["observe", "--input-file", path, "-o", "json"]).ok();
    assert_eq!(again, saved);
}

#[test]
fn a_file_is_replaced_only_if_that_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.json");
    std::fs::write(&path, "mine\n").unwrap();
    let name = path.to_str().unwrap();
    let told = observe(&["--record", name], &[ASKS]).failed();
    assert_eq!(
        told,
        format!(
            "cannot record to {name}: it exists; name another file or add --record-overwrite\n"
        )
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine\n");
    let shown = observe(
        &["--record", name, "--record-overwrite", "-o", "json"],
        &[ASKS],
    )
    .ok();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shown);
    let told = observe(&["--record", "/nowhere/flows.json"], &[ASKS]).failed();
    assert_eq!(
        told,
        "cannot record to /nowhere/flows.json: no such file or directory\n"
    );
    let told = observe(&["--record-overwrite"], &[ASKS]).failed();
    assert!(told.contains("add --record"), "{told}");
}

#[test]
fn a_full_disk_ends_it_with_an_error() {
    let ran = observe(&["--record", "/dev/full", "--record-overwrite"], &[ASKS]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains("shop/web-0"), "{}", ran.stdout);
    assert_eq!(
        ran.stderr,
        "cannot record to /dev/full: no space left on device; it holds what was shown until then\n"
    );
}

#[test]
fn an_interrupt_leaves_a_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["flows.json", "flows.json.gz", "flows.json.zst"] {
        let path = directory.path().join(name);
        let path = path.to_str().unwrap();
        let mut child = palomar(&["observe", "--input-file", "-", "--record", path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..3 {
            stdin.write_all(format!("{ASKS}\n").as_bytes()).unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
        }
        kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(
            unpacked(name, &bytes),
            format!("{ASKS}\n").repeat(3),
            "{name}"
        );
    }
}

fn unpacked(name: &str, bytes: &[u8]) -> String {
    use std::io::Read as _;
    let mut text = String::new();
    if name.ends_with(".gz") {
        flate2::read::MultiGzDecoder::new(bytes)
            .read_to_string(&mut text)
            .unwrap();
    } else if name.ends_with(".zst") {
        ruzstd::decoding::StreamingDecoder::new(bytes)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
    } else {
        text = String::from_utf8(bytes.to_vec()).unwrap();
    }
    text
}

#[test]
fn who_asks_in_vain_leaves_no_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.json");
    let name = path.to_str().unwrap();
    let nobody = ["observe", "--server", "unix:///nowhere", "--record", name];
    assert_eq!(run(&nobody).code, Some(1));
    assert!(!path.exists());
    // That nothing matched is an answer.
    observe(&["--record", name, "--verdict", "ERROR"], &[ASKS]).ok();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn everything_is_asked_for_where_it_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows.json");
    let server = serve(End::Close);
    let (code, stdout, _) = server.ask(&["observe", "--record", path.to_str().unwrap()]);
    assert_eq!((code, stdout.lines().count()), (Some(0), 2));
    assert_eq!(server.asked()[0].field_mask, None);
    let saved = std::fs::read_to_string(&path).unwrap();
    assert_eq!(saved, format!("{ASKS}\n{ANSWERS}\n"));
}
