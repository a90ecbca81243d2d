//! An agent as a child process, fed with flows as JSON through a pipe.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_palomar");

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a condition.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    folder: TempDir,
}

impl Agent {
    /// Starts an agent, and comes back when it serves.
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_by(Command::new(BINARY), flags)
    }

    /// The same of a node with this name.
    pub(crate) fn start_as(node: &str, flags: &[&str]) -> Self {
        Self::start_with(Command::new(BINARY), node, flags)
    }

    /// The same by another command, which is given the agent's arguments.
    pub(crate) fn start_by(command: Command, flags: &[&str]) -> Self {
        Self::start_with(command, "node-1", flags)
    }

    fn start_with(mut command: Command, node: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let stdout = fs::File::create(folder.path().join("stdout")).unwrap();
        command
            .args(["agent", "--source", "replay:-", "--kubernetes", "off"])
            .args(["--containers", "off", "--node-name", node, "--socket"])
            .arg(folder.path().join("observer.sock"))
            .args(flags)
            .env_remove("PALOMAR_LOG")
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(log);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let agent = Self {
            child,
            input,
            folder,
        };
        let socket = agent.socket();
        wait_for("the agent serves", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        agent
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("observer.sock")
    }

    pub(crate) fn server(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Gives it lines to read.
    pub(crate) fn feed(&mut self, lines: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(lines.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// The pipe, for who feeds it from another thread.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.input.take().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    /// What `palomar status` says of it.
    pub(crate) fn status(&self) -> String {
        let server = self.server();
        let output = Command::new(BINARY)
            .args(["status", "--server", &server])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ends it as a service manager does.
    pub(crate) fn end(mut self) -> String {
        drop(self.input.take());
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        let log = self.log();
        assert!(status.success(), "{log}");
        log
    }

    /// Ends it as a lack of memory does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of a file that are flows; nothing if it is not there. One that is being written is none
/// yet.
pub(crate) fn flow_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().filter(|line| line.starts_with("{\"flow\":"));
    lines.map(str::to_owned).collect()
}
