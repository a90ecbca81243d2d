//! What a user gets wrong is answered in one line that names the thing and the next step, and no
//! later than it can be known.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener, process::CommandExt as _},
    path::Path,
    process::Output,
};

use anyhow::{Context as _, Result, ensure};

use crate::{Rule, palomar};

pub(crate) const RULES: &[Rule] = &[
    ("a_socket_in_use_is_not_taken_over", socket_in_use),
    (
        "a_socket_directory_that_cannot_be_written_is_named",
        unwritable_directory,
    ),
    ("a_missing_inventory_is_named", missing_inventory),
    (
        "an_unknown_source_is_named_with_those_there_are",
        unknown_source,
    ),
    ("an_agent_without_privileges_says_which", unprivileged_agent),
    (
        "a_demo_without_privileges_says_which_and_what_still_works",
        unprivileged_demo,
    ),
    ("no_server_is_an_error_that_names_it", no_server),
];

/// Nobody's number on every Linux: a user without any privilege.
const NOBODY: u32 = 65534;

fn socket_in_use() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("observer.sock");
    let _server = UnixListener::bind(&socket)?;
    let output = agent(&["--source", "none", "--socket", text(&socket)?])?;
    must_fail(&output, &[text(&socket)?, "in use"])?;
    ensure!(
        socket.exists(),
        "the socket of the other server was removed"
    );
    Ok(())
}

fn unwritable_directory() -> Result<()> {
    // A place where not even root can create anything.
    let output = agent(&[
        "--source",
        "none",
        "--socket",
        "/proc/palomar/observer.sock",
    ])?;
    must_fail(&output, &["/proc/palomar"])
}

fn missing_inventory() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("observer.sock");
    let inventory = directory.path().join("inventory.yaml");
    let arguments = [
        "--source",
        "none",
        "--socket",
        text(&socket)?,
        "--inventory",
        text(&inventory)?,
    ];
    must_fail(&agent(&arguments)?, &[text(&inventory)?])
}

fn unknown_source() -> Result<()> {
    let output = agent(&["--source", "telescope"])?;
    must_fail(
        &output,
        &["telescope", "--source", "probes", "none", "--help"],
    )
}

fn unprivileged_agent() -> Result<()> {
    let directory = shared_directory()?;
    let socket = directory.path().join("observer.sock");
    let output = as_nobody(&["agent", "--socket", text(&socket)?])?;
    must_fail(&output, &["root", "CAP_BPF"])
}

fn unprivileged_demo() -> Result<()> {
    let output = as_nobody(&["demo", "--for", "1s"])?;
    let printed = said(&output);
    ensure!(!output.status.success(), "succeeded: {printed}");
    for part in [
        "CAP_NET_ADMIN",
        "CAP_SYS_ADMIN",
        "palomar observe --server",
        "--input-file",
    ] {
        ensure!(printed.contains(part), "no {part} in: {printed}");
    }
    Ok(())
}

fn no_server() -> Result<()> {
    let output = palomar::run(&["observe", "--server", "unix:///nonexistent/observer.sock"])?;
    must_fail(&output, &["unix:///nonexistent/observer.sock"])
}

fn agent(arguments: &[&str]) -> Result<Output> {
    palomar::run(&[&["agent"], arguments].concat())
}

fn as_nobody(arguments: &[&str]) -> Result<Output> {
    // A copy where nobody may read: the build directory can be anywhere.
    let directory = shared_directory()?;
    let copy = directory.path().join("palomar");
    fs::copy(palomar::BINARY, &copy)?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let mut command = palomar::command_of(&copy, arguments);
    // Whoever is not root keeps being who they are, without privileges all the same.
    if is_root()? {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().context("cannot run a copy of the binary")
}

fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// A directory that everybody may write to.
fn shared_directory() -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777))?;
    Ok(directory)
}

/// Fails unless `output` is that of a failure, explained in one line that holds all `parts`.
fn must_fail(output: &Output, parts: &[&str]) -> Result<()> {
    let printed = said(output);
    ensure!(!output.status.success(), "succeeded: {printed}");
    ensure!(
        printed.trim().lines().count() == 1,
        "more than one line, or none: {printed:?}"
    );
    for part in parts {
        ensure!(printed.contains(part), "no {part:?} in: {printed}");
    }
    Ok(())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
