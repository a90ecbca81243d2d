//! One long-running child: its log file, and its end.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{netns::Namespace, spawn::Spawner, wait};

/// How long a child may take to end after SIGTERM before it is killed. An agent takes
/// up to ten seconds to hand out what its flow table holds, where the processors are busy.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(15);
/// What is shown of a log when something fails: the last words matter most.
const TAIL_LINES: usize = 20;

/// A child whose output goes to a file; killed and reaped on drop.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error appended to the file `log`.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        log: PathBuf,
        spawner: &Spawner,
        namespace: Option<&Namespace>,
    ) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C goes to the terminal's whole process group: the owner is to end its children,
            // in the order that it wants.
            .process_group(0);
        let namespace = namespace.map(Namespace::open).transpose()?;
        let child = spawner.spawn_in(namespace, command)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// The last lines of what it printed.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Asks it to end and waits; kills it when it does not.
    pub(crate) fn terminate(mut self) -> Result<ExitStatus> {
        self.signal_termination();
        self.wait_for_end()
    }

    /// Asks it to end, without waiting.
    pub(crate) fn signal_termination(&mut self) {
        // A child that was reaped gave its number back, and the number may be another's by now.
        if let (Ok(None), Ok(pid)) = (self.ended(), i32::try_from(self.child.id())) {
            // Fails only if it has just ended, which is what is wanted.
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }

    fn wait_for_end(&mut self) -> Result<ExitStatus> {
        let what = format!("the end of {} after SIGTERM", self.name);
        wait::until(&what, TERMINATE_TIMEOUT, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been reaped already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
