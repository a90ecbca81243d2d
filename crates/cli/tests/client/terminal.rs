//! What differs on a terminal: colours, width, progress, hints, and how it ends.

use std::io::Write as _;

use nix::sys::signal::Signal;

use crate::harness::*;
use crate::pty::Terminal;
use crate::server::{End, serve};

const SIZE: (u16, u16) = (24, 160);

/// A file with these lines, and its path.
fn file(lines: &[&str]) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all((lines.join("\n") + "\n").as_bytes())
        .unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

#[test]
fn colours_are_for_terminals_unless_told_otherwise() {
    let (_file, path) = file(&[ASKS]);
    for (flags, env, expected) in [
        (&[][..], &[][..], true),
        (&["--color", "auto"], &[], true),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "never"], &[], false),
        (&[], &[("NO_COLOR", "1")], false),
        (&[], &[("TERM", "dumb")], false),
    ] {
        let args = [&["observe", "--input-file", &path], flags].concat();
        let left = Terminal::run_with(&args, SIZE, env).left();
        assert_eq!(left.code, Some(0));
        assert!(left.screen.contains("shop/web-0:40812"), "{}", left.screen);
        assert_eq!(left.raw.contains("\x1b["), expected, "{flags:?} {env:?}");
    }
    assert!(
        observe(&["--color", "always"], &[ASKS])
            .ok()
            .contains("\x1b[")
    );
    assert!(!observe(&[], &[ASKS]).ok().contains("\x1b["));
}

#[test]
fn help_is_as_wide_as_the_terminal() {
    for width in [60, 100] {
        let left = Terminal::run(&["observe", "--help"], (24, width)).left();
        assert_eq!(left.code, Some(0));
        // A long path or list has no place to break at.
        let has_places = |line: &str| line.trim().contains(' ');
        let lines = left.raw.lines().filter(|line| line.starts_with("      "));
        let lines = lines.filter(|line| has_places(line));
        let longest = lines.map(|line| line.trim_end().chars().count()).max();
        let longest = longest.unwrap_or(0);
        assert!(
            longest <= usize::from(width) && longest > usize::from(width) - 20,
            "{longest} of {width}"
        );
    }
}

#[test]
fn ctrl_c_ends_a_follow_well_and_between_lines() {
    let server = serve(End::Repeat(vec![ASKS.to_owned()]));
    let args = ["observe", "-f", "--server", &server.address];
    let terminal = Terminal::run(&args, SIZE);
    terminal.wait_for(|screen| screen.matches("shop/web-0").count() > 5);
    terminal.press("\x03");
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    // The terminal shows the key itself where the cursor stands.
    let text = left.raw.replace("^C", "");
    let flows = text.lines().filter(|line| line.contains("Mar  1 "));
    for line in flows {
        assert!(line.trim_end().ends_with(')'), "torn: {line:?}");
    }
    // Who watches is told what came.
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.contains(" flows in ") && last.contains("; 0 lost"),
        "{last:?}"
    );
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let server = serve(End::Repeat(vec![ASKS.to_owned()]));
    let line = format!(
        "$palomar observe -f --server {} | head -n 1",
        server.address
    );
    let left = Terminal::run_line(&line, SIZE).left();
    assert_eq!(left.code, Some(0));
    let lines: Vec<&str> = left
        .raw
        .lines()
        .filter(|line| !line.contains("level=WARN"))
        .collect();
    assert_eq!(lines.len(), 1, "{}", left.raw);
}

#[test]
fn a_bar_stands_below_while_a_long_file_is_read_and_goes_when_it_is_done() {
    let (fifo, _keep) = slow_input();
    let line = format!("$palomar observe --input-file {fifo} --last 1");
    let terminal = Terminal::run_line(&line, SIZE);
    let mut input = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    writeln!(input, "{ASKS}").unwrap();
    terminal.wait_for_text("/s  ");
    drop(input);
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    assert!(left.screen.contains("shop/web-0:40812"), "{}", left.screen);
    assert!(!left.screen.contains("/s  "), "{}", left.screen);
}

