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

/// A capture file in the classic format: Ethernet, one UDP packet each to the given ports of
/// 10.0.0.2, a second apart.
fn capture_file(ports: &[u16]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (second, port) in (1_700_000_000u32..).zip(ports) {
        let mut packet = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        packet.extend([69, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        packet.extend([10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40]);
        packet.extend(port.to_be_bytes());
        packet.extend([0, 8, 0, 0]);
        for word in [second, 250_000, 42, 42] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

#[test]
fn a_capture_gives_a_flow_for_each_packet_and_takes_filters() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("packets.pcap");
    std::fs::write(&path, capture_file(&[53, 80, 53])).unwrap();
    let source = format!("pcap:{}", path.display());
    let ran = run(&["observe", "--embedded", "--source", &source, "-o", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.stdout.lines().count(), 3);
    assert!(
        ran.stdout.contains(r#""time":"2023-11-14T22:13:20.250Z""#),
        "{}",
        ran.stdout
    );
    let ran = run(&[
        "observe",
        "--embedded",
        "--source",
        &source,
        "--to-port",
        "53",
        "--last",
        "1",
        "--time-format",
        "RFC3339",
    ]);
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    assert!(
        ran.stdout
            .contains("10.0.0.1:40000 (world) <> 10.0.0.2:53 (world) captured FORWARDED (UDP)"),
        "{}",
        ran.stdout
    );
}

#[test]
fn what_an_embedded_agent_cannot_read_is_named() {
    let missing = ["observe", "--embedded", "--source", "pcap:/nowhere.pcap"];
    let unknown = ["observe", "--embedded", "--source", "pcpa:x"];
    let alone = ["observe", "--source", "pcap:x"];
    for (line, expected) in [
        (&missing[..], "cannot read /nowhere.pcap"),
        (&unknown[..], "unknown source \"pcpa:x\", expected probes"),
        (
            &alone[..],
            "--source says what --embedded reads: add --embedded",
        ),
    ] {
        let ran = run(line);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
}
