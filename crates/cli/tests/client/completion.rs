//! Completion: the words that are offered, and that real shells complete them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::harness::*;
use crate::pty::Terminal;
use crate::server::{End, serve};

/// What is offered behind these words, and the number at the end.
fn offered(words: &[&str]) -> (Vec<String>, String) {
    let args = [&["__complete"], words].concat();
    parted(&run(&args).ok())
}

fn parted(stdout: &str) -> (Vec<String>, String) {
    let (offers, directive) = stdout.trim_end().rsplit_once(':').unwrap();
    let words = offers
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned());
    (words.collect(), directive.to_owned())
}

#[test]
fn words_come_with_what_they_mean_and_a_number() {
    let stdout = run(&["__complete", "observe", "--verd"]).ok();
    assert_eq!(
        stdout,
        "--verdict\tFORWARDED, DROPPED, ERROR, AUDIT, REDIRECTED, TRACED or TRANSLATED\n:4\n"
    );
    assert_eq!(offered(&["observe", "--input-file", ""]).1, "0");
    assert_eq!(offered(&["observe", "--tcp-flags", "s"]).1, "6");
    assert_eq!(offered(&[]).0, Vec::<String>::new());
}

#[test]
fn flags_of_commands_on_nodes_are_offered_too() {
    let (root, _) = offered(&[""]);
    if root.contains(&"agent".to_owned()) {
        assert_eq!(offered(&["agent", "--inv"]).0, ["--inventory"]);
        assert_eq!(offered(&["agent", "--containers", "o"]).0, ["on", "off"]);
    }
}

#[test]
fn a_server_is_asked_for_names_and_not_waited_for() {
    let server = serve(End::Close);
    let ask = |args: &[&str]| {
        let args = [&["__complete", "observe"], args].concat();
        let mut command = palomar(&args);
        command.env("HUBBLE_SERVER", &server.address);
        parted(&finished(command.output().unwrap()).ok())
    };
    let nodes = vec!["node-1".to_owned(), "node-2".to_owned()];
    assert_eq!(ask(&["--node-name", ""]), (nodes, "4".to_owned()));
    assert_eq!(ask(&["--node-name=node-2"]).0, ["--node-name=node-2"]);
    // This server takes a minute to tell its namespaces.
    let started = Instant::now();
    assert_eq!(ask(&["-n", ""]).0, Vec::<String>::new());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_server_of_the_line_is_the_one_that_is_asked() {
    let server = serve(End::Close);
    let (words, _) = offered(&[
        "observe",
        "--server",
        &server.address,
        "--node-name",
        "node-1",
    ]);
    assert_eq!(words, ["node-1"]);
    let nobody = offered(&[
        "observe",
        "--server",
        "unix:///nonexistent",
        "--node-name",
        "",
    ]);
    assert_eq!(nobody.0, Vec::<String>::new());
}

#[test]
fn contexts_are_those_of_the_file_that_leads_to_kubernetes() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("kubeconfig");
    fs::write(
        &file,
        "contexts:\n- name: east\n  context: {}\n- name: west\n",
    )
    .unwrap();
    let mut command = palomar(&["__complete", "config", "set", "kube-context", ""]);
    command.env("KUBECONFIG", file);
    let (words, _) = parted(&finished(command.output().unwrap()).ok());
    assert_eq!(words, ["east", "west"]);
}

/// A folder with a program that completes as we do and otherwise shows what it was given, and a
/// file to complete.
fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    let program = dir.path().join("palomar");
    let script = format!(
        "#!/bin/sh\ncase $1 in\n__complete|completion) exec '{}' \"$@\" ;;\nesac\n\
         printf 'GIVEN:'; for word in \"$@\"; do printf ' [%s]' \"$word\"; done; echo\n",
        env!("CARGO_BIN_EXE_palomar")
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.path().join("flows.json"), "").unwrap();
    dir
}

/// What is typed, and what the program is given then.
const CASES: [(&str, &str); 9] = [
    (
        "palomar obs\t--verd\tDRO\t",
        "[observe] [--verdict] [DROPPED]",
    ),
    ("palomar list no\t-o w\t", "[list] [nodes] [-o] [wide]"),
    (
        "palomar observe --verdict=DRO\t",
        "[observe] [--verdict=DROPPED]",
    ),
    (
        "palomar observe -t trace:to-sta\t",
        "[observe] [-t] [trace:to-stack]",
    ),
    (
        "palomar observe --tcp-flags syn,ac\t",
        "[observe] [--tcp-flags] [syn,ack]",
    ),
    (
        "palomar observe --input-file flo\t",
        "[observe] [--input-file] [flows.json]",
    ),
    (
        "palomar config set tls-ser\tx",
        "[config] [set] [tls-server-name] [x]",
    ),
    (
        "palomar --server relay:1 stat\t",
        "[--server] [relay:1] [status]",
    ),
    (
        "palomar observe --label=reserved:kube-a\t",
        "[observe] [--label=reserved:kube-apiserver]",
    ),
];

/// Types the cases into a shell that is not there on every machine; it is reported then.
fn complete_in(shell: &str, args: &[&str], source: &str) {
    if Command::new(shell).arg("-c").arg("exit").status().is_err() {
        println!("{shell} is not installed: its completion is not tested");
        return;
    }
    let dir = folder();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", dir.path().display());
    let terminal = Terminal::start(shell, (40, 100), |command| {
        command
            .args(args)
            .current_dir(dir.path())
            .env("HOME", dir.path())
            .env("LANG", "C.UTF-8")
            .env("PATH", path)
            .env("PS1", "> ")
            // Lines come as they are, without what moves a cursor.
            .env("TERM", "dumb")
    });
    terminal.press(&format!("{source}; echo RE''ADY\n"));
    terminal.wait_for_raw("READY");
    for (typed, given) in CASES {
        terminal.press(&format!("{typed}\n"));
        terminal.wait_for_raw(&format!("GIVEN: {given}"));
    }
}

#[test]
fn bash_completes() {
    complete_in(
        "bash",
        &["--norc", "--noprofile", "-i"],
        "source <(palomar completion bash)",
    );
}

#[test]
fn zsh_completes() {
    complete_in(
        "zsh",
        &["-f", "-i"],
        "autoload -U compinit && compinit -u -D && source <(palomar completion zsh)",
    );
}

#[test]
fn fish_completes() {
    complete_in(
        "fish",
        &["--no-config", "-i"],
        "palomar completion fish | source",
    );
}

#[test]
fn scripts_are_for_the_name_that_was_called() {
    let (dir, link) = crate::names::hubble();
    for shell in ["bash", "fish", "powershell", "zsh"] {
        let output = Command::new(&link)
            .args(["completion", shell])
            .env_clear()
            .env("HOME", dir.path())
            .output()
            .unwrap();
        let script = finished(output).ok();
        assert!(script.contains("hubble"), "{shell}: {script}");
        assert!(!script.contains("palomar"), "{shell}: {script}");
    }
}
