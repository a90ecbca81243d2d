//! One run of a program: what it printed, and what it took.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::Hasher as _,
    io::Read as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::TimeValLike as _,
};

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// On all cores, in the program and in the kernel for it.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
}

/// How often a run is asked for its memory.
const EVERY: Duration = Duration::from_millis(5);

/// Runs a program with its output thrown away.
pub(crate) fn cost(command: &mut Command) -> Result<Cost> {
    let before = children()?;
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(memory_kib(&child));
        match child.try_wait()? {
            Some(status) => break status,
            None => std::thread::sleep(EVERY),
        }
    };
    let wall = begun.elapsed();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(Cost {
        wall,
        cpu: children()?.saturating_sub(before),
        peak_kib,
    })
}

/// How long a program runs, from its start to its end.
pub(crate) fn wall(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let wall = begun.elapsed();
    ensure!(output.status.success(), "{command:?} failed");
    Ok(wall)
}

/// Length and hash of what a program prints.
pub(crate) fn printed(command: &mut Command) -> Result<(u64, u64)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()?;
    let mut hasher = DefaultHasher::new();
    let mut length = 0;
    if let Some(mut stdout) = child.stdout.take() {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = stdout.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            length += read as u64;
            // Byte by byte alike however the reads fall.
            hasher.write(&buffer[..read]);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok((length, hasher.finish()))
}

/// Time that children have used so far, those that are over.
pub(crate) fn children() -> Result<Duration> {
    Ok(total(&getrusage(UsageWho::RUSAGE_CHILDREN)?))
}

/// Time that this process has used.
pub(crate) fn own() -> Result<Duration> {
    Ok(total(&getrusage(UsageWho::RUSAGE_SELF)?))
}

fn total(usage: &Usage) -> Duration {
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(microseconds.unsigned_abs())
}

/// The most memory that a child had until now; 0 when it is gone.
pub(crate) fn memory_kib(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
