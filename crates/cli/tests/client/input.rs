//! Reading flows from files and pipes.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::harness::*;

#[test]
fn bad_lines_are_logged_and_skipped() {
    let ran = observe(
        &["-o", "json"],
        &["junk", ASKS, "", r#"{"flow":[]}"#, DROPPED],
    );
    assert_eq!(ran.code, Some(0));
    assert_eq!(uuids(&ran.stdout), ["asks", "dropped"]);
    let warnings = ran
        .stderr
        .lines()
        .filter(|line| line.contains("level=WARN"));
    assert_eq!(warnings.count(), 3, "{}", ran.stderr);
}

#[test]
fn fields_of_a_newer_release_are_told_once() {
    let newer = ASKS.replace("\"uuid\"", "\"new_field\":{\"a\":[1]},\"uuid\"");
    let ran = observe(&["-o", "json"], &[&newer, &newer]);
    assert_eq!(uuids(&ran.stdout), ["asks", "asks"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("new_field"), "{}", ran.stderr);
}

#[test]
fn the_last_line_needs_no_end_and_may_have_a_carriage_return() {
    let stdout = observe(&["-o", "json"], &[&format!("{ASKS}\r"), DROPPED]).ok();
    assert_eq!(uuids(&stdout), ["asks", "dropped"]);
}

#[test]
fn lines_may_be_long_but_not_endless() {
    let long = ASKS.replace("TCP Flags: SYN", &"x".repeat(1 << 20));
    assert_eq!(uuids(&observe(&["-o", "json"], &[&long]).ok()), ["asks"]);
    let endless = "x".repeat((16 << 20) + 1);
    let ran = observe(&["-o", "json"], &[ASKS, &endless]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(uuids(&ran.stdout), ["asks"]);
    assert!(
        ran.stderr.contains("longer than 16777216 bytes"),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_order_is_kept_over_many_batches() {
    let lines: Vec<String> = (0..5_000)
        .map(|n| ASKS.replace("\"asks\"", &format!("\"{n}\"")))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let expected: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    assert_eq!(uuids(&observe(&["-o", "json"], &lines).ok()), expected);
    let last = observe(&["-o", "json", "--last", "3"], &lines).ok();
    assert_eq!(uuids(&last), ["4997", "4998", "4999"]);
}

#[test]
fn flows_are_shown_as_they_come_through_a_pipe() {
    let mut child = palomar(&["observe", "--input-file", "-"])
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
        assert!(line.contains("shop/web-0"), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = palomar(&["observe", "--input-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(child.stdout.take());
    let many = format!("{ASKS}\n").repeat(1_000);
    // The child may be gone before it has read all.
    stdin.write_all(many.as_bytes()).ok();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn an_interrupt_ends_even_while_waiting_for_input() {
    let mut child = palomar(&["observe", "--input-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdin.write_all(format!("{ASKS}\n").as_bytes()).unwrap();
    let mut line = String::new();
    // It runs, and its signals are caught, once it has printed.
    stdout.read_line(&mut line).unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}
