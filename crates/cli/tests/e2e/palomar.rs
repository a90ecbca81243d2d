//! The real binary as a child process: run to its end, or followed line by line.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use flow_api::{json, observer::GetFlowsResponse};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testbed::{Spawner, wait};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_palomar");

/// How long a child may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Lines that a followed child may be ahead of its reader; more makes the child wait.
const LINES: usize = 1024;

/// A command of the binary under test, away from the settings of whoever runs the tests.
pub(crate) fn command(arguments: &[&str]) -> Command {
    command_of(Path::new(BINARY), arguments)
}

/// The same for another copy of it.
pub(crate) fn command_of(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("HOME", "/nonexistent");
    for name in [
        "HUBBLE_SERVER",
        "HUBBLE_CONFIG",
        "XDG_CONFIG_HOME",
        "RUST_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end, whatever that is.
pub(crate) fn run(arguments: &[&str]) -> Result<Output> {
    command(arguments)
        .output()
        .with_context(|| format!("cannot run {BINARY}"))
}

/// Runs the binary, which must succeed, and returns its standard output.
pub(crate) fn stdout(arguments: &[&str]) -> Result<String> {
    let output = run(arguments)?;
    ensure!(
        output.status.success(),
        "palomar {arguments:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("standard output is not UTF-8")
}

/// `palomar observe` with `arguments` on the server at `socket`, to its end: what it printed.
pub(crate) fn observe(socket: &Path, arguments: &[&str]) -> Result<Vec<GetFlowsResponse>> {
    let server = server(socket);
    let printed = stdout(&[&["observe", "--server", &server, "-o", "json"], arguments].concat())?;
    parse(&printed)
}

/// The name of the server at `socket`.
pub(crate) fn server(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// Responses out of JSON lines.
pub(crate) fn parse(lines: &str) -> Result<Vec<GetFlowsResponse>> {
    lines.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Result<GetFlowsResponse> {
    json::from_str(line).with_context(|| format!("not a response: {line}"))
}

/// A child that follows a stream and prints JSON; killed on drop.
pub(crate) struct Follow {
    child: Child,
    lines: Receiver<String>,
    /// Kills the child if the test itself is killed.
    _spawner: Spawner,
}

impl Follow {
    /// Follows the server at `socket`.
    pub(crate) fn start(socket: &Path, arguments: &[&str]) -> Result<Self> {
        let server = server(socket);
        let follow = ["observe", "--server", &server, "--follow", "-o", "json"];
        Self::run(&[&follow, arguments].concat())
    }

    /// Follows what the binary prints when it is run with `arguments`.
    pub(crate) fn run(arguments: &[&str]) -> Result<Self> {
        let mut command = command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawner = Spawner::start()?;
        let mut child = spawner.spawn(command)?;
        let (sender, lines) = sync_channel(LINES);
        // States of nodes may go to either, depending on the format.
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|it| Box::new(it) as _),
            child.stderr.take().map(|it| Box::new(it) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            // Ends with the child, or when nobody reads any more.
            thread::spawn(move || {
                BufReader::new(output)
                    .lines()
                    .map_while(Result::ok)
                    .try_for_each(|it| sender.send(it))
            });
        }
        Ok(Self {
            child,
            lines,
            _spawner: spawner,
        })
    }

    /// Reads on until a response is `wanted`.
    pub(crate) fn wait_for(
        &self,
        what: &str,
        timeout: Duration,
        mut wanted: impl FnMut(&GetFlowsResponse) -> bool,
    ) -> Result<GetFlowsResponse> {
        let deadline = Instant::now() + timeout;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line.starts_with('{') => {
                    let response = parse_line(&line)?;
                    if wanted(&response) {
                        return Ok(response);
                    }
                }
                // A log line.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("{what}: not within {timeout:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("{what}: the stream ended"),
            }
        }
    }
}

impl Follow {
    /// Sends the child a signal and waits for its end; what it still prints is read and dropped.
    pub(crate) fn end_by(mut self, signal: Signal) -> Result<ExitStatus> {
        kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        wait::until("the end of the child", END_TIMEOUT, || {
            while self.lines.try_recv().is_ok() {}
            Ok(self.child.try_wait()?)
        })
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
