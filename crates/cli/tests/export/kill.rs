//! Agents that are killed while they write, rotate and pack: what is there afterwards is whole.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{agent::Agent, flows::lines};

/// Rounds all in all, and at the same time: processes start and end, so that they wait for little else.
const ROUNDS: usize = 200;
/// Where a machine is slow there are more, until so many lines were looked at.
const ENOUGH: usize = ROUNDS * 100;
const MOST_ROUNDS: usize = ROUNDS * 5;
const AT_A_TIME: usize = 4;
/// Lines that are fed as fast as they are taken.
const LOT: usize = 2000;

#[test]
fn agents_that_are_killed_at_random_leave_whole_lines_in_every_file() {
    let rounds = AtomicUsize::new(0);
    let written = AtomicUsize::new(0);
    let torn = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 0..AT_A_TIME {
            let (rounds, written, torn) = (&rounds, &written, &torn);
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let mut random = seed as u64 + 1;
                let goes_on = || {
                    let round = rounds.fetch_add(1, Ordering::Relaxed);
                    let is_short = written.load(Ordering::Relaxed) <= ENOUGH;
                    round < ROUNDS || (is_short && round < MOST_ROUNDS)
                };
                while goes_on() {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    round(
                        folder.path(),
                        Duration::from_micros(random >> 33 & 0x1_ffff),
                    );
                    let (lines, was_torn) = check(folder.path());
                    written.fetch_add(lines, Ordering::Relaxed);
                    torn.fetch_add(usize::from(was_torn), Ordering::Relaxed);
                }
                // One that is not killed mends what is left.
                let path = folder.path().join("flows.log");
                let mut agent = Agent::start(&flags(path.to_str().unwrap()));
                agent.feed(&lines(0..10));
                crate::agent::wait_for("it is written", || {
                    fs::read_to_string(&path)
                        .is_ok_and(|text| text.contains("\"00000009\"") && text.ends_with('\n'))
                });
                agent.end();
                assert!(!check(folder.path()).1);
            });
        }
    });
    let (written, torn) = (written.into_inner(), torn.into_inner());
    // Each seed asked once more than it went.
    let rounds = rounds.into_inner() - AT_A_TIME;
    println!("{rounds} rounds: {written} lines looked at, {torn} files ended within a line");
    assert!(written > ENOUGH, "{written} lines");
}

fn flags(path: &str) -> [&str; 6] {
    [
        "--export-file",
        path,
        "--export-file-max-size-mb=1",
        "--export-file-max-backups=3",
        "--export-file-compress",
        "--ring-capacity=65535",
    ]
}

/// An agent at work, for so long.
fn round(folder: &Path, life: Duration) {
    let path = folder.join("flows.log");
    let mut agent = Agent::start(&flags(path.to_str().unwrap()));
    let mut input = agent.take_input();
    let feeder = thread::spawn(move || {
        let lot = lines(0..LOT);
        // Until the agent is gone.
        while input.write_all(lot.as_bytes()).is_ok() {}
    });
    // The moment is what the test is about.
    thread::sleep(life);
    agent.kill();
    feeder.join().unwrap();
}

/// Every line but the last of the current file is whole in all files. How many there are, and whether
/// the current file ends within one.
fn check(folder: &Path) -> (usize, bool) {
    let (mut lines, mut is_torn) = (0, false);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        let mut text = String::new();
        if name.ends_with(".partial") {
            // Half packed, beside the file that it is made of.
            assert!(
                folder.join(name.trim_end_matches(".gz.partial")).exists(),
                "{name}"
            );
            continue;
        } else if name.ends_with(".gz") {
            flate2::read::GzDecoder::new(&*bytes)
                .read_to_string(&mut text)
                .unwrap();
        } else {
            text = String::from_utf8(bytes).unwrap();
        }
        let is_current = name == "flows.log";
        let mut whole = text.as_str();
        if !whole.is_empty() && !whole.ends_with('\n') {
            assert!(is_current, "{name} ends within a line");
            is_torn = true;
            whole = whole.rsplit_once('\n').map_or("", |(whole, _)| whole);
        }
        for line in whole.lines() {
            lines += 1;
            // Flows all have the same form, so that this is quick and tells.
            let is_whole = line.starts_with("{\"") && line.ends_with("Z\"}");
            let is_one = line.matches("\"time\":").count() <= 2;
            assert!(is_whole && is_one, "{name}: {line}");
        }
        for line in whole.lines().take(20).chain(whole.lines().rev().take(20)) {
            assert!(
                serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "{name}: {line}"
            );
        }
    }
    (lines, is_torn)
}
