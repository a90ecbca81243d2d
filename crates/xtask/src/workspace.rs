//! The workspace that the tasks work on, its tools, and running programs there.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The root of the workspace that this program was built in.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .nth(2)
        .context("the workspace has no root")?;
    Ok(root.to_owned())
}

/// Runs `command` and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// A cargo tool of this workspace, installed into `target/tools` if it is not there yet.
pub(crate) fn tool(root: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let program = tools.join("bin").join(name);
    let present = Command::new(&program).arg("--version").output();
    if present.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(version)) {
        return Ok(program);
    }
    println!("installing {name} {version} into {}", tools.display());
    run(Command::new("cargo")
        .args(["install", "--quiet", "--locked", "--force", name])
        .args(["--version", version, "--root"])
        .arg(&tools))
    .with_context(|| format!("cannot install {name}"))?;
    Ok(program)
}
