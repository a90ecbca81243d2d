//! `cargo xtask deny`: what `deny.toml` at the root says about dependencies, checked by cargo-deny.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::workspace;

/// The version that is installed: fixed, so that a new one never fails an unchanged tree.
const VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let cargo_deny = installed(&root)?;
    let command = || {
        let mut command = Command::new(&cargo_deny);
        command.current_dir(&root);
        command
    };

    workspace::run(command().args([
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))?;
    if !command().args(["fetch", "db"]).status()?.success() {
        println!("advisories SKIPPED: the database of known vulnerabilities cannot be reached");
        return Ok(());
    }
    workspace::run(command().args(["check", "--disable-fetch", "advisories"]))
}

/// The cargo-deny of this workspace, installed into `target/tools` if it is not there yet.
fn installed(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let program = tools.join("bin/cargo-deny");
    let version = Command::new(&program).arg("--version").output();
    if version.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(VERSION)) {
        return Ok(program);
    }
    println!("installing cargo-deny {VERSION} into {}", tools.display());
    workspace::run(
        Command::new("cargo")
            .args(["install", "--quiet", "--locked", "--force", "cargo-deny"])
            .args(["--version", VERSION, "--root"])
            .arg(&tools),
    )
    .context("cannot install cargo-deny")?;
    Ok(program)
}
