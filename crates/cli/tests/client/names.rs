//! The program by another name, manual pages, and what else tells of commands.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use tempfile::TempDir;

use crate::harness::*;

/// A link to the binary that is named `hubble`, in a folder of its own.
pub(crate) fn hubble() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("hubble");
    symlink(env!("CARGO_BIN_EXE_palomar"), &link).unwrap();
    (dir, link)
}

fn run_hubble(args: &[&str]) -> Ran {
    let (dir, link) = hubble();
    let mut command = Command::new(link);
    command.args(args).env_clear().env("HOME", dir.path());
    finished(command.output().unwrap())
}

#[test]
fn who_calls_it_hubble_reads_hubble() {
    let help = run_hubble(&["observe", "--help"]).ok();
    assert!(help.contains("  hubble observe [FLAGS]\n"), "{help}");
    assert!(help.contains("hubble observe -f -n shop"), "{help}");
    assert!(!help.contains("palomar observe"), "{help}");
    // Names of files stay.
    assert!(help.contains("/run/palomar/observer.sock"), "{help}");

    let message = run_hubble(&["observ"]).failed();
    assert_eq!(
        message,
        "unknown command \"observ\" for \"hubble\"\n\nDid you mean this?\n\tobserve\n\n"
    );
    let message = run_hubble(&["status", "--server", "unix:///nonexistent.sock"]).failed();
    assert!(message.contains("'hubble agent'"), "{message}");
}

#[test]
fn who_calls_it_hubble_is_told_the_version_of_hubbles_api() {
    for args in [&["version"][..], &["--version"], &["-v"]] {
        let stdout = run_hubble(args).ok();
        assert!(stdout.starts_with("hubble v1."), "{stdout}");
    }
    let stdout = run(&["--version"]).ok();
    assert_eq!(
        stdout,
        concat!("palomar v", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_new_file_is_where_the_name_says() {
    let (dir, link) = hubble();
    let status = Command::new(link)
        .args(["config", "set", "server", "relay:1"])
        .env_clear()
        .env("HOME", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
    assert!(dir.path().join(".config/hubble/config.yaml").exists());
}

#[test]
fn flags_about_the_server_are_taken_by_commands_that_ask_nobody() {
    for args in [
        &["version", "--server", "x:1"][..],
        &["completion", "bash", "--tls"],
        &["config", "get", "--timeout", "2s"],
        &["help", "--server", "x:1"],
    ] {
        run(args).ok();
        let mut help = args.to_vec();
        help.push("--help");
        assert!(!run(&help).ok().contains("  --server <"), "{args:?}");
    }
}

#[test]
fn help_marks_what_hubbles_client_does_not_have() {
    let help = run(&["observe", "--help"]).ok();
    assert!(help.contains("\n+     --detail"), "{help}");
    assert!(help.contains("\n      --all "), "{help}");
    assert!(help.contains("\n+ stands before what Hubble's client does not have.\n"));
    assert!(run(&["status", "--help"]).ok().contains("\n+ -o, --output"));
    assert!(!run(&["list", "nodes", "--help"]).ok().contains('+'));
}

#[test]
fn each_command_has_examples() {
    let root = run(&["--help"]).ok();
    let commands: Vec<&str> = root
        .lines()
        .filter_map(|line| {
            line.strip_prefix("  ")?
                .split_once("  ")
                .map(|(name, _)| name)
        })
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let help = run(&[command, "--help"]).ok();
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let dir = TempDir::new().unwrap();
    let pages = dir.path().join("man1");
    let path = pages.to_str().unwrap();
    assert_eq!(run(&["man", "--output-dir", path]).ok(), "");
    let mut names: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for name in ["palomar.1", "palomar-config-set.1", "palomar-observe.1"] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    let printed = run(&["man", "observe"]).ok();
    let written = fs::read_to_string(pages.join("palomar-observe.1")).unwrap();
    assert_eq!(printed, written);
    assert!(printed.starts_with(".TH PALOMAR\\-OBSERVE 1 "), "{printed}");
    let agent = fs::read_to_string(pages.join("palomar-agent.1"));
    if let Ok(agent) = agent {
        assert!(
            agent.contains("\\fB\\-\\-inventory\\fR \\fIFILE\\fR"),
            "{agent}"
        );
    }
}
