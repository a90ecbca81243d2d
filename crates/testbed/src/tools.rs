//! The programs that build a cluster: `ip` and `tc` (iproute2) and `nft` (nftables), each fed a whole
//! batch on standard input.

use std::{
    io::{ErrorKind, Write as _},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::netns::{DIRECTORY, Namespace};

/// Runs a batch of `ip` commands, one a line, inside `namespace` or where the caller is.
pub(crate) fn ip(namespace: Option<&Namespace>, batch: &str) -> Result<()> {
    let mut command = tool("ip");
    if let Some(namespace) = namespace {
        command.args(["-netns", namespace.name()]);
    }
    command.args(["-batch", "-"]);
    feed(command, "iproute2", batch)
}

/// Runs a batch of `tc` commands, one a line, inside `namespace`.
pub(crate) fn tc(namespace: &Namespace, batch: &str) -> Result<()> {
    let mut command = tool("tc");
    command.args(["-netns", namespace.name(), "-batch", "-"]);
    feed(command, "iproute2", batch)
}

/// Loads an nftables script inside `namespace`.
pub(crate) fn nft(namespace: &Namespace, script: &str) -> Result<()> {
    let mut command = tool("nft");
    command.args(["-f", "-"]);
    // On a thread of its own inside the namespace, so that the child starts there.
    namespace.run(|| feed(command, "nftables", script))
}

/// Whether `program` answers at all.
pub(crate) fn is_installed(program: &str) -> bool {
    let version = match program {
        "ip" => "-Version",
        "openssl" => "version",
        _ => "--version",
    };
    tool(program)
        .arg(version)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command that finds what only administrators have on their `PATH`: `su` without `-` keeps the
/// user's.
fn tool(program: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

fn feed(mut command: Command, package: &str, input: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                anyhow!("the program {program} is missing: install the package {package}")
            }
            _ => anyhow!("cannot start {program}: {error}"),
        })?;
    let mut stdin = child
        .stdin
        .take()
        .context("child without the standard input it was given")?;
    // The program may refuse and close its input before it has read all; what it says then is
    // worth more than the broken pipe.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed: {}{}", said.trim(), hint(&said));
    }
    written.with_context(|| format!("cannot write to {program}"))
}

/// The next step for the refusals that a missing privilege causes.
fn hint(said: &str) -> String {
    if said.contains("not permitted") || said.contains("Permission denied") {
        format!("; run as root, or with CAP_NET_ADMIN, CAP_SYS_ADMIN and a writable {DIRECTORY}")
    } else {
        String::new()
    }
}