#[test]
fn what_is_waited_for_is_named() {
    let server = serve(End::StayOpen);
    let args = [
        "observe",
        "--group-by",
        "verdict",
        "--server",
        &server.address,
    ];
    let terminal = Terminal::run(&args, SIZE);
    terminal.wait_for_text("waiting for unix://");
    terminal.press("\x03");
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    assert!(!left.screen.contains("waiting for"), "{}", left.screen);
    assert!(left.screen.contains("FORWARDED       2"), "{}", left.screen);
}

#[test]
fn no_bar_is_drawn_where_the_output_goes_into_a_pipe() {
    let (fifo, _keep) = slow_input();
    let line = format!("$palomar observe --input-file {fifo} --last 1 | cat");
    let terminal = Terminal::run_line(&line, SIZE);
    let mut input = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    writeln!(input, "{ASKS}").unwrap();
    // Longer than it takes until a bar is drawn. There is nothing to wait for: it must not come.
    std::thread::sleep(std::time::Duration::from_millis(900));
    drop(input);
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    assert!(
        !left.raw.contains("/s  ") && !left.raw.contains('\x1b'),
        "{}",
        left.raw
    );
}

/// A pipe with a name, into which a test writes as slowly as it likes.
fn slow_input() -> (String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flows");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    (path.to_str().unwrap().to_owned(), directory)
}

#[test]
fn groups_of_a_follow_stay_in_place_and_stand_there_in_full_at_the_end() {
    let many: Vec<String> = (0..40)
        .map(|n| ASKS.replace("web-0", &format!("web-{n:02}")))
        .collect();
    let server = serve(End::Repeat(many));
    let args = [
        "observe",
        "-f",
        "--group-by",
        "source",
        "--interval",
        "100ms",
        "--server",
        &server.address,
    ];
    let terminal = Terminal::run(&args, (12, 60));
    let screen = terminal.wait_for_text("more; all of them at the end");
    assert_eq!(screen.matches("SOURCE").count(), 1, "{screen}");
    assert!(
        screen.lines().all(|line| line.chars().count() <= 60),
        "{screen}"
    );
    terminal.wait_for(|screen| screen.contains("34 more"));
    terminal.signal(Signal::SIGTERM);
    let left = terminal.left();
    assert_eq!(left.code, Some(0));
    let last = left.raw.rfind("SOURCE").unwrap();
    let table = &left.raw[last..];
    // 40 clients, and the server that answered once.
    assert_eq!(table.matches("shop/").count(), 42, "{table}");
}

#[test]
fn a_person_is_told_what_may_have_been_meant() {
    for (args, hint) in [
        (&["observe", "--verdit", "x"][..], "did you mean --verdict?"),
        (&["observe", "--verdict", "DROPED"], "did you mean DROPPED?"),
        (&["config", "get", "sever"], "did you mean server?"),
        (&["zzz"], "all commands: 'palomar --help'"),
        (
            &[
                "observe",
                "-o",
                "json",
                "--field-mask",
                "tme",
                "--input-file",
                "-",
            ],
            "did you mean time",
        ),
    ] {
        let left = Terminal::run(args, SIZE).left();
        assert!(left.screen.contains(hint), "{}", left.screen);
        // In a pipe the message stands alone.
        let message = run(args).failed();
        assert!(!message.contains(hint), "{message}");
    }
}

#[test]
fn a_person_is_told_of_a_config_file_that_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.yaml");
    std::fs::write(&file, "server: [\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["observe", "--print-raw-filters", "--config", file];
    let left = Terminal::run(&args, SIZE).left();
    assert!(
        left.screen.contains("config file ignored"),
        "{}",
        left.screen
    );
    assert_eq!(run(&args).ok(), "{}\n");
}
