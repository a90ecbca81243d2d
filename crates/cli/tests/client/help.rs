//! Help and version.

use crate::harness::*;

#[test]
fn help_lists_commands_and_teaches_by_example() {
    for args in [&[][..], &["--help"], &["-h"], &["help"]] {
        let stdout = run(args).ok();
        for text in ["Available Commands:", "observe", "status", "Examples:"] {
            assert!(stdout.contains(text), "{args:?}: {stdout}");
        }
    }
}

#[test]
fn help_of_a_command_lists_its_flags() {
    for args in [
        &["observe", "--help"][..],
        &["help", "observe"],
        &["observe", "flows", "-h"],
    ] {
        let stdout = run(args).ok();
        for flag in [
            "-f, --follow",
            "--from-pod <[NS/]PREFIX>",
            "--print-raw-filters",
            "-D, --debug",
        ] {
            assert!(stdout.contains(flag), "{args:?} {flag}: {stdout}");
        }
    }
}

#[test]
fn help_wins_over_the_command_but_not_over_a_mistake() {
    assert!(
        run(&["observe", "--last", "3", "-h"])
            .ok()
            .contains("Usage:")
    );
    assert_eq!(
        run(&["observe", "-h", "--nope"]).failed(),
        "unknown flag: --nope\n"
    );
}

#[test]
fn version_names_the_api_too() {
    let stdout = run(&["version"]).ok();
    assert!(
        stdout.starts_with(concat!(
            "palomar v",
            env!("CARGO_PKG_VERSION"),
            " (Hubble API "
        )),
        "{stdout}"
    );
}

#[test]
fn flags_may_stand_before_the_command() {
    let stdout = run(&[
        "--debug=false",
        "observe",
        "--pod",
        "flows",
        "--print-raw-filters",
    ])
    .ok();
    assert!(stdout.contains("\"source_pod\":[\"flows\"]"), "{stdout}");
}
