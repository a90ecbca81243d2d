//! `palomar export`: the flows of a server in a file, over breaks and restarts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    agent::{Agent, BINARY, flow_lines, wait_for},
    flows::{lines, numbers},
};

/// `palomar export` as a child process.
pub(crate) struct Exporter {
    child: Child,
    log: PathBuf,
}

impl Exporter {
    pub(crate) fn start(server: &str, file: &Path, flags: &[&str]) -> Self {
        let log = file.with_extension("stderr");
        let stderr = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(BINARY)
            .args(["export", "--server", server, "--file"])
            .arg(file)
            .args(flags)
            .env("PALOMAR_LOG", "palomar=info,flow_observer=info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn end(mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
        let status = self.child.wait().unwrap();
        assert!(
            status.success() || signal == Signal::SIGKILL,
            "{}",
            self.log()
        );
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_restart_goes_on_where_the_file_ends_and_nothing_is_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut agent = Agent::start(&[]);
    agent.feed(&lines(0..100));
    let exporter = Exporter::start(&agent.server(), &path, &["--since", "1h"]);
    wait_for("a hundred are written", || flow_lines(&path).len() == 100);
    exporter.end(Signal::SIGKILL);
    agent.feed(&lines(100..200));
    let text = fs::read_to_string(&path).unwrap();
    // As a crash of the machine may leave it.
    fs::write(&path, &text[..text.len() - 300]).unwrap();
    let exporter = Exporter::start(&agent.server(), &path, &["--since", "1h"]);
    wait_for("two hundred are written", || flow_lines(&path).len() >= 200);
    agent.feed(&lines(200..300));
    wait_for("three hundred are written", || {
        flow_lines(&path).len() >= 300
    });
    assert!(
        !exporter.log().contains("flows are missing"),
        "{}",
        exporter.log()
    );
    exporter.end(Signal::SIGTERM);
    let mut written = numbers(&flow_lines(&path));
    written.sort_unstable();
    assert_eq!(written, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_gap_that_the_server_cannot_fill_is_told_on_standard_error_and_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut agent = Agent::start(&["--ring-capacity=100"]);
    let server = agent.server();
    agent.feed(&lines(0..50));
    let exporter = Exporter::start(&server, &path, &["--since", "1h"]);
    wait_for("fifty are written", || flow_lines(&path).len() == 50);
    exporter.end(Signal::SIGTERM);
    for begin in (50..1050).step_by(100) {
        agent.feed(&lines(begin..begin + 100));
    }
    wait_for("they are read", || agent.status().contains("100/100"));
    wait_for("all are read", || {
        let output = Command::new(BINARY)
            .args(["observe", "--last", "1", "-o", "json", "--server", &server])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("00001049")
    });
    let exporter = Exporter::start(&server, &path, &[]);
    wait_for("the last are written", || {
        numbers(&flow_lines(&path)).last() == Some(&1049)
    });
    assert!(
        exporter.log().contains("flows are missing"),
        "{}",
        exporter.log()
    );
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("\"lost_events\"").count(), 1);
    exporter.end(Signal::SIGTERM);
    let written = numbers(&flow_lines(&path));
    assert_eq!(written.len(), 150);
}

#[test]
fn filters_and_masks_are_the_servers_and_what_it_refuses_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let mut agent = Agent::start(&[]);
    agent.feed(&lines(0..9));
    let flags = [
        "--since=1h",
        "--fieldmask=verdict,time",
        r#"--allowlist={"verdict":["DROPPED"]}"#,
    ];
    let exporter = Exporter::start(&agent.server(), &path, &flags);
    wait_for("the drops are written", || flow_lines(&path).len() == 3);
    exporter.end(Signal::SIGTERM);
    let line = &flow_lines(&path)[0];
    assert!(
        line.starts_with(r#"{"flow":{"time":"#)
            && !line.contains("uuid")
            && line.contains("},\"time\":"),
        "{line}"
    );
    // Without uuids, too, nothing is there twice.
    let exporter = Exporter::start(&agent.server(), &path, &flags);
    agent.feed(&lines(9..12));
    wait_for("one more is written", || flow_lines(&path).len() >= 4);
    exporter.end(Signal::SIGTERM);
    assert_eq!(flow_lines(&path).len(), 4);
}

#[test]
fn an_export_outlives_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let exporter = Exporter::start("unix:///nonexistent/observer.sock", &path, &[]);
    wait_for("it says that there is nobody", || {
        exporter.log().contains("trying again")
    });
    assert_eq!(exporter.log().matches("trying again").count(), 1);
    exporter.end(Signal::SIGTERM);
}
