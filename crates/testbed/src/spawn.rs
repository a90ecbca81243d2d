//! Child processes inside a network namespace that cannot outlive their owner.
//!
//! The kernel's parent-death signal watches the *thread* that forked, not the process. So every
//! child is forked by one thread that lives as long as its [`Spawner`], whichever thread asks.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::{prctl, signal::Signal},
    unistd::{Pid, getpid, getppid},
};

/// What the spawning thread is asked for.
struct Request {
    command: Command,
    namespace: Option<File>,
    /// Answered exactly once, unless the thread dies.
    reply: SyncSender<io::Result<Child>>,
}

/// A thread that forks children, such as those of one cluster. When it is dropped, or its process
/// dies in whatever way, the kernel kills the children that are left.
#[derive(Debug)]
pub struct Spawner {
    requests: SyncSender<Request>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> Result<Self> {
        // One slot: a caller waits for its own answer anyway.
        let (requests, receiver) = sync_channel(1);
        thread::Builder::new()
            .name("testbed-spawner".to_owned())
            .spawn(move || serve(&receiver))
            .context("cannot start the thread that starts child processes")?;
        Ok(Self { requests })
    }

    /// Starts `command` in the network namespace of this process.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self, command: Command) -> Result<Child> {
        self.spawn_in(None, command)
    }

    /// Starts `command`, inside `namespace` if there is one.
    pub(crate) fn spawn_in(&self, namespace: Option<File>, command: Command) -> Result<Child> {
        let program = command.get_program().to_string_lossy().into_owned();
        let (reply, answer) = sync_channel(1);
        let gone = || anyhow!("cannot start {program}: the spawning thread is gone");
        self.requests
            .send(Request {
                command,
                namespace,
                reply,
            })
            .map_err(|_| gone())?;
        let child = answer.recv().map_err(|_| gone())?;
        child.with_context(|| format!("cannot start {program}"))
    }
}

fn serve(requests: &Receiver<Request>) {
    let owner = getpid();
    while let Ok(Request {
        mut command,
        namespace,
        reply,
    }) = requests.recv()
    {
        before_exec(&mut command, namespace, owner);
        if let Err(unwanted) = reply.send(command.spawn())
            && let Ok(mut child) = unwanted.0
        {
            // Nobody is left to own it. Killing fails only if it has ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Makes `command` enter `namespace` and die with `owner` before it becomes the new program.
#[expect(
    unsafe_code,
    reason = "the step between fork and exec has no safe interface"
)]
fn before_exec(command: &mut Command, namespace: Option<File>, owner: Pid) {
    let prepare = move || prepare_child(namespace.as_ref(), owner).map_err(io::Error::from);
    // SAFETY: the closure runs in the forked child, where other threads' locks may be held for
    // ever. It makes system calls only (prctl, getppid, setns), on values that were
    // built before the fork; it neither allocates nor takes a lock.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn prepare_child(namespace: Option<&File>, owner: Pid) -> Result<(), Errno> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The owner may have died before the line above took effect.
    if getppid() != owner {
        return Err(Errno::ESRCH);
    }
    match namespace {
        Some(namespace) => setns(namespace, CloneFlags::CLONE_NEWNET),
        None => Ok(()),
    }
}
