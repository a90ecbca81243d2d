//! A terminal that tests type into, and what only people at one are told.

use std::{
    io::{Read as _, Write as _},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use pty_process::blocking::{Command, Pty, open};

/// How long anything may take. Shells of a busy machine take their time to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pseudo-terminal with a program in it, which ends with the test.
pub(crate) struct Prompt {
    pty: Arc<Pty>,
    child: std::process::Child,
    seen: Arc<(Mutex<String>, Condvar)>,
}

impl Prompt {
    /// Starts a program that has nothing of this machine but what `prepare` gives it.
    pub(crate) fn start(program: &str, prepare: impl FnOnce(Command) -> Command) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(pty_process::Size::new(40, 100)).unwrap();
        let command = Command::new(program)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("LANG", "C.UTF-8")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TERM", "dumb");
        let child = prepare(command).spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let seen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (reader, shown) = (Arc::clone(&pty), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = (&*reader).read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]);
                shown.0.lock().unwrap().push_str(&text);
                shown.1.notify_all();
            }
        });
        Self { pty, child, seen }
    }

    /// Types.
    pub(crate) fn type_in(&self, text: &str) {
        (&*self.pty).write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this text has been shown.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock().unwrap();
        while !seen.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {text:?} in {seen:?}");
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
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
        let prompt = Prompt::start(env!("CARGO_BIN_EXE_palomar"), |command| command.args(args));
        prompt.wait_for(hint);
        // In a pipe the message stands alone.
        let message = crate::harness::run(args).failed();
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
    let prompt = Prompt::start(env!("CARGO_BIN_EXE_palomar"), |command| command.args(args));
    prompt.wait_for("config file ignored");
    assert_eq!(crate::harness::run(&args).ok(), "{}\n");
}
